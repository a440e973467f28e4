//! Normalisation: between the robot's units and the model's.

use crate::checkpoint::Normalisation;

/// Converts a vector of the robot's units to the model's.
pub(super) fn normalise(normalisation: &Normalisation, values: &mut [f32]) {
    match normalisation {
        Normalisation::Identity => {}
        Normalisation::MeanStd {
            mean, std, epsilon, ..
        } => each(values, mean, std, |x, mean, std| (x - mean) / (std + epsilon)),
        Normalisation::Range { low, high, epsilon } => {
            each(values, low, high, |x, low, high| {
                2.0 * (x - low) / (high - low + epsilon) - 1.0
            });
        }
        Normalisation::PartlyConstant { constants, others } => {
            normalise(others, values);
            set(values, constants.iter().map(|(index, _)| (*index, 0.0)));
        }
    }
}

/// Converts a vector of the model's units to the robot's.
pub(super) fn denormalise(normalisation: &Normalisation, values: &mut [f32]) {
    match normalisation {
        Normalisation::Identity => {}
        Normalisation::MeanStd {
            mean,
            std,
            epsilon_back,
            ..
        } => each(values, mean, std, |x, mean, std| x * (std + epsilon_back) + mean),
        Normalisation::Range { low, high, epsilon } => {
            each(values, low, high, |x, low, high| {
                (x + 1.0) / 2.0 * (high - low + epsilon) + low
            });
        }
        Normalisation::PartlyConstant { constants, others } => {
            denormalise(others, values);
            set(values, constants.iter().copied());
        }
    }
}

/// Makes an action absolute where it is relative to the state.
pub(super) fn add_state(action: &mut [f32], state: &[f32], relative: &[bool]) {
    for ((value, state), relative) in action.iter_mut().zip(state).zip(relative) {
        if *relative {
            *value += state;
        }
    }
}

/// Makes an absolute action relative to the state where `relative` is set: the inverse of [`add_state`].
pub(super) fn subtract_state(action: &mut [f32], state: &[f32], relative: &[bool]) {
    for ((value, state), relative) in action.iter_mut().zip(state).zip(relative) {
        if *relative {
            *value -= state;
        }
    }
}

/// Sets the values of these indices that there are.
fn set(values: &mut [f32], constants: impl Iterator<Item = (usize, f32)>) {
    for (index, constant) in constants {
        if let Some(value) = values.get_mut(index) {
            *value = constant;
        }
    }
}

fn each(values: &mut [f32], first: &[f32], second: &[f32], map: impl Fn(f32, f32, f32) -> f32) {
    for ((value, &first), &second) in values.iter_mut().zip(first).zip(second) {
        *value = map(*value, first, second);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mean_and_std_follow_lerobot() {
        let normalisation = Normalisation::MeanStd {
            mean: vec![1.0, -2.0],
            std: vec![0.5, 4.0],
            epsilon: 0.25,
            epsilon_back: 0.0,
        };
        let mut values = [2.5, 6.5];
        normalise(&normalisation, &mut values);
        assert_eq!(values, [2.0, 2.0]);
        denormalise(&normalisation, &mut values);
        assert_eq!(values, [2.0, 6.0]);
    }

    #[test]
    fn openpi_adds_its_epsilon_on_the_way_back() {
        let normalisation = Normalisation::MeanStd {
            mean: vec![1.0],
            std: vec![0.5],
            epsilon: 0.5,
            epsilon_back: 0.5,
        };
        let mut values = [3.0];
        denormalise(&normalisation, &mut values);
        assert_eq!(values, [4.0]);
    }

    #[test]
    fn a_range_goes_to_minus_one_and_one_and_back() {
        let normalisation = Normalisation::Range {
            low: vec![-2.0, 0.0, 0.0],
            high: vec![2.0, 8.0, 4.0],
            epsilon: 0.0,
        };
        let mut values = [-2.0, 8.0, 2.0];
        normalise(&normalisation, &mut values);
        assert_eq!(values, [-1.0, 1.0, 0.0]);
        denormalise(&normalisation, &mut values);
        assert_eq!(values, [-2.0, 8.0, 2.0]);
    }

    /// openpi `transforms.py`, `_normalize_quantile` and `_unnormalize_quantile`.
    #[test]
    fn openpi_adds_its_epsilon_to_quantiles_both_ways() {
        let normalisation = Normalisation::Range {
            low: vec![1.0],
            high: vec![1.5],
            epsilon: 0.5,
        };
        let mut values = [1.5];
        normalise(&normalisation, &mut values);
        assert_eq!(values, [0.0]);
        denormalise(&normalisation, &mut values);
        assert_eq!(values, [1.5]);
    }

    #[test]
    fn a_constant_is_zero_in_the_model_and_itself_on_the_robot() {
        let normalisation = Normalisation::PartlyConstant {
            constants: vec![(1, 7.0)],
            others: Box::new(Normalisation::Range {
                low: vec![0.0, 7.0],
                high: vec![2.0, 7.0],
                epsilon: 0.0,
            }),
        };
        let mut values = [2.0, 7.1];
        normalise(&normalisation, &mut values);
        assert_eq!(values, [1.0, 0.0]);
        values[1] = 0.3;
        denormalise(&normalisation, &mut values);
        assert_eq!(values, [2.0, 7.0]);
    }

    #[test]
    fn only_relative_values_get_the_state() {
        let mut action = [1.0, 1.0, 1.0];
        add_state(&mut action, &[10.0, 20.0, 30.0], &[true, false, true]);
        assert_eq!(action, [11.0, 1.0, 31.0]);
        add_state(&mut action, &[10.0, 20.0, 30.0], &[]);
        assert_eq!(action, [11.0, 1.0, 31.0]);
        subtract_state(&mut action, &[10.0, 20.0, 30.0], &[true, false, true]);
        assert_eq!(action, [1.0, 1.0, 1.0]);
    }
}
