//! The configurations that come with the package pass the node's own checks and fit the checkpoints they are for.

use pi0_node::parameters::{ParameterValue, Parameters, PolicyShape, Settings, parameters_of};
use pi0_node::policy::ActionChunk;

fn settings(configuration: &str, shape: [usize; 3]) -> Settings {
    let path = format!("{}/config/{configuration}.yaml", env!("CARGO_MANIFEST_DIR"));
    let mut parameters = parameters_of(&std::fs::read_to_string(path).unwrap(), "/pi0_node").unwrap();
    parameters.push((
        "checkpoint".to_owned(),
        ParameterValue::String("/checkpoint".to_owned()),
    ));
    let parameters = Parameters::from_overrides(parameters.into_iter()).unwrap();
    let [state_dim, action_dim, action_horizon] = shape;
    let shape = PolicyShape {
        state_dim,
        action_dim,
        action_horizon,
        takes_prefixes: true,
        rtc_training_max_delay: 0,
    };
    parameters.settings().check_against(shape).unwrap();
    parameters.settings().clone()
}

/// The state that the policy gets, and the first two actions of the robot where the policy says the same twice.
fn through(settings: &Settings, state: &[f32], action: &[f32]) -> (Vec<f32>, Vec<f32>, Vec<f32>) {
    let chunk = ActionChunk::new([action, action].concat(), action.len());
    let robot = settings.joint_mapping.actions_to_robot(&chunk, state);
    let state = settings.joint_mapping.state_to_policy(state);
    (state, robot.action(0).to_vec(), robot.action(1).to_vec())
}

fn assert_close(found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() < 1e-4, "{found} and {expected}");
    }
}

#[test]
fn every_configuration_of_the_package_is_tested_here() {
    let folder = std::fs::read_dir(format!("{}/config", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let mut names: Vec<String> = folder
        .map(|file| file.unwrap().file_name().to_string_lossy().into_owned())
        .filter(|name| name.ends_with(".yaml"))
        .collect();
    names.sort();
    assert_eq!(
        names,
        [
            "aloha_real.yaml",
            "aloha_sim.yaml",
            "franka_droid.yaml",
            "omx.yaml",
            "panda_sim.yaml",
            "so101.yaml",
            "so101_radians.yaml",
            "so101_rosetta.yaml",
            "ur5e.yaml",
            "wxai.yaml"
        ]
    );
    settings("aloha_sim", [14, 14, 50]);
}

#[test]
fn aloha_s_joints_are_flipped_and_its_grippers_counted_as_openpi_does() {
    let settings = settings("aloha_real", [14, 14, 50]);
    let arm = [0.1, -0.9, 1.1, 0.2, -0.3, 0.4, 0.5476];
    let state = [arm, [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.6296]].concat();
    let action = [[0.1; 7], [0.0, 0.1, 0.0, 0.0, 0.0, 0.0, -0.5]].concat();
    let (policy, first, second) = through(&settings, &state, &action);
    assert_close(&policy[..7], &[0.1, 0.9, -1.1, 0.2, -0.3, 0.4, 0.0]);
    assert_close(&policy[13..], &[1.0]);
    assert_close(&first[..7], &[0.2, -1.0, 1.0, 0.3, -0.2, 0.5, 0.6476]);
    assert_close(&first[7..], &[0.0, -0.1, 0.0, 0.0, 0.0, 0.0, 0.0476]);
    assert_close(&second, &first);
    assert_eq!(settings.outputs[2].names[0], "waist");
    assert_eq!(settings.outputs[2].joints, [7, 8, 9, 10, 11, 12]);
}

#[test]
fn droid_s_velocities_add_up_from_action_to_action() {
    let settings = settings("franka_droid", [8, 8, 10]);
    let state = [0.0, 0.1, 0.0, -2.0, 0.0, 2.0, 0.0, 0.7929];
    let action = [1.0, 0.0, 0.0, 0.5, 0.0, 0.0, -1.0, 0.5];
    let (policy, first, second) = through(&settings, &state, &action);
    assert_close(&policy, &[0.0, 0.1, 0.0, -2.0, 0.0, 2.0, 0.0, 1.0]);
    assert_close(&first, &[0.2, 0.1, 0.0, -1.9, 0.0, 2.0, -0.2, 0.39645]);
    assert_close(&second, &[0.4, 0.1, 0.0, -1.8, 0.0, 2.0, -0.4, 0.39645]);
}

#[test]
fn an_so101_s_radians_are_lerobot_s_degrees() {
    let settings = settings("so101", [6, 6, 50]);
    let quarter = std::f32::consts::FRAC_PI_2;
    let (policy, first, _) = through(
        &settings,
        &[quarter, 0.0, 0.0, 0.0, 0.0, 1.74533],
        &[90.0, 0.0, -45.0, 0.0, 0.0, 0.0],
    );
    assert_close(&policy[..5], &[90.0, 0.0, 0.0, 0.0, 0.0]);
    assert!((policy[5] - 100.0).abs() < 1e-3);
    assert_close(&first, &[quarter, 0.0, -quarter / 2.0, 0.0, 0.0, -0.174_533]);
}

#[test]
fn a_ur5e_moves_relative_to_where_it_was_and_its_gripper_absolutely() {
    let settings = settings("ur5e", [7, 7, 50]);
    let state = [0.1, -1.5, 1.5, 0.0, 0.0, 0.0, 0.0];
    let (policy, first, second) = through(&settings, &state, &[0.1, 0.1, 0.0, 0.0, 0.0, 0.0, 1.0]);
    assert_close(&policy, &state);
    assert_close(&first, &[0.2, -1.4, 1.5, 0.0, 0.0, 0.0, 0.7929]);
    assert_close(&second, &first);
}

#[test]
fn robots_whose_policies_learned_from_their_own_bags_keep_their_units() {
    for (configuration, joints, outputs) in [
        ("omx", 6, 1),
        ("so101_radians", 6, 1),
        ("so101_rosetta", 6, 1),
        ("wxai", 7, 2),
    ] {
        let settings = settings(configuration, [joints, joints, 50]);
        let state: Vec<f32> = (0..joints).map(|joint| 0.01 * joint as f32).collect();
        let action: Vec<f32> = state.iter().map(|position| position + 0.02).collect();
        let (policy, first, second) = through(&settings, &state, &action);
        assert_close(&policy, &state);
        assert_close(&first, &action);
        assert_close(&second, &action);
        assert_eq!(settings.outputs.len(), outputs, "{configuration}");
    }
}

#[test]
fn a_panda_by_pose_has_libero_s_state_and_goes_from_where_it_was_observed() {
    let panda = settings("panda_sim", [8, 7, 25]);
    let half = std::f32::consts::FRAC_1_SQRT_2;
    let fingers_and_gripper = [0.04, -0.04, 1.0];
    // The other sign is the same rotation.
    for sign in [1.0, -1.0] {
        let pose = [0.45, 0.0, 0.2, sign * half, sign * half, 0.0, 0.0];
        let state = [&fingers_and_gripper[..], &pose].concat();
        let action = [0.01, 0.0, -0.02, 0.0, 0.0, 0.1, 1.0];
        let (of_policy, first, second) = through(&panda, &state, &action);
        let angle = std::f32::consts::PI * half;
        assert_close(&of_policy, &[0.45, 0.0, 0.2, angle, angle, 0.0, 0.04, -0.04]);
        // Turned by a tenth of a radian about the base's z, and the gripper closed.
        let (sine, cosine) = 0.05_f32.sin_cos();
        let (x, y) = (sign * half * (cosine - sine), sign * half * (cosine + sine));
        assert_close(&first, &[0.0, 0.46, 0.0, 0.18, x, y, 0.0, 0.0]);
        assert_close(&second, &first);
    }
    let (_, open, _) = through(
        &panda,
        &[&fingers_and_gripper[..], &[0.45, 0.0, 0.2, half, half, 0.0, 0.0]].concat(),
        &[0.0, 0.0, 0.0, 0.0, 0.0, 0.0, -1.0],
    );
    assert_close(&open, &[1.0, 0.45, 0.0, 0.2, half, half, 0.0, 0.0]);
}
