//! Evaluation of a policy whose errors are known.

use std::path::Path;
use std::time::Duration;

use pi0_node::evaluation::bag::Bag;
use pi0_node::evaluation::{BagResult, EvaluationError, EvaluationOptions, evaluate};
use pi0_node::parameters::{ParameterValue, Parameters, Settings, parameters_of};
use pi0_node::policy::open_with;

use crate::fixtures::{bag, joints};
use crate::robot::{KnowingPolicy, changed, settings};

fn options() -> EvaluationOptions {
    EvaluationOptions {
        actions_topic: None,
        execution_horizon: Some(5),
        longest_gap: Duration::from_millis(500),
        still: 0.01,
        flow_matching_loss: true,
    }
}

fn evaluated(
    path: &Path,
    policy: &mut KnowingPolicy,
    settings: &Settings,
    options: &EvaluationOptions,
) -> Result<BagResult, EvaluationError> {
    evaluate(&Bag::open(path).unwrap(), policy, settings, options, &mut |_| {})
}

fn close(found: Option<f64>, expected: f64, tolerance: f64) {
    let found = found.expect("a metric");
    assert!(
        (found - expected).abs() < tolerance,
        "{found}, expected {expected}"
    );
}

#[test]
fn a_policy_that_knows_the_commands_has_no_error_and_smooth_transitions() {
    let mut policy = KnowingPolicy::of_commands();
    let result = evaluated(&bag("mcap_zstd"), &mut policy, &settings(""), &options()).unwrap();
    let accuracy = &result.accuracy;
    assert_eq!((accuracy.predictions, policy.seen.len()), (30, 30));
    assert!(accuracy.compared_actions > 500);
    close(accuracy.mae, 0.0, 1e-5);
    close(accuracy.first_action_mae, 0.0, 1e-5);
    close(accuracy.direction_agreement, 1.0, 1e-9);
    close(accuracy.chunk_difference, 0.0, 1e-5);
    close(accuracy.transition_velocity, 0.2, 1e-3);
    close(accuracy.within_chunk_velocity, 0.2, 1e-3);
    close(accuracy.flow_matching_loss, 1.5, 1e-9);
    assert_eq!(result.settings.actions_topic, "/joint_trajectory");
    assert_eq!(result.recording.camera_age_s["wrist"].count, 30);
}

#[test]
fn a_policy_that_is_off_has_exactly_that_error_in_every_joint_and_at_every_step() {
    let mut policy = KnowingPolicy {
        off: -0.3,
        ..KnowingPolicy::of_commands()
    };
    let accuracy = evaluated(&bag("mcap_zstd"), &mut policy, &settings(""), &options())
        .unwrap()
        .accuracy;
    close(accuracy.mse, 0.09, 1e-5);
    close(accuracy.first_action_max, 0.3, 1e-5);
    // The joints move by less than that within a chunk, so everything goes the wrong way.
    close(accuracy.direction_agreement, 0.0, 1e-9);
    assert_eq!((accuracy.by_joint.len(), accuracy.by_step.len()), (14, 20));
    for joint in &accuracy.by_joint {
        close(joint.errors.mae, 0.3, 1e-5);
    }
    for step in &accuracy.by_step {
        close(step.mse, 0.09, 1e-5);
    }
}

#[test]
fn without_commands_predictions_are_compared_with_where_the_joints_went() {
    let (_folder, path) = changed(|messages| messages.retain(|message| message.topic != "/joint_trajectory"));
    let mut policy = KnowingPolicy {
        ahead_s: 0.0,
        ..KnowingPolicy::of_commands()
    };
    let result = evaluated(&path, &mut policy, &settings(""), &options()).unwrap();
    close(result.accuracy.mae, 0.0, 1e-5);
    assert_eq!(result.settings.actions_topic, "/joint_states");
    assert!(
        result.recording.notes[0].contains("no commands"),
        "{:?}",
        result.recording.notes
    );
}

#[test]
fn commands_without_stamps_count_from_when_they_were_recorded() {
    let chosen = EvaluationOptions {
        actions_topic: Some("/commands".to_owned()),
        ..options()
    };
    let mut policy = KnowingPolicy::of_commands();
    let result = evaluated(&bag("mcap_zstd"), &mut policy, &settings(""), &chosen).unwrap();
    // They come every tenth of a second and hold until the next one: half of that is missed on average.
    close(result.accuracy.mae, 0.2 * 0.05, 0.004);
}

#[test]
fn commands_are_found_on_the_topics_that_the_node_would_publish_on() {
    let outputs = format!(
        "outputs.all: {{topic: /commands, type: array, joints: [{}]}}",
        joints().join(", ")
    );
    let mut policy = KnowingPolicy::of_commands();
    let result = evaluated(&bag("mcap_zstd"), &mut policy, &settings(&outputs), &options()).unwrap();
    assert_eq!(result.settings.actions_topic, "/commands");
    close(result.accuracy.mae, 0.2 * 0.05, 0.004);
}

#[test]
fn a_robot_of_other_conventions_is_seen_in_the_policy_s_and_compared_in_its_own() {
    let mut same = KnowingPolicy::of_commands();
    evaluated(&bag("mcap_zstd"), &mut same, &settings(""), &options()).unwrap();
    let mut policy = KnowingPolicy::of_commands();
    let result = evaluated(
        &bag("mcap_zstd"),
        &mut policy,
        &settings("joint_defaults.offset: 0.5"),
        &options(),
    )
    .unwrap();
    close(result.accuracy.mae, 0.0, 1e-5);
    for (seen, robot) in policy.seen[0].state.iter().zip(&same.seen[0].state) {
        assert!((seen - (robot - 0.5)).abs() < 1e-6, "{seen} and {robot}");
    }
}

#[test]
fn compressed_pictures_are_found_beside_the_topic_of_the_configuration() {
    let mut policy = KnowingPolicy::of_commands();
    let path = bag("mcap_compressed_images.mcap");
    let result = evaluated(&path, &mut policy, &settings(""), &options()).unwrap();
    close(result.accuracy.mae, 0.0, 1e-5);
    assert!(
        result
            .recording
            .notes
            .iter()
            .any(|note| note.contains("/camera/top/image_raw/compressed"))
    );
}

#[test]
fn every_topic_that_is_missing_or_of_another_type_is_named_with_what_was_expected() {
    let (_folder, path) = changed(|messages| {
        messages.retain(|message| !["/joint_states", "/prompt"].contains(&message.topic.as_str()));
        for message in messages
            .iter_mut()
            .filter(|message| message.topic.contains("wrist"))
        {
            message.type_name = "sensor_msgs/msg/PointCloud2".to_owned();
        }
    });
    let mut policy = KnowingPolicy::of_commands();
    let refused = evaluated(&path, &mut policy, &settings(""), &options())
        .unwrap_err()
        .to_string();
    for words in [
        "camera wrist on /camera/wrist/image_raw: found type sensor_msgs/msg/PointCloud2",
        "the joint states on /joint_states: found no such topic",
        "expected sensor_msgs/msg/JointState",
        "on /prompt",
    ] {
        assert!(refused.contains(words), "{words} is not in: {refused}");
    }
}

#[test]
fn a_bag_without_a_complete_observation_says_what_its_inputs_lacked() {
    let (_folder, path) = changed(|messages| {
        messages.retain(|message| message.topic != "/joint_trajectory");
        for message in messages
            .iter_mut()
            .filter(|message| message.topic == "/joint_states")
        {
            let place = message
                .data
                .windows(10)
                .position(|bytes| bytes == b"left_waist")
                .unwrap();
            message.data[place] = b'L';
        }
    });
    let mut policy = KnowingPolicy::of_commands();
    let refused = evaluated(&path, &mut policy, &settings(""), &options())
        .unwrap_err()
        .to_string();
    assert!(
        refused.contains("joint states: no position of left_waist"),
        "{refused}"
    );
}

#[test]
fn joints_that_are_not_the_policy_s_are_refused() {
    let mut policy = KnowingPolicy::of_commands();
    let other = settings("execution_horizon: 25");
    let refused = evaluated(&bag("mcap_zstd"), &mut policy, &other, &options()).unwrap_err();
    assert!(matches!(refused, EvaluationError::Parameters(_)), "{refused}");
}

/// The shipped policy, on pictures of which it sees everything.
fn shipped(threads: i64) -> BagResult {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let file = std::fs::read_to_string(root.join("config/aloha_sim.yaml")).unwrap();
    let mut parameters = parameters_of(&file, "/pi0_node").unwrap();
    let checkpoint = root.join("checkpoints/aloha_sim").display().to_string();
    parameters.extend([
        ("checkpoint".to_owned(), ParameterValue::String(checkpoint)),
        ("cameras.top.crop".to_owned(), ParameterValue::NotSet),
        ("threads".to_owned(), ParameterValue::Integer(threads)),
    ]);
    let settings = Parameters::from_overrides(parameters.into_iter())
        .unwrap()
        .settings()
        .clone();
    let mut policy = open_with(&settings.checkpoint, settings.device, settings.policy.clone()).unwrap();
    let bag = Bag::open(bag("sqlite3_message_zstd")).unwrap();
    evaluate(&bag, &mut *policy, &settings, &options(), &mut |_| {}).unwrap()
}

#[test]
fn the_same_bag_and_seed_give_the_same_metrics_with_any_number_of_threads() {
    let one = shipped(1);
    assert!(one.accuracy.predictions > 20 && one.accuracy.flow_matching_chunks > 10);
    for threads in [1, 2, 3] {
        let other = shipped(threads);
        assert_eq!(one.accuracy, other.accuracy, "{threads} threads");
        assert_eq!(one.recording, other.recording, "{threads} threads");
    }
}
