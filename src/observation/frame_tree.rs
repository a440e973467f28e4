//! The frames of a robot, and where they are in each other: what `/tf` and `/tf_static` say.

use std::collections::HashMap;
use std::time::Duration;

use super::history::History;
use crate::pose::Pose;

/// Poses of a frame that are kept: a second at 1 kHz.
const MESSAGES: usize = 1024;

/// A chain of frames that is longer is a loop.
const LONGEST_CHAIN: usize = 100;

/// Pose of a frame in its parent at a time.
#[derive(Clone, Debug, PartialEq)]
pub struct Transform {
    /// Name of the frame that the pose is in.
    pub parent: String,
    /// Name of the frame.
    pub child: String,
    /// Where the frame is.
    pub pose: Pose,
}

/// Why a frame's pose in another one is not known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameProblem {
    /// Frame that nothing was said about.
    #[error("nothing is known of the frame {0}")]
    Unknown(String),
    /// Frames without a common ancestor.
    #[error("the frames {0} and {1} are not connected")]
    NotConnected(String, String),
    /// Frames that are each other's parents.
    #[error("the parents of the frame {0} have no end")]
    Loop(String),
    /// Frames whose poses were not sent for one time.
    #[error("the poses between {0} and {1} are of times that are more than a second apart")]
    Apart(String, String),
}

/// Every frame that was sent, by its name, with its parent and its newest poses there.
#[derive(Debug, Default)]
pub struct FrameTree {
    frames: HashMap<String, Frame>,
}

#[derive(Debug)]
struct Frame {
    parent: String,
    poses: Poses,
}

#[derive(Debug)]
enum Poses {
    Static(Pose),
    Moving(History<Pose>),
}

impl FrameTree {
    /// Takes in the pose of a frame at a time; none for one that holds for ever. Another parent than before replaces what was
    /// known.
    pub fn take(&mut self, transform: Transform, stamp: Option<Duration>) {
        let Transform { parent, child, pose } = transform;
        let frame = self.frames.entry(child).or_insert_with(|| Frame {
            parent: parent.clone(),
            poses: Poses::Static(pose),
        });
        if frame.parent != parent {
            *frame = Frame {
                parent,
                poses: Poses::Static(pose),
            };
        }
        match (stamp, &mut frame.poses) {
            (None, poses) => *poses = Poses::Static(pose),
            (Some(stamp), Poses::Moving(history)) => history.push(stamp, pose),
            (Some(stamp), poses) => {
                let mut history = History::new(MESSAGES);
                history.push(stamp, pose);
                *poses = Poses::Moving(history);
            }
        }
    }

    /// The newest pose of `frame` in `base`, at the latest time for which every frame between them is known; no time where all of
    /// them are static. Between two messages a pose is interpolated.
    ///
    /// # Errors
    /// When they are not connected, or their poses are of different times.
    pub fn newest_pose(&self, base: &str, frame: &str) -> Result<(Option<Duration>, Pose), FrameProblem> {
        let (mut up_from_base, mut up_from_frame) = (self.ancestry(base)?, self.ancestry(frame)?);
        if up_from_base.last() != up_from_frame.last() {
            let unknown = [base, frame].into_iter().find(|name| !self.is_known(name));
            return Err(match unknown {
                Some(unknown) => FrameProblem::Unknown(unknown.to_owned()),
                None => FrameProblem::NotConnected(base.to_owned(), frame.to_owned()),
            });
        }
        // What both have in common at the end does not matter: the nearest common ancestor is the last that stays.
        while let ([.., base_next, _], [.., frame_next, _]) = (&up_from_base[..], &up_from_frame[..])
            && base_next == frame_next
        {
            up_from_base.pop();
            up_from_frame.pop();
        }
        let links = |names: &[&str]| -> Vec<&Frame> {
            let below = &names[..names.len() - 1];
            below.iter().filter_map(|name| self.frames.get(*name)).collect()
        };
        let (from_base, from_frame) = (links(&up_from_base), links(&up_from_frame));
        let newest = |link: &&Frame| match &link.poses {
            Poses::Static(_) => None,
            Poses::Moving(history) => history.newest().map(|(stamp, _)| stamp),
        };
        let time = from_base.iter().chain(&from_frame).filter_map(newest).min();
        let in_ancestor = |links: &[&Frame]| {
            links.iter().try_fold(Pose::IDENTITY, |below, link| {
                let pose = link.at(time)?;
                Some(pose * below)
            })
        };
        let both = in_ancestor(&from_base).zip(in_ancestor(&from_frame));
        let (base_pose, frame_pose) =
            both.ok_or_else(|| FrameProblem::Apart(base.to_owned(), frame.to_owned()))?;
        Ok((time, base_pose.inverse() * frame_pose))
    }

    /// Forgets everything but what holds for ever.
    pub fn forget_moving(&mut self) {
        self.frames
            .retain(|_, frame| matches!(frame.poses, Poses::Static(_)));
    }

    /// A frame, its parent, that one's parent, and so on.
    fn ancestry<'a>(&'a self, name: &'a str) -> Result<Vec<&'a str>, FrameProblem> {
        let mut names = vec![name];
        while let Some(frame) = self.frames.get(names[names.len() - 1]) {
            names.push(&frame.parent);
            if names.len() > LONGEST_CHAIN {
                return Err(FrameProblem::Loop(name.to_owned()));
            }
        }
        Ok(names)
    }

    fn is_known(&self, name: &str) -> bool {
        self.frames.contains_key(name) || self.frames.values().any(|frame| frame.parent == name)
    }
}

impl Frame {
    /// The pose in the parent at a time.
    fn at(&self, time: Option<Duration>) -> Option<Pose> {
        let history = match &self.poses {
            Poses::Static(pose) => return Some(*pose),
            Poses::Moving(history) => history,
        };
        let time = time?;
        let [(before, from), (after, to)] = history.around(time)?;
        let way = after.saturating_sub(before).as_secs_f64();
        let share = match way > 0.0 {
            true => time.saturating_sub(before).as_secs_f64() / way,
            false => 0.0,
        };
        Some(from.interpolate(*to, share))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pose::Rotation;

    const fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    fn at(x: f64, about_z: f64) -> Pose {
        Pose {
            position: [x, 0.0, 0.0],
            rotation: Rotation::from_vector([0.0, 0.0, about_z]),
        }
    }

    fn transform(parent: &str, child: &str, pose: Pose) -> Transform {
        Transform {
            parent: parent.to_owned(),
            child: child.to_owned(),
            pose,
        }
    }

    fn assert_pose(found: Pose, x: f64, y: f64, about_z: f64) {
        let expected = Pose {
            position: [x, y, 0.0],
            rotation: Rotation::from_vector([0.0, 0.0, about_z]),
        };
        let [distance, angle] = found.distances(expected);
        assert!(
            distance < 1e-9 && angle < 1e-9,
            "{found:?}, expected {expected:?}"
        );
    }

    /// world → base → arm → tool, and world → table; arm moves.
    fn tree() -> FrameTree {
        let mut tree = FrameTree::default();
        tree.take(transform("world", "base", at(1.0, 0.0)), None);
        tree.take(transform("world", "table", at(2.0, 0.0)), None);
        tree.take(transform("arm", "tool", at(0.5, 0.0)), None);
        tree.take(transform("base", "arm", at(0.0, 0.0)), Some(ms(1000)));
        tree
    }

    #[test]
    fn poses_are_composed_along_the_tree_up_and_down() {
        let mut tree = tree();
        let quarter = std::f64::consts::FRAC_PI_2;
        tree.take(transform("base", "arm", at(0.2, quarter)), Some(ms(1010)));
        let (time, pose) = tree.newest_pose("base", "tool").unwrap();
        assert_eq!(time, Some(ms(1010)));
        assert_pose(pose, 0.2, 0.5, quarter);
        let (_, pose) = tree.newest_pose("table", "tool").unwrap();
        assert_pose(pose, -0.8, 0.5, quarter);
        let (_, pose) = tree.newest_pose("tool", "tool").unwrap();
        assert_pose(pose, 0.0, 0.0, 0.0);
        let (time, pose) = tree.newest_pose("table", "base").unwrap();
        assert_eq!(time, None, "both are static");
        assert_pose(pose, -1.0, 0.0, 0.0);
    }

    #[test]
    fn a_pose_is_of_the_time_that_every_frame_between_is_known_for() {
        let mut tree = tree();
        tree.take(transform("base", "arm", at(0.2, 0.4)), Some(ms(1020)));
        tree.take(transform("arm", "tool", at(0.5, 0.0)), Some(ms(990)));
        tree.take(transform("arm", "tool", at(0.6, 0.0)), Some(ms(1010)));
        let (time, pose) = tree.newest_pose("arm", "tool").unwrap();
        assert_eq!(time, Some(ms(1010)));
        assert_pose(pose, 0.6, 0.0, 0.0);
        let (time, pose) = tree.newest_pose("base", "tool").unwrap();
        assert_eq!(time, Some(ms(1010)));
        assert_pose(pose, 0.1 + 0.6 * 0.2_f64.cos(), 0.6 * 0.2_f64.sin(), 0.2);
    }

    #[test]
    fn frames_that_are_not_connected_or_unknown_are_named() {
        let mut tree = tree();
        let unknown = tree.newest_pose("base", "camera").unwrap_err();
        assert_eq!(unknown, FrameProblem::Unknown("camera".to_owned()));
        tree.take(transform("rig", "camera", at(0.0, 0.0)), None);
        assert!(matches!(
            tree.newest_pose("base", "camera"),
            Err(FrameProblem::NotConnected(..))
        ));
        tree.take(transform("camera", "rig", at(0.0, 0.0)), None);
        assert!(matches!(
            tree.newest_pose("base", "camera"),
            Err(FrameProblem::Loop(_))
        ));
    }

    #[test]
    fn poses_of_different_times_are_not_composed() {
        let mut tree = tree();
        tree.take(transform("arm", "tool", at(0.5, 0.0)), Some(ms(5000)));
        assert!(matches!(
            tree.newest_pose("base", "tool"),
            Err(FrameProblem::Apart(..))
        ));
    }

    #[test]
    fn another_parent_replaces_what_was_known_and_static_frames_stay() {
        let mut tree = tree();
        tree.take(transform("table", "arm", at(0.3, 0.0)), Some(ms(1100)));
        let (_, pose) = tree.newest_pose("table", "arm").unwrap();
        assert_pose(pose, 0.3, 0.0, 0.0);
        tree.forget_moving();
        assert!(tree.newest_pose("table", "arm").is_err());
        assert!(tree.newest_pose("table", "base").is_ok());
    }
}
