//! Databases that are damaged: one message each, and nothing written.

use std::fs;
use std::path::PathBuf;

use crate::program::{Scratch, copy_folder, fixture, run};

/// Bytes of a manifest or node before its body, of an uncompressed one: magic number, length, version, compression.
const HEADER: usize = 14;

/// A copy of a step, to be damaged.
struct Step {
    scratch: Scratch,
    name: &'static str,
}

impl Step {
    fn new(name: &'static str) -> Self {
        let scratch = Scratch::new();
        copy_folder(&fixture("orbax").join(name).join("1000"), &scratch.path("step"));
        if name == "pi0_two_processes" {
            let assets = fixture("orbax/pi0/1000/assets");
            copy_folder(&assets, &scratch.path("step").join("assets"));
        }
        Self { scratch, name }
    }

    fn params(&self) -> PathBuf {
        self.scratch.path("step").join("params")
    }

    fn manifest(&self) -> PathBuf {
        self.params().join("manifest.ocdbt")
    }

    /// The database's own data file, which has the tree.
    fn tree(&self) -> PathBuf {
        let mut files = fs::read_dir(self.params().join("d")).unwrap();
        files.next().unwrap().unwrap().path()
    }

    /// Checks that the conversion ends with one message that says this, and leaves nothing behind.
    fn assert_refused(&self, message: &str) {
        let step = self.scratch.text("step");
        let printed = run(&["convert", &step, &self.scratch.text("converted")]);
        assert!(!printed.succeeded, "{}: {}", self.name, printed.output);
        assert!(
            printed.error.contains(message),
            "{}: {}, expected {message}",
            self.name,
            printed.error
        );
        assert_eq!(printed.error.lines().count(), 1, "{}", printed.error);
        assert_eq!(self.scratch.names(), ["step"]);
    }

    fn change(&self, path: PathBuf, change: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = fs::read(&path).unwrap();
        change(&mut bytes);
        fs::write(path, bytes).unwrap();
    }
}

fn varint(bytes: &[u8], at: &mut usize) -> u64 {
    let (mut value, mut shift) = (0, 0);
    loop {
        let byte = bytes[*at];
        *at += 1;
        value |= u64::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            return value;
        }
    }
}

/// Writes the checksum of a manifest or node anew.
fn seal(object: &mut [u8]) {
    let (content, checksum) = object.split_last_chunk_mut::<4>().unwrap();
    *checksum = crc32c::crc32c(content).to_le_bytes();
}

#[test]
fn a_truncated_manifest() {
    for length in [0, 3, 11, 20] {
        let step = Step::new("pi0");
        step.change(step.manifest(), |bytes| bytes.truncate(length));
        step.assert_refused("manifest.ocdbt: truncated");
    }
}

#[test]
fn another_file_in_the_manifest_s_place() {
    let step = Step::new("pi0");
    step.change(step.manifest(), |bytes| bytes[..4].copy_from_slice(b"PK\x03\x04"));
    step.assert_refused("begins with 504b0304, expected 0cdb3a2a");
}

#[test]
fn a_manifest_with_a_changed_byte() {
    let step = Step::new("pi0");
    step.change(step.manifest(), |bytes| bytes[30] ^= 1);
    step.assert_refused("manifest.ocdbt: damaged: the checksum does not fit");
}

#[test]
fn a_missing_manifest() {
    let step = Step::new("pi0");
    fs::remove_file(step.manifest()).unwrap();
    step.assert_refused("no manifest.ocdbt in params");
}

#[test]
fn numbered_manifests_that_are_missing() {
    let step = Step::new("pi0_two_processes");
    for number in 1..=2 {
        fs::remove_file(step.params().join(format!("manifest.{number:016x}"))).unwrap();
    }
    step.assert_refused("refers to numbered manifests, but there is none");
}

#[test]
fn a_missing_data_file() {
    let step = Step::new("pi0");
    fs::remove_file(step.tree()).unwrap();
    step.assert_refused("missing, but the database refers to it");
    let step = Step::new("pi0_two_processes");
    fs::remove_dir_all(step.params().join("ocdbt.process_1")).unwrap();
    step.assert_refused("missing, but the database refers to it");
}

#[test]
fn a_truncated_data_file() {
    let step = Step::new("pi0");
    step.change(step.tree(), |bytes| bytes.truncate(bytes.len() / 2));
    step.assert_refused("truncated:");
}

#[test]
fn a_tree_node_with_a_changed_byte() {
    let step = Step::new("pi0");
    step.change(step.tree(), |bytes| {
        let at = bytes.len() / 2;
        bytes[at] ^= 1;
    });
    step.assert_refused("damaged: the checksum does not fit");
}

/// Places of the nodes in a data file that has nothing else at the places where one begins.
fn nodes(bytes: &[u8]) -> Vec<(usize, usize)> {
    let magic = 0x0cdb_20de_u32.to_be_bytes();
    let begins = (0..bytes.len()).filter(|at| bytes[*at..].starts_with(&magic));
    let length = |at: usize| u64::from_le_bytes(*bytes[at + 4..].first_chunk().unwrap()) as usize;
    begins.map(|at| (at, length(at))).collect()
}

/// Finds the columns of file, offset and length of an interior node without compression, as places of their integers.
fn references(node: &[u8]) -> [Vec<usize>; 3] {
    let mut at = HEADER;
    assert!(node[at] > 0, "an interior node");
    at += 1;
    let files = varint(node, &mut at) as usize;
    for _ in 1..files {
        varint(node, &mut at);
    }
    let paths: u64 = (0..files).map(|_| varint(node, &mut at)).sum();
    for _ in 0..files {
        varint(node, &mut at);
    }
    at += paths as usize;
    let entries = varint(node, &mut at) as usize;
    for _ in 1..entries {
        varint(node, &mut at);
    }
    let suffixes: u64 = (0..entries).map(|_| varint(node, &mut at)).sum();
    for _ in 0..entries {
        varint(node, &mut at);
    }
    at += suffixes as usize;
    let mut column = || {
        (0..entries)
            .map(|_| {
                let place = at;
                varint(node, &mut at);
                place
            })
            .collect()
    };
    [column(), column(), column()]
}

/// Bytes of an integer.
fn size(node: &[u8], place: usize) -> usize {
    let mut end = place;
    varint(node, &mut end);
    end - place
}

/// Makes a child of an interior node another one of its children, where their references have one length.
fn repeat_a_child(node: &mut [u8]) -> bool {
    let columns = references(node);
    let children = columns[0].len();
    let pairs = (0..children).flat_map(|first| (first + 1..children).map(move |second| (first, second)));
    let fitting = pairs.into_iter().find(|(first, second)| {
        let fits = |column: &Vec<usize>| size(node, column[*first]) == size(node, column[*second]);
        columns.iter().all(fits)
    });
    let Some((first, second)) = fitting else {
        return false;
    };
    for column in &columns {
        let length = size(node, column[first]);
        node.copy_within(column[first]..column[first] + length, column[second]);
    }
    seal(node);
    true
}

#[test]
fn a_tree_that_leads_to_a_node_twice() {
    let step = Step::new("pi0_two_processes");
    step.change(step.tree(), |bytes| {
        let mut changed = 0;
        for (at, length) in nodes(bytes) {
            let node = &mut bytes[at..at + length];
            changed += usize::from(node[HEADER] > 0 && repeat_a_child(node));
        }
        assert!(changed > 0, "no node with two references of one length");
    });
    step.assert_refused("the tree reaches it twice, so it has a cycle");
}

#[test]
fn a_tree_node_in_the_place_of_a_lower_one() {
    let step = Step::new("pi0_two_processes");
    step.change(step.tree(), |bytes| {
        for (at, length) in nodes(bytes) {
            let node = &mut bytes[at..at + length];
            if node[HEADER] == 0 {
                node[HEADER] = 1;
                seal(node);
            }
        }
    });
    step.assert_refused("height 1, expected 0");
}

#[test]
fn absurd_lengths_are_refused_before_memory_is_taken() {
    let step = Step::new("pi0_two_processes");
    step.change(step.tree(), |bytes| {
        for (at, length) in nodes(bytes) {
            let node = &mut bytes[at..at + length];
            // The number of files.
            node[HEADER + 1..HEADER + 7].copy_from_slice(&[0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]);
            seal(node);
        }
    });
    step.assert_refused("entries are expected in the");
}

#[test]
fn a_data_file_outside_of_the_folder_is_not_read() {
    let step = Step::new("pi0_two_processes");
    let tree = step.tree();
    let name = tree.file_name().unwrap().to_str().unwrap().to_owned();
    fs::rename(&tree, step.scratch.path("step").join(&name[1..])).unwrap();
    step.change(step.params().join("manifest.0000000000000002"), |bytes| {
        let path = format!("d/{name}");
        let at = bytes
            .windows(path.len())
            .position(|found| found == path.as_bytes())
            .unwrap();
        bytes[at..at + 3].copy_from_slice(b"../");
        seal(bytes);
    });
    step.assert_refused("missing, but the database refers to it");
}
