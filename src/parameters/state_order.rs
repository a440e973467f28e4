//! The order of the checkpoint's state.

use super::inputs::each_once;
use super::poses::value_names;
use super::reader::Reader;
use super::table::NodeParameters;
use crate::policy::StatePart;
use crate::pose::POSE_VALUES;

/// A part of the state by its name: its values in the checkpoint, and where they come from.
struct Part {
    name: String,
    labels: Vec<String>,
    part: StatePart,
}

/// Every part that the robot has, in the order of its own state.
fn all_parts(parameters: &NodeParameters) -> Vec<Part> {
    let joints = parameters.joint_order.joint_names.iter().enumerate();
    let mut parts: Vec<Part> = joints
        .map(|(index, name)| Part {
            name: name.clone(),
            labels: vec![name.clone()],
            part: StatePart::Joint(index),
        })
        .collect();
    let mut first = parts.len();
    for (index, (name, pose)) in parameters.poses.iter().enumerate() {
        let position = value_names(name).take(pose.state_axes.len());
        let rotation = (0..pose.state_rotation.len()).map(|value| format!("{name}.rotation[{value}]"));
        parts.push(Part {
            name: name.clone(),
            labels: position.chain(rotation).collect(),
            part: StatePart::Pose(index),
        });
        first += POSE_VALUES;
    }
    for (name, extra) in &parameters.extra_state {
        parts.push(Part {
            name: name.clone(),
            labels: (0..extra.size).map(|value| format!("{name}[{value}]")).collect(),
            part: StatePart::Other(first..first + extra.size),
        });
        first += extra.size;
    }
    parts
}

/// The parts of the checkpoint's state, in its order.
fn ordered(parameters: &NodeParameters) -> Vec<Part> {
    let order = &parameters.state.state_order;
    let mut parts = all_parts(parameters);
    if order.is_empty() {
        return parts;
    }
    let place = |name: &String| order.iter().position(|part| part == name);
    parts.retain(|part| place(&part.name).is_some());
    parts.sort_by_key(|part| place(&part.name));
    parts
}

/// Refuses an order with names that the robot does not have.
pub fn check(parameters: &NodeParameters, reader: &mut Reader) {
    let order = &parameters.state.state_order;
    let parts = all_parts(parameters);
    if let Some(unknown) = order
        .iter()
        .find(|name| parts.iter().all(|part| part.name != **name))
    {
        let expected =
            format!("names of joint_names, pose_names and extra_state_names, which {unknown} is not");
        reader.refuse("state_order", expected);
    }
    each_once("state_order", order, reader);
}

/// The parts in the checkpoint's order; none where that is the robot's own.
pub fn parts(parameters: &NodeParameters) -> Vec<StatePart> {
    match parameters.state.state_order.is_empty() {
        true => Vec::new(),
        false => ordered(parameters).into_iter().map(|part| part.part).collect(),
    }
}

/// The name of each value of the checkpoint's state: a joint's own.
pub fn labels(parameters: &NodeParameters) -> Vec<String> {
    ordered(parameters)
        .into_iter()
        .flat_map(|part| part.labels)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::ParameterValue::Integer;
    use super::super::overrides::{names, problems, settings, text};

    #[test]
    fn the_state_has_the_parts_that_are_named_in_their_order() {
        let force = [
            ("extra_state_names", names("force")),
            ("extra_state.force.topic", text("/force")),
            ("extra_state.force.size", Integer(2)),
        ];
        let ordered = settings(&[&force[..], &[("state_order", names("force grip waist"))]].concat());
        let mapping = &ordered.joint_mapping;
        // The robot's own order: waist, elbow, grip, force.
        assert_eq!(
            mapping.state_to_policy(&[1.0, 2.0, 3.0, 4.0, 5.0]),
            [4.0, 5.0, 3.0, 1.0]
        );
        assert_eq!(
            ordered.policy.checkpoint.joints.state,
            ["force[0]", "force[1]", "grip", "waist"]
        );
        let own = settings(&force);
        assert_eq!(
            own.joint_mapping
                .state_to_policy(&[1.0, 2.0, 3.0, 4.0, 5.0])
                .len(),
            5
        );
        assert_eq!(
            problems(&[("state_order", names("waist wrist"))]),
            ["state_order"]
        );
    }
}
