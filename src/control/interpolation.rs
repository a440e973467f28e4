//! Linear interpolation between positions.

/// The position at `share` (0 to 1) of the way from one position to another.
pub fn lerp(from: f32, to: f32, share: f64) -> f32 {
    (f64::from(from) + (f64::from(to) - f64::from(from)) * share) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_are_exact_and_the_middle_is_between() {
        assert_eq!([lerp(0.1, 0.7, 0.0), lerp(-3.0, 5.0, 0.0)], [0.1, -3.0]);
        assert_eq!([lerp(0.1, 0.7, 1.0), lerp(-3.0, 5.0, 1.0)], [0.7, 5.0]);
        assert_eq!(lerp(1.0, 2.0, 0.5), 1.5);
    }
}
