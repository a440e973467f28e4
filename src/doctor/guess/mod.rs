//! A setup worked out from what was seen and what the policy needs. Where the two leave more than one answer there is none:
//! a robot must not move on a guess.

mod cameras;
mod joints;
mod outputs;
mod transforms;

pub(super) use cameras::{described, other_aspect, same_aspect};

use super::needs::Needs;
use super::setup::{Choice, Setup, description_offer, prompt_offer};
use super::sightings::Sightings;
use crate::observation::JointStatesTopic;
use crate::policy::UnitTransform;

/// Age of a message in seconds up to which its stamp is of the clock that it is compared with.
const OF_THE_CLOCK_S: f64 = 0.5;
const ROBOT_DESCRIPTION: &str = "/robot_description";

/// Works out a setup.
pub fn guess(seen: &Sightings, needs: &Needs) -> Setup {
    let (joint_names, joint_states) = joints::joint_names(seen, needs);
    let transforms = match &joint_names.value {
        Some(names) => transforms::transforms(seen, needs, names, &joint_states),
        None => Vec::new(),
    };
    let action_joints = outputs::action_joints(needs, &joint_names);
    let delta_actions = needs.is_openpi.then(|| {
        Choice::open(
            "openpi's folders do not tell which actions are relative to the state: the counts of make_bool_mask in the \
             training's DeltaActions, [6, -1] say, or [] where there is none",
        )
    });
    Setup {
        cameras: cameras::cameras(seen, needs),
        outputs: outputs::outputs(seen, &action_joints),
        use_sim_time: is_simulated(seen, &joint_states),
        robot_description: robot_description(seen, &transforms).map(|topic| (topic, description_offer())),
        joint_names,
        state_names: None,
        joint_states,
        transforms,
        action_joints,
        delta_actions,
        action_rate_hz: match needs.action_rate_hz {
            Some(rate) => Choice::known(rate, "frames a second of the data"),
            None => Choice::open(
                "the checkpoint does not tell the rate of its data, and at a wrong one the robot moves too fast or too slowly: \
                 frames a second of the data set (fps in its meta/info.json)",
            ),
        },
        prompt: ("/prompt".to_owned(), prompt_offer()),
    }
}

/// Whether the joints' stamps are those of `/clock`.
fn is_simulated(seen: &Sightings, joint_states: &[JointStatesTopic]) -> bool {
    joint_states.iter().any(|topic| {
        let topic = seen.joint_states.get(&topic.topic);
        let age = topic.and_then(|topic| topic.arrivals.age_s(true));
        age.is_some_and(|age| age.low.abs() <= OF_THE_CLOCK_S && age.high.abs() <= OF_THE_CLOCK_S)
    })
}

/// Topic of the robot's description, whose limits are in radians and metres; none where the joints are not.
fn robot_description(seen: &Sightings, transforms: &[Choice<UnitTransform>]) -> Option<String> {
    let is_scaled = |transform: &Choice<UnitTransform>| matches!(transform.value, Some(UnitTransform::Linear { scale, .. }) if scale.abs() < 0.5);
    let has_usual = seen.descriptions.is_empty() || seen.descriptions.contains_key(ROBOT_DESCRIPTION);
    match transforms.iter().any(is_scaled) {
        true => None,
        false if has_usual => Some(ROBOT_DESCRIPTION.to_owned()),
        false => seen.descriptions.keys().next().cloned(),
    }
}
