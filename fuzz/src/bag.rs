//! A bag, read to its end.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::Path;

use pi0_node::evaluation::bag::Bag;

/// Reads every message of a bag, where it is one.
pub fn read_bag(file: &Path) {
    let Ok(bag) = Bag::open(file) else { return };
    let topics: BTreeSet<String> = bag.topics().keys().cloned().collect();
    let mut bytes = 0;
    let _ = bag.read(&topics, &mut |message| {
        bytes += message.data.len();
        ControlFlow::Continue(())
    });
}
