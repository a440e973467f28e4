//! Databases of openpi's JAX training: an OCDBT manifest, or a leaf with arrays of zarr, with the right checksum.
#![no_main]

use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use pi0_node::checkpoint::inspect;
use pi0_node::checkpoint::orbax::{ConversionOptions, convert};
use tempfile::TempDir;

const MANIFEST_MAGIC: u32 = 0x0cdb_3a2a;
const NODE_MAGIC: u32 = 0x0cdb_20de;

struct Step {
    folder: TempDir,
    params: PathBuf,
}

static STEP: LazyLock<Step> = LazyLock::new(|| {
    let folder = tempfile::tempdir().expect("a folder for inputs");
    let params = folder.path().join("step/params");
    fs::create_dir_all(params.join("d")).expect("a folder can be made");
    Step { folder, params }
});

/// A structure of OCDBT: its magic number and length before the body, its checksum after it.
fn sealed(magic: u32, body: &[u8]) -> Vec<u8> {
    let mut bytes = magic.to_be_bytes().to_vec();
    bytes.extend((body.len() as u64 + 16).to_le_bytes());
    bytes.extend(body);
    bytes.extend(crc32c::crc32c(&bytes).to_le_bytes());
    bytes
}

/// A manifest whose only version has one leaf, the file `d/node` of so many bytes.
fn manifest_of(node_length: usize) -> Vec<u8> {
    let mut body = vec![0, 0]; // version and compression
    body.extend([0; 16]); // uuid
    body.extend([0, 0, 0, 0, 0]); // kind, limits of a node, arity, no compression of nodes
    body.extend([1, 6, 0]); // one file: length of its path, and of its base
    body.extend(b"d/node");
    body.extend([1, 1, 0]); // one version: its generation, the height of its tree
    body.extend([0, 0]); // file and offset of the root
    let mut length = node_length;
    while length >= 0x80 {
        body.push(length as u8 | 0x80);
        length >>= 7;
    }
    body.extend([length as u8, 1]); // length of the root, number of keys
    sealed(MANIFEST_MAGIC, &body)
}

// An even first byte is that of a node, an odd one that of a manifest.
fuzz_target!(|input: &[u8]| {
    let Some((kind, body)) = input.split_first() else {
        return;
    };
    let (manifest, node) = match kind & 1 {
        0 => {
            let node = sealed(NODE_MAGIC, body);
            (manifest_of(node.len()), node)
        }
        _ => (sealed(MANIFEST_MAGIC, body), sealed(NODE_MAGIC, &[0, 0, 0, 0, 0])),
    };
    fs::write(STEP.params.join("manifest.ocdbt"), manifest).expect("a manifest can be written");
    fs::write(STEP.params.join("d/node"), node).expect("a node can be written");
    let step = STEP.folder.path().join("step");
    pi0_fuzz::bounded(input, || {
        let _ = inspect(&step);
        let converted = STEP.folder.path().join("converted");
        if convert(&step, &converted, &ConversionOptions::default()).is_ok() {
            fs::remove_dir_all(&converted).expect("a converted policy can be removed");
        }
    });
});
