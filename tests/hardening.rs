//! What the package keeps: code is unsafe as often as `docs/reliability.md` says, with its reason, and nowhere else, and an
//! integer that overflows ends the program in a release too.

use std::collections::BTreeMap;
use std::fs;
use std::hint::black_box;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

const PAGE: &str = "docs/reliability.md";
const HEADING: &str = "## Unsafe code";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// How often the keyword is in a text, but for comments.
fn count(text: &str) -> usize {
    let code = text
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default());
    let is_of_word = |character: char| character.is_alphanumeric() || character == '_';
    code.flat_map(|line| line.split(|character| !is_of_word(character)))
        .filter(|word| *word == "unsafe")
        .count()
}

/// Counts of the page's table, by file or folder.
fn counts_of_the_page() -> BTreeMap<String, usize> {
    let page = fs::read_to_string(root().join(PAGE)).unwrap();
    let (_, section) = page.split_once(HEADING).expect(HEADING);
    let rows = section.lines().skip(1).take_while(|line| !line.starts_with('#'));
    let row = |line: &str| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let path = cells.get(1)?.strip_prefix('`')?.strip_suffix('`')?;
        Some((path.to_owned(), cells.get(2)?.parse().ok()?))
    };
    rows.filter_map(row).collect()
}

#[test]
fn code_is_unsafe_as_often_as_the_table_says_and_nowhere_else() {
    let mut files = Vec::new();
    for folder in ["src", "crates"] {
        rust_files(&root().join(folder), &mut files);
    }
    let expected = counts_of_the_page();
    let mut found: BTreeMap<String, usize> = expected.keys().map(|path| (path.clone(), 0)).collect();
    for file in files {
        let path = file.strip_prefix(root()).unwrap().to_str().unwrap();
        let row = expected.keys().filter(|row| path.starts_with(row.as_str()));
        // A file's own row comes before that of its folder.
        let row = row.max_by_key(|row| row.len());
        let count = count(&fs::read_to_string(&file).unwrap());
        match row {
            Some(row) => *found.get_mut(row).unwrap() += count,
            None => assert_eq!(count, 0, "{path} is unsafe and in no row of {PAGE}"),
        }
    }
    assert_eq!(found, expected, "counts in the code, and those of {PAGE}");
}

#[test]
fn the_keyword_is_counted_and_not_the_word_in_a_comment_or_a_name() {
    let text = "// unsafe\nunsafe fn f() { unsafe { g() } } // unsafe\nlet not_unsafe = 1; /// unsafe\n";
    assert_eq!(count(text), 2);
}

#[test]
fn an_integer_that_overflows_is_no_number_in_the_profile_of_this_test() {
    assert!(catch_unwind(|| black_box(u8::MAX) + black_box(1)).is_err());
}
