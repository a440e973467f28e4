//! Peak of the instructions on registers, which speeds are compared with.

use crate::device::InstructionPeak;

/// The larger of two measurements around the same work: the machine's clock moves, and other programs only
/// ever slow a measurement down.
pub(super) fn larger(
    before: Option<InstructionPeak>,
    after: Option<InstructionPeak>,
) -> Option<InstructionPeak> {
    let measured = [before, after].into_iter().flatten();
    measured.max_by(|one, other| one.gflops.total_cmp(&other.gflops))
}

/// Sentence about the kernel and its peak, for people.
pub(super) fn sentence(peak: &InstructionPeak) -> String {
    format!(
        "{}: the instruction's peak on registers is {:.0} GFLOP/s",
        peak.kernel, peak.gflops
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_larger_measurement_counts_and_one_that_is_missing_does_not() {
        let peak = |gflops| {
            Some(InstructionPeak {
                kernel: "avx2",
                gflops,
            })
        };
        let gflops = |before, after| larger(before, after).map(|peak| peak.gflops);
        assert_eq!(gflops(peak(80.0), peak(90.0)), Some(90.0));
        assert_eq!(gflops(peak(90.0), peak(80.0)), Some(90.0));
        assert_eq!(gflops(None, peak(80.0)), Some(80.0));
        assert_eq!(gflops(None, None), None);
    }
}
