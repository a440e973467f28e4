//! Positions of the policy's joints among what was seen.

use super::sightings::Sightings;
use crate::observation::JointStatesTopic;

/// Lowest and highest position of a joint in the robot's units.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Seen {
    /// Lowest position.
    pub low: f64,
    /// Highest position.
    pub high: f64,
}

/// Positions of each of `names` on these topics; `None` for one that no topic has.
pub fn positions(seen: &Sightings, names: &[String], topics: &[JointStatesTopic]) -> Vec<Option<Seen>> {
    let position = |name: &String| {
        topics.iter().find_map(|topic| {
            let own_name = name.strip_prefix(&topic.prefix)?;
            let states = seen.joint_states.get(&topic.topic)?;
            let joint = states.joints.iter().find(|joint| joint.name == own_name)?;
            Some(Seen {
                low: joint.low,
                high: joint.high,
            })
        })
    };
    names.iter().map(position).collect()
}
