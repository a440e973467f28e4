//! The policy's joints, from messages that may each have a part of them.

use std::time::{Duration, Instant};

use super::InputProblem;
use super::history::History;

/// Positions of some of the joints, by their place among all.
pub type SomePositions = Vec<(usize, f32)>;

/// The newest position of every joint, and the moments at which all were known together.
#[derive(Clone, Debug)]
pub struct JointPositions {
    joints: Vec<String>,
    newest: Vec<Option<NewestPosition>>,
    together: History<Vec<f32>>,
    /// How far the stamps of joints that count together may be apart.
    slop: Duration,
}

#[derive(Clone, Copy, Debug)]
struct NewestPosition {
    position: f32,
    stamp: Duration,
    received: Instant,
}

impl JointPositions {
    /// Of `joints`, in this order; `limit` moments are kept.
    pub fn new(joints: &[String], slop: Duration, limit: usize) -> Self {
        Self {
            joints: joints.to_vec(),
            newest: vec![None; joints.len()],
            together: History::new(limit),
            slop,
        }
    }

    /// Takes in the joints of a message, by their place.
    pub fn take(&mut self, positions: &[(usize, f32)], stamp: Duration) {
        let received = Instant::now();
        for &(joint, position) in positions {
            self.newest[joint] = Some(NewestPosition {
                position,
                stamp,
                received,
            });
        }
        let Some(all) = self.newest.iter().copied().collect::<Option<Vec<_>>>() else {
            return;
        };
        let newest = all.iter().map(|joint| joint.stamp).max().unwrap_or(stamp);
        if all.iter().all(|joint| newest - joint.stamp <= self.slop) {
            self.together
                .push(newest, all.iter().map(|joint| joint.position).collect());
        } else if self.together.is_single() {
            // What came last is not whole, and what came before it is not the newest.
            self.together.clear();
        }
    }

    /// All positions at moments at which they were known together.
    pub fn together(&self) -> &History<Vec<f32>> {
        &self.together
    }

    /// The newest position of each joint, whatever their stamps; none before all were received.
    pub fn newest(&self) -> Option<Vec<f32>> {
        let newest = self.newest.iter();
        newest.map(|joint| joint.map(|joint| joint.position)).collect()
    }

    /// When the joint that is silent for longest was last received; none before all were.
    pub fn longest_silent(&self) -> Option<Instant> {
        let newest = self.newest.iter();
        let received: Option<Vec<Instant>> = newest.map(|joint| joint.map(|joint| joint.received)).collect();
        received?.into_iter().min()
    }

    /// The joints without a position, or with one that is too old to count with the newest.
    pub fn missing(&self) -> Vec<String> {
        let newest = self.newest.iter().flatten().map(|joint| joint.stamp).max();
        let is_missing = |joint: &Option<NewestPosition>| {
            joint.is_none_or(|joint| newest.is_some_and(|newest| newest - joint.stamp > self.slop))
        };
        let joints = self.joints.iter().zip(&self.newest);
        joints
            .filter(|(_, newest)| is_missing(newest))
            .map(|(joint, _)| joint.clone())
            .collect()
    }

    pub fn clear(&mut self) {
        self.newest.fill(None);
        self.together.clear();
    }
}

/// The positions of those of `wanted` that a message has, by their place in `wanted`. `prefix` is put in front of the
/// message's names. A message without positions, of velocities alone say, has none of them.
///
/// # Errors
/// When there are fewer positions than names and a wanted one is among these, a wanted name is there twice, or a position
/// that is wanted is no finite number.
pub fn some_joint_positions(
    names: &[String],
    positions: &[f64],
    prefix: &str,
    wanted: &[String],
) -> Result<SomePositions, InputProblem> {
    let mut found = Vec::new();
    if positions.is_empty() {
        return Ok(found);
    }
    for (index, joint) in wanted.iter().enumerate() {
        let Some(own_name) = joint.strip_prefix(prefix) else {
            continue;
        };
        let Some(place) = names.iter().position(|name| name == own_name) else {
            continue;
        };
        if positions.len() < names.len() {
            return Err(InputProblem::Positions {
                found: positions.len(),
                names: names.len(),
            });
        }
        let count = names.iter().filter(|name| *name == own_name).count();
        if count > 1 {
            return Err(InputProblem::DuplicateJoint {
                joint: joint.clone(),
                count,
            });
        }
        let position = positions[place] as f32;
        if !position.is_finite() {
            return Err(InputProblem::NotFinite {
                joint: joint.clone(),
                value: positions[place],
            });
        }
        found.push((index, position));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    fn names(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn joints_are_found_by_name_in_any_order_among_others() {
        let wanted = names("waist elbow wrist");
        let found = some_joint_positions(&names("wheel elbow waist"), &[9.0, 2.0, 1.0], "", &wanted);
        assert_eq!(found, Ok(vec![(0, 1.0), (1, 2.0)]));
    }

    #[test]
    fn fewer_positions_than_names_are_refused() {
        let problem = some_joint_positions(&names("waist elbow"), &[1.0], "", &names("waist")).unwrap_err();
        assert_eq!(problem, InputProblem::Positions { found: 1, names: 2 });
    }

    #[test]
    fn a_message_of_other_joints_or_without_positions_has_none_of_the_wanted() {
        let none = Ok(Vec::new());
        let waist = names("waist");
        assert_eq!(
            some_joint_positions(&names("wheel caster"), &[], "", &waist),
            none
        );
        assert_eq!(
            some_joint_positions(&names("wheel caster"), &[1.0], "", &waist),
            none
        );
        assert_eq!(some_joint_positions(&names("waist elbow"), &[], "", &waist), none);
    }

    #[test]
    fn a_position_that_is_no_finite_number_is_refused_and_its_joint_named() {
        for value in [f64::NAN, f64::INFINITY, 1e300] {
            let joints = names("waist elbow");
            let problem = some_joint_positions(&joints, &[1.0, value], "", &joints).unwrap_err();
            assert!(problem.to_string().contains("elbow"), "{problem}");
        }
    }

    #[test]
    fn a_joint_that_is_there_twice_is_refused_and_named_unless_the_policy_does_not_use_it() {
        let message = names("waist wheel waist wheel");
        let read = |wanted| some_joint_positions(&message, &[1.0, 2.0, 3.0, 4.0], "", &names(wanted));
        let problem = read("waist").unwrap_err();
        assert!(problem.to_string().contains("waist is 2 times"), "{problem}");
        assert_eq!(read("elbow"), Ok(Vec::new()));
        let others = some_joint_positions(&names("wheel waist wheel"), &[1.0, 2.0, 3.0], "", &names("waist"));
        assert_eq!(others, Ok(vec![(0, 2.0)]));
    }

    #[test]
    fn joints_that_the_policy_does_not_use_may_be_no_numbers() {
        let found = some_joint_positions(&names("waist wheel"), &[1.0, f64::NAN], "", &names("waist"));
        assert_eq!(found, Ok(vec![(0, 1.0)]));
    }

    #[test]
    fn a_prefix_tells_the_joints_of_two_arms_of_the_same_names_apart() {
        let wanted = names("left_waist left_elbow right_waist right_elbow");
        let found = some_joint_positions(&names("elbow waist"), &[2.0, 1.0], "right_", &wanted);
        assert_eq!(found, Ok(vec![(2, 1.0), (3, 2.0)]));
        let found = some_joint_positions(&names("elbow"), &[2.0], "head_", &wanted);
        assert_eq!(found, Ok(Vec::new()));
    }

    #[test]
    fn parts_that_come_in_several_messages_count_together() {
        let mut positions = JointPositions::new(&names("waist elbow grip"), ms(50), 8);
        positions.take(&[(0, 1.0), (1, 2.0)], ms(1000));
        assert_eq!(positions.missing(), ["grip"]);
        assert_eq!(positions.together().newest(), None);
        positions.take(&[(2, 3.0)], ms(1010));
        assert_eq!(positions.missing(), [""; 0]);
        assert_eq!(
            positions.together().newest(),
            Some((ms(1010), &vec![1.0, 2.0, 3.0]))
        );
    }

    #[test]
    fn a_joint_that_is_older_than_the_slop_is_missing_until_it_comes_again() {
        for limit in [1, 8] {
            let mut positions = JointPositions::new(&names("waist grip"), ms(50), limit);
            positions.take(&[(0, 1.0), (1, 2.0)], ms(1000));
            positions.take(&[(0, 1.5)], ms(1060));
            assert_eq!(positions.missing(), ["grip"]);
            let newest = positions.together().newest().map(|(stamp, _)| stamp);
            assert_eq!(newest, (limit > 1).then_some(ms(1000)));
            positions.take(&[(1, 2.5)], ms(1070));
            assert_eq!(positions.together().newest(), Some((ms(1070), &vec![1.5, 2.5])));
        }
    }
}
