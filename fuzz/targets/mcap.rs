//! Bags in MCAP.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use pi0_fuzz::InputFile;

static FILE: LazyLock<InputFile> = LazyLock::new(|| InputFile::new("bag.mcap"));

/// binrw 0.15 reserves the 32-bit length that a text claims before it reads it; pages that are not written are no memory.
const MORE: usize = 4 << 30;

fuzz_target!(init: pi0_fuzz::let_panics_be_caught(), |input: &[u8]| {
    let file = FILE.write(input);
    pi0_fuzz::bounded_above(MORE, input, || pi0_fuzz::read_bag(file));
});
