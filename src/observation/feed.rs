//! Entry of messages into the inputs: from a subscription and from a bag through the same functions.

use std::time::Duration;

use image::RgbImage;

use super::{
    Clock, InputProblem, Inputs, Transform, base_velocity, extra_state, some_joint_positions, stamp_problem,
};
use crate::pose::POSE_VALUES;

/// Content of a message with its stamp, as time since the epoch; `None` for a stamp that was never set.
#[derive(Clone, Debug, PartialEq)]
pub struct Stamped<T> {
    /// Stamp of the header.
    pub stamp: Option<Duration>,
    /// Everything after the header.
    pub content: T,
}

/// Content of a message with the frame of its header.
#[derive(Clone, Debug, PartialEq)]
pub struct InFrame<T> {
    /// Name of the frame.
    pub frame: String,
    /// What is in the frame.
    pub content: T,
}

/// Joints of a `sensor_msgs/JointState`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct JointState {
    /// Names of the joints.
    pub names: Vec<String>,
    /// A position for each name; empty in a message of velocities or efforts alone.
    pub positions: Vec<f64>,
}

/// Entry of all messages: checks each of them, dates those without a stamp, and moves them into [`Inputs`].
///
/// Its functions return the problem of a message that cannot be used. The message's input then counts as missing.
#[derive(Clone, Copy, Debug)]
pub struct Feed<'a> {
    /// Receiver of the messages.
    pub inputs: &'a Inputs,
    /// Clock of the stamps.
    pub clock: &'a Clock,
    /// Largest distance of a stamp from the clock; `None` accepts every stamp, as a recording needs.
    pub max_age: Option<Duration>,
}

impl Feed<'_> {
    /// Adds a frame of the camera at `index`.
    pub fn image(
        &self,
        index: usize,
        image: Stamped<Result<RgbImage, InputProblem>>,
    ) -> Option<InputProblem> {
        let stamp = self.stamp(image.stamp);
        let image = image.content.and_then(|image| self.with_good_stamp(image, stamp));
        let problem = image.as_ref().err().cloned();
        self.inputs.take_image(index, image, stamp);
        problem
    }

    /// Adds the positions of the policy's joints in a message of the joint states topic at `index`.
    pub fn joint_state(&self, index: usize, message: Stamped<JointState>) -> Option<InputProblem> {
        let stamp = self.stamp(message.stamp);
        let JointState { names, positions } = message.content;
        let prefix = &self.inputs.topics.joint_states[index].prefix;
        let positions = some_joint_positions(&names, &positions, prefix, &self.inputs.joints);
        let positions = positions.and_then(|positions| {
            // The stamp of a message of other joints does not matter.
            if positions.is_empty() {
                Ok(positions)
            } else {
                self.with_good_stamp(positions, stamp)
            }
        });
        let problem = positions.as_ref().err().cloned();
        self.inputs.take_joint_positions(index, positions, stamp);
        problem
    }

    /// Adds the pose at `index`: its values as [`measured_pose`](super::measured_pose) takes them.
    pub fn pose(&self, index: usize, message: Stamped<InFrame<[f64; POSE_VALUES]>>) -> Option<InputProblem> {
        let stamp = self.stamp(message.stamp);
        let InFrame { frame, content } = message.content;
        let expected = &self.inputs.topics.poses[index].base_frame;
        let pose = match frame == *expected {
            true => self.with_good_stamp(content, stamp),
            false => Err(InputProblem::Frame {
                found: frame,
                expected: expected.clone(),
            }),
        };
        self.inputs.take_pose(index, pose, stamp)
    }

    /// Adds the frames of a message of `/tf`, or of `/tf_static`, whose stamps do not count. A message with the newest part of a
    /// pose completes that pose.
    pub fn transforms(&self, transforms: Vec<Stamped<Transform>>, is_static: bool) -> Option<InputProblem> {
        let now = self.clock.now();
        let transforms = transforms.into_iter().map(|transform| {
            let stamp = (!is_static).then(|| self.stamp(transform.stamp));
            (transform.content, stamp)
        });
        let poses = self.inputs.take_transforms(transforms, now.unwrap_or_default());
        let mut problem = None;
        for (index, pose, stamp) in poses {
            let pose = pose.map_err(InputProblem::from);
            let pose = pose.and_then(|pose| self.with_good_stamp(pose.values(), stamp));
            problem = self.inputs.take_pose(index, pose, stamp).or(problem);
        }
        problem
    }

    /// Adds the values of the extra state at `index`, dated by the clock.
    pub fn extra_state(&self, index: usize, values: &[f64]) -> Option<InputProblem> {
        self.take_extra_state(index, Ok(values), self.stamp(None))
    }

    /// Adds the [velocities of a base](base_velocity) as the extra state at `index`.
    pub fn odometry(&self, index: usize, message: Stamped<[f64; 6]>) -> Option<InputProblem> {
        let stamp = self.stamp(message.stamp);
        let values = base_velocity(message.content, self.inputs.topics.extra_state[index].size);
        self.take_extra_state(index, self.with_good_stamp(&values[..], stamp), stamp)
    }

    fn take_extra_state(
        &self,
        index: usize,
        values: Result<&[f64], InputProblem>,
        stamp: Duration,
    ) -> Option<InputProblem> {
        let topic = &self.inputs.topics.extra_state[index];
        let values = values.and_then(|values| extra_state(values, topic.size));
        let values = values.map(|mut values| {
            for (value, scale) in values.iter_mut().zip(&topic.scale) {
                *value *= *scale as f32;
            }
            values
        });
        let problem = values.as_ref().err().cloned();
        self.inputs.take_extra_state(index, values, stamp);
        problem
    }

    /// Replaces the prompt; an empty one removes it.
    pub fn prompt(&self, prompt: &str) {
        self.inputs.take_prompt(prompt);
    }

    /// Moves simulated time. Returns whether it jumped back, which removes all messages from before the jump.
    pub fn clock(&self, now: Duration) -> bool {
        let jumped_back = self.clock.set(now);
        if jumped_back {
            tracing::info!("time jumped back: waiting for messages from after the jump");
            self.inputs.forget_before_reset(self.clock.resets());
        }
        jumped_back
    }

    /// Resets the clock and removes all messages from before the reset.
    pub fn reset(&self) {
        self.clock.reset();
        self.inputs.forget_before_reset(self.clock.resets());
    }

    /// Time of a message: its stamp, or the clock's time when it has none.
    pub fn stamp(&self, stamp: Option<Duration>) -> Duration {
        stamp.or(self.clock.now()).unwrap_or_default()
    }

    /// Refuses content whose stamp is too far from the clock. Before the clock is known every stamp is accepted.
    fn with_good_stamp<T>(&self, content: T, stamp: Duration) -> Result<T, InputProblem> {
        let limit = self.clock.now().zip(self.max_age);
        let problem = limit.and_then(|(now, max_age)| stamp_problem(stamp, now, max_age));
        problem.map_or(Ok(content), Err)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observation::{CameraTopic, ExtraStateKind, ExtraStateTopic, InputTopics, JointStatesTopic};

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// Inputs of one camera, one joint with the prefix `left_` and an extra state of one value, at 100 s of simulated time.
    fn receiver() -> (Inputs, Clock) {
        receiver_with(ExtraStateTopic {
            topic: "/force".to_owned(),
            size: 1,
            ..ExtraStateTopic::default()
        })
    }

    fn receiver_with(extra_state: ExtraStateTopic) -> (Inputs, Clock) {
        let topics = InputTopics {
            cameras: vec![CameraTopic {
                name: "top".to_owned(),
                ..CameraTopic::default()
            }],
            joint_states: vec![JointStatesTopic {
                topic: "/joint_states".to_owned(),
                prefix: "left_".to_owned(),
            }],
            extra_state: vec![extra_state],
            ..InputTopics::default()
        };
        let clock = Clock::simulated();
        clock.set(seconds(100));
        (Inputs::new(&topics, &["left_waist".to_owned()]), clock)
    }

    const fn feed((inputs, clock): &(Inputs, Clock), max_age: Option<Duration>) -> Feed<'_> {
        Feed {
            inputs,
            clock,
            max_age,
        }
    }

    fn image(stamp: Option<Duration>) -> Stamped<Result<RgbImage, InputProblem>> {
        Stamped {
            stamp,
            content: Ok(RgbImage::new(2, 2)),
        }
    }

    fn joint_state(joint: &str, stamp: Option<Duration>) -> Stamped<JointState> {
        Stamped {
            stamp,
            content: JointState {
                names: vec![joint.to_owned()],
                positions: vec![0.5],
            },
        }
    }

    #[test]
    fn the_velocities_of_a_base_are_in_the_policy_s_units_and_as_old_as_their_stamp() {
        let receiver = receiver_with(ExtraStateTopic {
            topic: "/odom".to_owned(),
            kind: ExtraStateKind::Odometry,
            size: 3,
            scale: vec![1.0, 1.0, 180.0],
        });
        let feed = feed(&receiver, Some(seconds(1)));
        let odometry = |stamp| Stamped {
            stamp: Some(seconds(stamp)),
            content: [0.25, -0.5, 9.0, 9.0, 9.0, 0.5],
        };
        assert_eq!(feed.odometry(0, odometry(99)), None);
        feed.image(0, image(None));
        feed.joint_state(0, joint_state("waist", None));
        feed.prompt("drive");
        let stamped = feed.inputs.observation_after(0).unwrap();
        assert_eq!(stamped.observation.state, [0.5, 0.25, -0.5, 90.0]);
        assert!(feed.odometry(0, odometry(90)).is_some());
    }

    #[test]
    fn every_kind_of_message_becomes_a_part_of_the_observation() {
        let receiver = receiver();
        let feed = feed(&receiver, Some(seconds(1)));
        assert_eq!(feed.image(0, image(None)), None);
        assert_eq!(feed.joint_state(0, joint_state("waist", Some(seconds(99)))), None);
        assert_eq!(feed.extra_state(0, &[2.0]), None);
        feed.prompt("pick up the cube");
        let stamped = feed.inputs.observation_after(0).unwrap();
        assert_eq!(stamped.observed_at, seconds(99));
        // The frame had no stamp, so it counts as taken at the clock's time.
        assert_eq!(stamped.camera_ages_s, [Some(-1.0)]);
        assert_eq!(stamped.observation.state, [0.5, 2.0]);
        assert_eq!(stamped.observation.prompt, "pick up the cube");
    }

    #[test]
    fn a_stamp_beyond_the_limit_is_refused_and_without_a_limit_accepted() {
        let receiver = receiver();
        let (live, recorded) = (feed(&receiver, Some(seconds(1))), feed(&receiver, None));
        for stamp in [Some(seconds(10)), Some(seconds(200))] {
            assert!(matches!(
                live.image(0, image(stamp)),
                Some(InputProblem::Stamp { .. })
            ));
            let joints = joint_state("waist", stamp);
            assert!(matches!(
                live.joint_state(0, joints),
                Some(InputProblem::Stamp { .. })
            ));
            assert_eq!(recorded.image(0, image(stamp)), None);
            assert_eq!(recorded.joint_state(0, joint_state("waist", stamp)), None);
        }
    }

    #[test]
    fn the_stamp_of_a_message_of_other_joints_does_not_matter() {
        let receiver = receiver();
        let feed = feed(&receiver, Some(seconds(1)));
        assert_eq!(feed.joint_state(0, joint_state("wheel", Some(seconds(10)))), None);
    }

    #[test]
    fn values_that_do_not_fit_are_returned_as_problems() {
        let receiver = receiver();
        let feed = feed(&receiver, None);
        assert!(matches!(
            feed.extra_state(0, &[1.0, 2.0]),
            Some(InputProblem::Values { .. })
        ));
        let mut joints = joint_state("waist", None);
        joints.content.positions = vec![f64::NAN];
        assert!(matches!(
            feed.joint_state(0, joints),
            Some(InputProblem::NotFinite { .. })
        ));
    }

    #[test]
    fn a_jump_back_of_time_and_a_reset_remove_what_came_before() {
        let jumps: [fn(Feed); 2] = [|feed| assert!(feed.clock(seconds(1))), |feed| feed.reset()];
        for jump in jumps {
            let receiver = receiver();
            let feed = feed(&receiver, None);
            feed.image(0, image(None));
            feed.joint_state(0, joint_state("waist", None));
            feed.extra_state(0, &[2.0]);
            feed.prompt("pick up the cube");
            assert!(feed.inputs.observation_after(0).is_some());
            jump(feed);
            assert!(feed.inputs.observation_after(0).is_none());
            assert_eq!(feed.clock.resets(), 1);
        }
    }
}
