//! The description of a bag, `metadata.yaml`.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use pi0_fuzz::InputFile;
use pi0_node::evaluation::bag::Bag;

static FILE: LazyLock<InputFile> = LazyLock::new(|| InputFile::new("metadata.yaml"));

fuzz_target!(|input: &[u8]| {
    let file = FILE.write(input);
    pi0_fuzz::bounded(input, || {
        let _ = Bag::open(file.parent().expect("a folder around it"));
    });
});
