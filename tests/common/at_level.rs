//! Tests that run at every kernel level of the CPU device.

use libtest_mimic::Trial;
use pi0_node::device::KernelLevel;

use crate::common::ignored::ignored;
use crate::common::levels::LACKING;

/// A trial "level: behaviour"; ignored where this machine lacks the level.
pub fn at_level(level: KernelLevel, behaviour: &str, test: impl FnOnce() + Send + 'static) -> Trial {
    let name = format!("{level}: {behaviour}");
    if !level.is_available() {
        return ignored(&name, LACKING);
    }
    Trial::test(name, move || {
        test();
        Ok(())
    })
}
