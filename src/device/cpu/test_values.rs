//! Values for the tests of this folder.

/// `count` values from −1 to 1 without a pattern that a product could hide; others for every `seed`.
pub(super) fn values(count: usize, seed: usize) -> Vec<f32> {
    let value = |index: usize| ((index * 7919 + seed * 104_729) % 1009) as f32 / 504.5 - 1.0;
    (0..count).map(value).collect()
}
