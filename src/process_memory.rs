//! What the process holds in memory.

use std::fs;

/// Bytes resident now; `None` where the system does not say.
pub fn resident_bytes() -> Option<u64> {
    of_status("VmRSS:")
}

/// The most bytes that were resident so far; `None` where the system does not say.
pub fn peak_resident_bytes() -> Option<u64> {
    of_status("VmHWM:")
}

fn of_status(key: &str) -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}
