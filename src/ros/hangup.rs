//! SIGHUP, the signal of a terminal that is closed.

use std::fs;

/// Whether the process was started with SIGHUP ignored, as nohup does: it is to outlive its terminal.
pub fn hangup_is_ignored() -> bool {
    fs::read_to_string("/proc/self/status").is_ok_and(|status| ignores_hangup(&status))
}

/// Whether SIGHUP is ignored by the text of that file: `SigIgn` has a bit for each signal, the lowest for SIGHUP, signal 1.
fn ignores_hangup(status: &str) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_ignores_a_hangup_where_its_mask_says_so() {
        for (mask, expected) in [
            ("0000000000000001", true),
            ("0000000000001007", true),
            ("0000000000001006", false),
            ("what", false),
        ] {
            let status = format!("Name:\tpi0_node\nSigBlk:\t0000000000000001\nSigIgn:\t{mask}\n");
            assert_eq!(ignores_hangup(&status), expected, "{mask}");
        }
        assert!(!ignores_hangup("Name:\tpi0_node\n"));
    }
}
