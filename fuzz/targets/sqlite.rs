//! Bags in SQLite.
#![no_main]

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use pi0_fuzz::InputFile;
use pi0_node::evaluation::bag::Bag;

static FILE: LazyLock<InputFile> = LazyLock::new(|| InputFile::new("bag.db3"));

fuzz_target!(|input: &[u8]| {
    // The other format is a target of its own.
    if !input.starts_with(b"SQLite format 3\0") {
        return;
    }
    let file = FILE.write(input);
    pi0_fuzz::bounded(input, || {
        let Ok(bag) = Bag::open(file) else { return };
        let topics: BTreeSet<String> = bag.topics().keys().cloned().collect();
        let mut bytes = 0;
        let _ = bag.read(&topics, &mut |message| {
            bytes += message.data.len();
            ControlFlow::Continue(())
        });
    });
});
