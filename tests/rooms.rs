//! The architecture of `docs/design.md`, read from the `use` lines of the sources: which room may use which, and that no
//! two files import each other.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Every room, and the rooms that it may use.
const ROOMS: &[(&str, &[&str])] = &[
    ("chrome_trace", &[]),
    ("compressed_picture", &[]),
    ("locking", &["sync"]),
    ("process_memory", &[]),
    ("protocol", &["compressed_picture"]),
    ("statistics", &[]),
    ("sync", &[]),
    ("device", &[]),
    ("model", &["device"]),
    ("pose", &[]),
    ("checkpoint", &["device", "model"]),
    ("policy", &["checkpoint", "device", "model", "pose", "protocol"]),
    ("control", &["policy", "pose"]),
    (
        "observation",
        &["compressed_picture", "control", "locking", "policy", "pose"],
    ),
    (
        "parameters",
        &["control", "device", "observation", "policy", "pose", "protocol"],
    ),
    (
        "runtime",
        &[
            "control",
            "locking",
            "observation",
            "parameters",
            "policy",
            "process_memory",
            "statistics",
            "sync",
        ],
    ),
    (
        "doctor",
        &["checkpoint", "control", "observation", "parameters", "policy"],
    ),
    ("server", &["policy", "protocol"]),
    (
        "ros",
        &[
            "chrome_trace",
            "control",
            "doctor",
            "observation",
            "parameters",
            "policy",
            "pose",
            "runtime",
        ],
    ),
    (
        "evaluation",
        &[
            "checkpoint",
            "control",
            "doctor",
            "observation",
            "parameters",
            "policy",
            "pose",
            "statistics",
        ],
    ),
    (
        "benchmark",
        &[
            "checkpoint",
            "control",
            "device",
            "model",
            "observation",
            "parameters",
            "policy",
            "process_memory",
            "protocol",
            "runtime",
            "server",
            "statistics",
        ],
    ),
];

/// A source file: its module path within the crate, and what it imports outside of its tests.
struct Source {
    module: Vec<String>,
    imports: Vec<Import>,
}

struct Import {
    /// From the root of the crate.
    path: Vec<String>,
    is_reexport: bool,
}

fn source_files(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            source_files(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// Every source of the library, but for files that hold tests alone.
fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    source_files(&root, &mut files);
    files.retain(|file| !file.ends_with("tests.rs") && !file.starts_with(root.join("bin")));
    files.sort();
    let read = |file: &PathBuf| {
        let mut module: Vec<String> = file
            .strip_prefix(&root)
            .unwrap()
            .with_extension("")
            .iter()
            .map(|part| part.to_str().unwrap().to_owned())
            .collect();
        module.retain(|part| !matches!(part.as_str(), "mod" | "lib" | "main"));
        let text = fs::read_to_string(file).unwrap();
        Source {
            imports: imports(&text, &module),
            module,
        }
    };
    files.iter().map(read).collect()
}

/// The imports of a file, each of a group by itself.
fn imports(text: &str, module: &[String]) -> Vec<Import> {
    let outside_tests = text.split("#[cfg(test)]\nmod tests").next().unwrap();
    let lines = outside_tests
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    let code: String = lines.collect::<Vec<_>>().join("\n");
    let mut imports = Vec::new();
    for statement in code.split(';') {
        let statement = statement
            .lines()
            .filter(|line| !line.trim_start().starts_with('#'));
        let statement = statement.collect::<Vec<_>>().join(" ");
        let statement = statement.trim();
        let (is_reexport, tree) = match statement.split_once("use ") {
            Some(("", tree)) => (false, tree),
            Some((visibility, tree)) if visibility.trim().starts_with("pub") => (true, tree),
            _ => continue,
        };
        for path in leaves(tree) {
            if let Some(path) = absolute(&path, module) {
                imports.push(Import { path, is_reexport });
            }
        }
    }
    imports
}

/// The paths of a tree like `a::{b, c::{d, e}}`.
fn leaves(tree: &str) -> Vec<String> {
    let tree = tree.trim();
    let Some((prefix, group)) = tree.split_once('{') else {
        return vec![tree.split(" as ").next().unwrap().trim().to_owned()];
    };
    let group = group.rsplit_once('}').unwrap().0;
    let (mut depth, mut start, mut parts) = (0, 0, Vec::new());
    for (index, character) in group.char_indices() {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&group[start..index]);
                start = index + 1;
            }
            _ => {}
        }
    }
    parts.push(&group[start..]);
    let parts = parts.into_iter().map(str::trim).filter(|part| !part.is_empty());
    parts
        .flat_map(leaves)
        .map(|leaf| format!("{}{leaf}", prefix.trim()))
        .collect()
}

/// The path from the crate's root; none for another crate's.
fn absolute(path: &str, module: &[String]) -> Option<Vec<String>> {
    let parts: Vec<String> = path.split("::").map(str::to_owned).collect();
    let supers = parts.iter().take_while(|part| *part == "super").count();
    if supers > 0 {
        let mut absolute = module[..module.len() - supers].to_vec();
        absolute.extend_from_slice(&parts[supers..]);
        return Some(absolute);
    }
    match parts[0].as_str() {
        "crate" => Some(parts[1..].to_vec()),
        "self" => Some([module, &parts[1..]].concat()),
        _ => None,
    }
}

/// The file that defines what `path` names: that of the longest prefix which is a module, followed through what it
/// exports again.
fn definition(path: &[String], files: &BTreeMap<Vec<String>, &Source>) -> Option<Vec<String>> {
    let length = (1..=path.len())
        .rev()
        .find(|&length| files.contains_key(&path[..length]))?;
    let module = &path[..length];
    let Some(name) = path.get(length) else {
        return Some(module.to_vec());
    };
    let exported = files[module]
        .imports
        .iter()
        .find(|import| import.is_reexport && import.path.last() == Some(name) && import.path != path);
    match exported {
        Some(import) => definition(&import.path, files),
        None => Some(module.to_vec()),
    }
}

#[test]
fn no_room_uses_a_room_above_it() {
    let allowed: BTreeMap<&str, &[&str]> = ROOMS.iter().copied().collect();
    let mut wrong = Vec::new();
    for source in sources() {
        let Some(room) = source.module.first() else {
            continue;
        };
        let Some(may_use) = allowed.get(room.as_str()) else {
            wrong.push(format!("{room} is not in the table of rooms"));
            continue;
        };
        for import in &source.imports {
            let used = import.path.first().map(String::as_str).unwrap_or_default();
            if used != room && allowed.contains_key(used) && !may_use.contains(&used) {
                wrong.push(format!(
                    "{} uses {}",
                    source.module.join("::"),
                    import.path.join("::")
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_two_files_import_each_other() {
    let sources = sources();
    let files: BTreeMap<Vec<String>, &Source> = sources
        .iter()
        .map(|source| (source.module.clone(), source))
        .collect();
    let mut edges: BTreeMap<&[String], BTreeSet<Vec<String>>> = BTreeMap::new();
    for source in &sources {
        let used = source.imports.iter().filter(|import| !import.is_reexport);
        let used = used.filter_map(|import| definition(&import.path, &files));
        let used = used.filter(|file| *file != source.module).collect();
        edges.insert(&source.module, used);
    }
    let mut wrong = Vec::new();
    for (file, used) in &edges {
        for other in used {
            let back = edges
                .get(other.as_slice())
                .is_some_and(|back| back.contains(*file));
            if back && *file < other.as_slice() {
                wrong.push(format!("{} and {}", file.join("::"), other.join("::")));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn an_import_is_followed_to_the_file_that_defines_it() {
    let source = |module: &str, text: &str| {
        let module: Vec<String> = module.split("::").map(str::to_owned).collect();
        Source {
            imports: imports(text, &module),
            module,
        }
    };
    let sources = [
        source(
            "room",
            "mod part;\npub use part::{Thing, Other as Renamed};\npub use self::part::Thing;",
        ),
        source(
            "room::part",
            "use super::own;\nuse crate::room::{deep::{A, B}, C};\n// use super::not;\n",
        ),
    ];
    let files: BTreeMap<Vec<String>, &Source> = sources
        .iter()
        .map(|source| (source.module.clone(), source))
        .collect();
    let path = |path: &str| path.split("::").map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(definition(&path("room::Thing"), &files), Some(path("room::part")));
    assert_eq!(definition(&path("room::own"), &files), Some(path("room")));
    let found: Vec<String> = sources[1].imports.iter().map(|one| one.path.join("::")).collect();
    assert_eq!(found, ["room::own", "room::deep::A", "room::deep::B", "room::C"]);
}
