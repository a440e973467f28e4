//! Bags in SQLite.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use pi0_fuzz::InputFile;

static FILE: LazyLock<InputFile> = LazyLock::new(|| InputFile::new("bag.db3"));

fuzz_target!(|input: &[u8]| {
    // The other format is a target of its own.
    if !input.starts_with(b"SQLite format 3\0") {
        return;
    }
    let file = FILE.write(input);
    pi0_fuzz::bounded(input, || pi0_fuzz::read_bag(file));
});
