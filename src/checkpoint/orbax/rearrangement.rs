//! Rearrangement of an array's axes, written as in einops: `heads width size -> (heads size) width`.

use std::collections::BTreeSet;

/// Order and grouping of an array's axes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Rearrangement {
    /// Input axis of each axis, before grouping.
    order: Vec<usize>,
    /// Number of axes that make up each axis of the result.
    groups: Vec<usize>,
}

impl Rearrangement {
    /// Parses the names of the axes before and after; names in parentheses become one axis.
    ///
    /// # Panics
    /// When the two do not have the same names, or one twice.
    pub fn new(before: &str, after: &str) -> Self {
        let names: Vec<&str> = before.split_whitespace().collect();
        let mut order = Vec::new();
        let mut groups = Vec::new();
        let mut is_grouped = false;
        for word in after.split_whitespace() {
            if is_grouped {
                *groups.last_mut().expect("a group has begun") += 1;
            } else {
                groups.push(1);
            }
            is_grouped = (is_grouped || word.starts_with('(')) && !word.ends_with(')');
            let name = word.trim_matches(['(', ')']);
            let axis = names.iter().position(|before| *before == name);
            order.push(axis.unwrap_or_else(|| panic!("{name} of {after:?} is not in {before:?}")));
        }
        let axes: BTreeSet<usize> = order.iter().copied().collect();
        assert!(
            order.len() == names.len() && axes.len() == names.len(),
            "{before:?} to {after:?}"
        );
        Self { order, groups }
    }

    /// Shape of the result for an input of this shape.
    pub fn shape(&self, shape: &[usize]) -> Vec<usize> {
        let mut axes = self.order.iter().map(|axis| shape[*axis]);
        let group = |count: &usize| axes.by_ref().take(*count).product();
        self.groups.iter().map(group).collect()
    }

    /// Whether the values stay as they are.
    pub fn is_identity(&self) -> bool {
        self.order.is_sorted()
    }

    /// Rearranges row-major values of this shape.
    pub fn apply(&self, values: &[f32], shape: &[usize]) -> Vec<f32> {
        if self.is_identity() {
            return values.to_vec();
        }
        let mut strides = vec![1; shape.len()];
        for axis in (1..shape.len()).rev() {
            strides[axis - 1] = strides[axis] * shape[axis];
        }
        let (&last, outer) = self.order.split_last().expect("an order has axes");
        let mut result = Vec::with_capacity(values.len());
        let mut position = vec![0; outer.len()];
        while result.len() < values.len() {
            let start: usize = position
                .iter()
                .zip(outer)
                .map(|(index, axis)| index * strides[*axis])
                .sum();
            result.extend(values[start..].iter().step_by(strides[last]).take(shape[last]));
            for (index, axis) in position.iter_mut().zip(outer).rev() {
                *index += 1;
                if *index < shape[*axis] {
                    break;
                }
                *index = 0;
            }
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_change_their_order_and_become_one() {
        let heads = Rearrangement::new("heads width size", "(heads size) width");
        let shape = [2, 2, 3];
        let values: Vec<f32> = (0..12_u8).map(f32::from).collect();
        assert_eq!(heads.shape(&shape), [6, 2]);
        assert_eq!(
            heads.apply(&values, &shape),
            [0.0, 3.0, 1.0, 4.0, 2.0, 5.0, 6.0, 9.0, 7.0, 10.0, 8.0, 11.0]
        );
    }

    #[test]
    fn a_vector_of_heads_becomes_one_vector() {
        let bias = Rearrangement::new("heads size", "(heads size)");
        assert_eq!(bias.shape(&[2, 3]), [6]);
        assert_eq!(bias.apply(&[1.0, 2.0], &[1, 2]), [1.0, 2.0]);
    }
}
