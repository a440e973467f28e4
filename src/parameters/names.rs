//! What is written in place of a name that no parameter has.

/// How similar two names are, from 0 to 1, where one may be a slip for the other.
const SIMILAR: f64 = 0.7;

/// Each name that a parameter had before, and its new one.
const RENAMED: &[(&str, &str)] = &[
    ("cameras", "cameras.<name>.topic"),
    ("camera_topics", "cameras.<name>.topic"),
    ("camera_transports", "cameras.<name>.transport"),
    ("camera_crops", "cameras.<name>.crop"),
    ("optional_cameras", "cameras.<name>.optional"),
    ("vision_refresh_hz", "cameras.<name>.refresh_hz"),
    ("joint_scales", "joints.<name>.scale"),
    ("joint_offsets", "joints.<name>.offset"),
    (
        "grippers",
        "joints.<name>.robot_range and joints.<name>.policy_range",
    ),
    ("gripper_robot_ranges", "joints.<name>.robot_range"),
    ("gripper_policy_ranges", "joints.<name>.policy_range"),
    ("action_modes", "joints.<name>.action_mode"),
    ("action_scales", "joints.<name>.action_scale"),
    ("joint_position_min", "joints.<name>.position_min"),
    ("joint_position_max", "joints.<name>.position_max"),
    ("joint_velocity_max", "joints.<name>.max_velocity"),
    ("joint_acceleration_max", "joints.<name>.max_acceleration"),
    ("max_start_jump", "joints.<name>.max_start_jump"),
    ("max_following_error", "joints.<name>.max_following_error"),
    (
        "joint_states_topics",
        "joint_states_topic, or joint_states.<name>.topic for several",
    ),
    ("joint_states_prefixes", "joint_states.<name>.prefix"),
    (
        "extra_state_topics",
        "extra_state.<name>.topic, with extra_state_names",
    ),
    ("extra_state_sizes", "extra_state.<name>.size"),
    ("output_topics", "outputs.<name>.topic"),
    ("output_types", "outputs.<name>.type"),
    ("output_joints", "outputs.<name>.joints"),
    ("output_prefixes", "outputs.<name>.prefix"),
    ("actions_to_execute", "execution_horizon"),
    ("chunk_overlap", "chunk_blending"),
    ("align_fade_s", "blend_duration_s"),
];

/// Each map, and what its entries are.
const MAPS: &[(&str, &str)] = &[
    ("cameras", "cameras with a topic"),
    ("joints", "joints of joint_names"),
    ("poses", "poses of pose_names"),
    ("joint_states", "joint_states with a topic"),
    ("extra_state", "names of extra_state_names"),
    ("outputs", "outputs with a topic"),
];

/// What is expected, in words, in place of a name that none of the `known` parameters has: the new name of an old one, an
/// entry or a field of the map, or the most similar name.
pub fn expected_name<'a>(name: &str, known: impl Iterator<Item = &'a String> + Clone) -> String {
    if let Some((_, new)) = RENAMED.iter().find(|(old, _)| *old == name) {
        return format!("its new name {new}");
    }
    let member = MAPS.iter().find_map(|(map, entries)| {
        let rest = name.strip_prefix(map)?.strip_prefix('.')?;
        Some((
            map,
            entries,
            rest.rsplit_once('.').map_or(rest, |(entry, _)| entry),
        ))
    });
    if let Some((map, entries, entry)) = member {
        let members = known.filter_map(|name| name.strip_prefix(map)?.strip_prefix('.')?.rsplit_once('.'));
        let fields = members
            .clone()
            .filter(|(known, _)| *known == entry)
            .map(|(_, field)| field);
        let fields: Vec<&str> = fields.collect();
        if !fields.is_empty() {
            return format!("one of {} after {map}.{entry}", fields.join(", "));
        }
        let mut names: Vec<&str> = members.map(|(entry, _)| entry).collect();
        names.dedup();
        let names = if names.is_empty() {
            "there are none".to_owned()
        } else {
            names.join(", ")
        };
        return format!("one of the {entries}: {names}");
    }
    let letters = |name: &str| name.chars().count() as f64;
    let length = letters(name);
    // Names that differ more in their lengths are less similar, and to compare them takes long.
    let is_near_in_length = |known: &&String| {
        let other = letters(known);
        length.min(other) > SIMILAR * length.max(other)
    };
    let similar = known
        .filter(is_near_in_length)
        .map(|known| (strsim::normalized_damerau_levenshtein(known, name), known))
        .filter(|(similarity, _)| *similarity > SIMILAR);
    match similar.max_by(|(one, _), (other, _)| one.total_cmp(other)) {
        Some((_, nearest)) => format!("{nearest}, or another parameter"),
        None => "a parameter; pi0_node --print-parameters lists them".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::ParameterValue;
    use super::super::overrides::problem;
    use super::super::table::GROUPS;
    use super::*;

    #[test]
    fn every_old_name_is_refused_with_a_new_one_that_exists() {
        for (old, new) in RENAMED {
            let refused = problem(&[(old, ParameterValue::Integer(1))]);
            assert_eq!(refused, format!("{old}: found 1, expected its new name {new}"));
            let named = |full: &str| new.split([' ', ',']).any(|word| word == full);
            let exists = GROUPS.iter().any(|group| {
                group
                    .definitions
                    .iter()
                    .any(|definition| named(&format!("{}{}", group.prefix, definition.name)))
            });
            assert!(exists, "{old}: {new}");
        }
    }
}
