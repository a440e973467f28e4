//! Pose mapping: between a pose of the robot and the values that a policy's state and actions have for it.

use std::ops::Range;

use super::action_mode::ActionMode;
use crate::pose::{Pose, PositionAxes, RotationRepresentation};

/// Axes that a change of a pose is along and about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeltaFrame {
    /// Those of the frame that the pose is in.
    #[default]
    Base,
    /// Those of the tool, before the change.
    Tool,
}

/// Mapping of one pose. Its values are those of the position, and then the rotation's.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PoseMapping {
    /// The position in the state.
    pub state_axes: PositionAxes,
    /// The rotation in the state.
    pub state_rotation: RotationRepresentation,
    /// Of the values that mean the same rotation those nearest to these are taken, in the state and in absolute actions of the
    /// same representation; empty for those of the smallest angles.
    pub rotation_near: Vec<f64>,
    /// Its part of an action; none for a pose that is not commanded.
    pub action: Option<PoseAction>,
}

/// What the values of an action mean for a pose.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PoseAction {
    /// Index of x among the values of an action.
    pub first: usize,
    /// The position. What a policy does not have of a pose stays as it is.
    pub axes: PositionAxes,
    /// The rotation.
    pub rotation: RotationRepresentation,
    /// Pose that the values are relative to.
    pub mode: ActionMode,
    /// Axes of a change; of no meaning for an absolute action.
    pub frame: DeltaFrame,
    /// Metres in a value of the position.
    pub position_scale: f64,
    /// Radians in a value of the rotation, where it has [values that may be scaled](RotationRepresentation::is_scalable).
    pub rotation_scale: f64,
}

impl PoseAction {
    /// The indices of its values among those of an action.
    pub fn values(&self) -> Range<usize> {
        self.first..self.first + self.axes.len() + self.rotation.len()
    }

    /// The pose that an action's [values](Self::values) lead to. `observed`: the measured pose. `previous`: that of the action
    /// before.
    pub(super) fn to_robot(self, values: &[f32], observed: Pose, previous: Pose) -> Pose {
        let (position, rotation) = values.split_at(self.axes.len());
        let scaled = |value: &f32| self.position_scale * f64::from(*value);
        let position: [Option<f64>; 3] = std::array::from_fn(|axis| position.get(axis).map(scaled));
        let rotation: Vec<f64> = rotation
            .iter()
            .map(|value| self.rotation_scale * f64::from(*value))
            .collect();
        let rotation = self.rotation.decode(&rotation);
        let origin = match self.mode {
            ActionMode::Absolute => {
                let position = std::array::from_fn(|axis| position[axis].unwrap_or(observed.position[axis]));
                return match self.rotation {
                    RotationRepresentation::None => Pose { position, ..observed },
                    _ => Pose { position, rotation },
                };
            }
            ActionMode::Relative => observed,
            ActionMode::Increment | ActionMode::Velocity => previous,
        };
        let position = position.map(Option::unwrap_or_default);
        match self.frame {
            DeltaFrame::Base => Pose {
                position: std::array::from_fn(|axis| origin.position[axis] + position[axis]),
                rotation: rotation * origin.rotation,
            },
            DeltaFrame::Tool => origin * Pose { position, rotation },
        }
    }

    /// The values that lead to a pose: the inverse of [`to_robot`](Self::to_robot), as far as they can. `near`: as in
    /// [`PoseMapping`].
    pub(super) fn to_policy(self, pose: Pose, observed: Pose, previous: Pose, near: &[f64]) -> Vec<f32> {
        let (origin, near) = match self.mode {
            ActionMode::Absolute => (Pose::IDENTITY, near),
            ActionMode::Relative => (observed, &[][..]),
            ActionMode::Increment | ActionMode::Velocity => (previous, &[][..]),
        };
        let change = match self.frame {
            DeltaFrame::Base => Pose {
                position: std::array::from_fn(|axis| pose.position[axis] - origin.position[axis]),
                rotation: pose.rotation * origin.rotation.inverse(),
            },
            DeltaFrame::Tool => origin.inverse() * pose,
        };
        let position = change.position.map(|value| value / self.position_scale);
        let rotation = self.rotation.encode(change.rotation, near).into_iter();
        let rotation = rotation.map(|value| value / self.rotation_scale);
        let values = position.into_iter().take(self.axes.len()).chain(rotation);
        values.map(|value| value as f32).collect()
    }
}

impl PoseMapping {
    /// Number of its values in the state.
    pub fn state_len(&self) -> usize {
        self.state_axes.len() + self.state_rotation.len()
    }

    /// The state's values of a measured pose.
    pub(super) fn state_to_policy(&self, pose: Pose) -> Vec<f32> {
        let rotation = self.state_rotation.encode(pose.rotation, &self.rotation_near);
        let position = pose.position.into_iter().take(self.state_axes.len());
        let values = position.chain(rotation);
        values.map(|value| value as f32).collect()
    }

    /// What absolute values of an action are to be near to.
    pub(super) fn near(&self, action: &PoseAction) -> &[f64] {
        match action.rotation == self.state_rotation {
            true => &self.rotation_near,
            false => &[],
        }
    }
}

#[cfg(test)]
mod tests {
    use std::f64::consts::PI;

    use proptest::prelude::*;

    use super::*;
    use crate::pose::Rotation;

    /// As LIBERO's: metres and radians of robosuite's controller for inputs of -1 to 1.
    fn libero() -> PoseAction {
        PoseAction {
            first: 0,
            axes: PositionAxes::Xyz,
            rotation: RotationRepresentation::AxisAngle,
            mode: ActionMode::Increment,
            frame: DeltaFrame::Base,
            position_scale: 0.05,
            rotation_scale: 0.5,
        }
    }

    fn down() -> Pose {
        Pose {
            position: [0.4, 0.1, 0.3],
            rotation: Rotation::from_vector([PI, 0.0, 0.0]),
        }
    }

    fn assert_same(found: Pose, expected: Pose) {
        let [distance, angle] = found.distances(expected);
        assert!(
            distance < 1e-6 && angle < 1e-6,
            "{found:?}, expected {expected:?}: {distance} m, {angle} rad"
        );
    }

    /// robosuite's `compute_goal_pos` and `compute_goal_ori`: the sum, and the delta's rotation times the goal's.
    #[test]
    fn deltas_along_the_base_s_axes_are_robosuite_s() {
        let after = libero().to_robot(&[1.0, 0.0, -0.5, 0.0, 0.0, 0.2], down(), down());
        let expected = Pose {
            position: [0.45, 0.1, 0.275],
            rotation: Rotation::from_vector([0.0, 0.0, 0.1]) * down().rotation,
        };
        assert_same(after, expected);
    }

    #[test]
    fn deltas_along_the_tool_s_axes_go_down_where_the_tool_points_down() {
        let tool = PoseAction {
            frame: DeltaFrame::Tool,
            ..libero()
        };
        let after = tool.to_robot(&[0.0, 1.0, 1.0, 0.0, 0.0, 0.2], down(), down());
        let expected = Pose {
            position: [0.4, 0.05, 0.25],
            rotation: down().rotation * Rotation::from_vector([0.0, 0.0, 0.1]),
        };
        assert_same(after, expected);
    }

    #[test]
    fn a_relative_action_counts_from_the_observed_pose_and_an_increment_from_the_one_before() {
        let before = down().moved([[0.2, 0.0, 0.0], [0.0; 3]]);
        let values = [1.0, 0.0, 0.0, 0.0, 0.0, 0.0];
        let after = |mode| PoseAction { mode, ..libero() }.to_robot(&values, down(), before);
        assert!((after(ActionMode::Relative).position[0] - 0.45).abs() < 1e-9);
        assert!((after(ActionMode::Increment).position[0] - 0.65).abs() < 1e-9);
        let absolute = after(ActionMode::Absolute);
        assert_same(
            absolute,
            Pose {
                position: [0.05, 0.0, 0.0],
                rotation: Rotation::IDENTITY,
            },
        );
    }

    #[test]
    fn a_policy_without_a_rotation_leaves_it_as_it_is() {
        for mode in [ActionMode::Absolute, ActionMode::Relative, ActionMode::Increment] {
            let action = PoseAction {
                rotation: RotationRepresentation::None,
                mode,
                ..libero()
            };
            let after = action.to_robot(&[1.0, 0.0, 0.0], down(), down());
            assert!(after.rotation.angle_to(down().rotation) < 1e-9, "{mode:?}");
        }
    }

    /// The base of LeKiwi: metres and degrees a second, 30 times a second, along and about the base's own axes.
    fn base_velocity(axes: PositionAxes) -> PoseAction {
        PoseAction {
            axes,
            rotation: RotationRepresentation::Yaw,
            mode: ActionMode::Velocity,
            frame: DeltaFrame::Tool,
            position_scale: 1.0 / 30.0,
            rotation_scale: PI / 180.0 / 30.0,
            ..libero()
        }
    }

    /// The kinematics of a wheeled base in the plane, `x' = v cos θ − u sin θ`, `y' = v sin θ + u cos θ`, `θ' = ω`, in steps.
    #[test]
    fn velocities_of_a_base_lead_it_along_the_arc_that_it_would_drive() {
        let (v, u, degrees) = (0.3, -0.1, 45.0_f64);
        let [mut x, mut y, mut heading] = [1.0, -2.0, 2.5_f64];
        let mut base = Pose {
            position: [x, y, 0.07],
            rotation: Rotation::from_vector([0.0, 0.0, heading]),
        };
        for _ in 0..60 {
            let values = [v, u, degrees].map(|value| value as f32);
            base = base_velocity(PositionAxes::Xy).to_robot(&values, base, base);
            x += (v * heading.cos() - u * heading.sin()) / 30.0;
            y += (v * heading.sin() + u * heading.cos()) / 30.0;
            heading += degrees.to_radians() / 30.0;
        }
        let expected = Pose {
            position: [x, y, 0.07],
            rotation: Rotation::from_vector([0.0, 0.0, heading]),
        };
        assert_same(base, expected);
    }

    #[test]
    fn what_leads_a_base_somewhere_is_found_again_and_what_it_cannot_do_is_left_out() {
        let base = Pose {
            position: [1.0, 2.0, 0.0],
            rotation: Rotation::from_vector([0.0, 0.0, 1.0]),
        };
        let action = base_velocity(PositionAxes::X);
        let next = action.to_robot(&[0.3, -20.0], base, base);
        let values = action.to_policy(next, base, base, &[]);
        assert!(
            (values[0] - 0.3).abs() < 1e-5 && (values[1] + 20.0).abs() < 1e-3,
            "{values:?}"
        );
        let sideways = base
            * Pose {
                position: [0.0, 0.1, 0.0],
                ..Pose::IDENTITY
            };
        assert_eq!(action.to_policy(sideways, base, base, &[]).len(), 2);
        let absolute = PoseAction {
            mode: ActionMode::Absolute,
            position_scale: 1.0,
            rotation_scale: 1.0,
            ..action
        };
        assert_same(
            absolute.to_robot(&[5.0, 0.5], base, base),
            Pose {
                position: [5.0, 2.0, 0.0],
                rotation: Rotation::from_vector([0.0, 0.0, 0.5]),
            },
        );
    }

    #[test]
    fn values_that_are_no_rotation_become_no_pose() {
        let action = PoseAction {
            rotation: RotationRepresentation::SixD,
            ..libero()
        };
        let pose = action.to_robot(&[0.0; 9], down(), down());
        assert!(pose.values()[3..].iter().all(|value| value.is_nan()), "{pose:?}");
    }

    fn pose() -> impl Strategy<Value = Pose> {
        let quaternion = prop::array::uniform4(-1.0..1.0_f64);
        let quaternion = quaternion.prop_filter("a direction", |values| {
            values.iter().map(|value| value * value).sum::<f64>() > 0.01
        });
        (prop::array::uniform3(-1.0..1.0_f64), quaternion).prop_map(|(position, quaternion)| Pose {
            position,
            rotation: Rotation::from_xyzw(quaternion),
        })
    }

    proptest! {
        #[test]
        fn what_becomes_the_policy_s_becomes_the_robot_s_again(
            [wanted, observed, previous] in [pose(), pose(), pose()],
            representation in prop::sample::select(vec![
                RotationRepresentation::AxisAngle, RotationRepresentation::QuaternionXyzw,
                RotationRepresentation::QuaternionWxyz, RotationRepresentation::SixD,
                RotationRepresentation::SixDRows, RotationRepresentation::Rpy,
            ]),
            mode in prop::sample::select(vec![
                ActionMode::Absolute, ActionMode::Relative, ActionMode::Increment, ActionMode::Velocity,
            ]),
            frame in prop::sample::select(vec![DeltaFrame::Base, DeltaFrame::Tool]),
        ) {
            let action = PoseAction {
                first: 0,
                axes: PositionAxes::Xyz,
                rotation: representation,
                mode,
                frame,
                position_scale: 0.05,
                rotation_scale: if representation.is_scalable() { 0.5 } else { 1.0 },
            };
            let values = action.to_policy(wanted, observed, previous, &[]);
            prop_assert_eq!(values.len(), action.values().len());
            let [distance, angle] = action.to_robot(&values, observed, previous).distances(wanted);
            prop_assert!(distance < 1e-5 && angle < 1e-4, "{} m, {} rad: {:?}", distance, angle, values);
        }
    }
}
