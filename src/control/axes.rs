//! The axes of a robot: names and layout of its positions.

use std::sync::Arc;

use super::axis_layout::AxisLayout;

/// Names of the values of a robot's actions, and which of them are poses.
#[derive(Clone, Debug, PartialEq)]
pub struct Axes {
    names: Arc<[String]>,
    layout: AxisLayout,
}

impl Axes {
    /// Values of these names; those of a pose are its name, a point, and the [name of the
    /// value](crate::pose::POSE_VALUE_NAMES).
    pub fn new(names: impl Into<Arc<[String]>>, layout: AxisLayout) -> Self {
        Self {
            names: names.into(),
            layout,
        }
    }

    /// One for each value.
    pub fn names(&self) -> &Arc<[String]> {
        &self.names
    }

    /// Which values are poses.
    pub fn layout(&self) -> &AxisLayout {
        &self.layout
    }

    /// Number of values.
    pub fn count(&self) -> usize {
        self.names.len()
    }

    /// A value in words.
    pub(super) fn value(&self, index: usize) -> String {
        let name = &self.names[index];
        match self.layout.pose_of(index).and_then(|_| name.rsplit_once('.')) {
            Some((pose, value)) => format!("{value} of pose {pose}"),
            None => format!("joint {name}"),
        }
    }

    /// In words, what a [distance](AxisLayout::distances) at this value is of, and its unit.
    pub(super) fn distance(&self, index: usize) -> Distance {
        let Some(pose) = self.layout.pose_of(index) else {
            return Distance {
                of: self.value(index),
                unit: "",
                kind: DistanceKind::Joint,
            };
        };
        let (name, _) = self.names[index].rsplit_once('.').unwrap_or_default();
        match index == pose.start {
            true => Distance {
                of: format!("the position of pose {name}"),
                unit: " m",
                kind: DistanceKind::Position,
            },
            false => Distance {
                of: format!("the rotation of pose {name}"),
                unit: " rad",
                kind: DistanceKind::Rotation,
            },
        }
    }
}

/// What a distance is of.
pub(super) struct Distance {
    pub of: String,
    /// With a space in front; empty where it is the joint's own.
    pub unit: &'static str,
    pub kind: DistanceKind,
}

/// A distance has a parameter of its own for each kind.
pub(super) enum DistanceKind {
    Joint,
    Position,
    Rotation,
}

impl DistanceKind {
    pub fn max_start(&self) -> &'static str {
        match self {
            Self::Joint => "max_start_jump",
            Self::Position => "max_start_distance",
            Self::Rotation => "max_start_angle",
        }
    }

    pub fn max_following(&self) -> &'static str {
        match self {
            Self::Joint => "max_following_error",
            Self::Position => "max_following_distance",
            Self::Rotation => "max_following_angle",
        }
    }
}

/// Joints alone.
impl From<Arc<[String]>> for Axes {
    fn from(names: Arc<[String]>) -> Self {
        Self::new(names, AxisLayout::default())
    }
}

/// Joints alone.
impl<const N: usize> From<[String; N]> for Axes {
    fn from(names: [String; N]) -> Self {
        Self::new(names, AxisLayout::default())
    }
}

/// Joints alone.
impl FromIterator<String> for Axes {
    fn from_iter<I: IntoIterator<Item = String>>(names: I) -> Self {
        Self::new(names.into_iter().collect::<Vec<_>>(), AxisLayout::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_and_distances_are_named_by_their_joint_or_pose() {
        let values = crate::pose::POSE_VALUE_NAMES.map(|value| format!("tool.{value}"));
        let names = [&["grip.left".to_owned()][..], &values].concat();
        let axes = Axes::new(names, AxisLayout::with_poses([1]));
        assert_eq!(axes.value(0), "joint grip.left");
        assert_eq!(axes.value(3), "z of pose tool");
        assert_eq!(axes.distance(1).of, "the position of pose tool");
        assert_eq!(axes.distance(4).of, "the rotation of pose tool");
        assert_eq!(axes.distance(0).of, "joint grip.left");
    }
}
