//! Bags of independent writers: rosbags and mcap of PyPI.

use std::path::{Path, PathBuf};

use pi0_node::doctor::{Sightings, Source, guess};
use pi0_node::evaluation::{bag::Bag, sightings};
use pi0_node::observation::Transport;

use crate::robot::needs;

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/bags")
        .join(name)
}

fn seen(name: &str) -> Sightings {
    sightings(&Bag::open(path(name)).unwrap()).unwrap()
}

#[test]
fn what_was_recorded_is_seen_in_every_way_of_writing_it_down() {
    for name in [
        "mcap_zstd",
        "mcap_message_zstd_big_endian",
        "mcap_no_index.mcap",
        "mcap_split",
        "sqlite3_file_zstd",
        "sqlite3_message_zstd",
    ] {
        let seen = seen(name);
        assert_eq!((seen.source, seen.unreadable.len()), (Source::Bag, 0), "{name}");
        let top = &seen.cameras["/camera/top/image_raw"];
        assert_eq!(
            (top.encoding.as_str(), top.size, top.arrivals.count()),
            ("rgb8", Some([8, 6]), 30)
        );
        assert!((top.arrivals.rate_hz().unwrap() - 10.0).abs() < 1e-6);
        assert_eq!(seen.cameras["/camera/wrist/image_raw"].arrivals.count(), 12);
        let joints = &seen.joint_states["/joint_states"];
        assert_eq!(
            (joints.joints.len(), joints.joints[0].name.as_str()),
            (15, "right_gripper")
        );
        let waist = joints
            .joints
            .iter()
            .find(|joint| joint.name == "left_waist")
            .unwrap();
        assert!(
            (waist.low - 0.002).abs() < 1e-9 && (waist.high - 0.582).abs() < 1e-9,
            "{waist:?}"
        );
        let age = joints.arrivals.age_s(false).unwrap();
        assert!(
            (age.low - 0.002).abs() < 1e-6 && (age.high - 0.002).abs() < 1e-6,
            "{age:?}"
        );
        let controller = &seen.controllers["/joint_trajectory"];
        assert_eq!(controller.joints.as_ref().unwrap().len(), 15);
        assert!(seen.controllers.contains_key("/commands"));
    }
}

#[test]
fn compressed_images_of_a_bag_have_the_size_of_their_pictures() {
    let seen = seen("mcap_compressed_images.mcap");
    let top = &seen.cameras["/camera/top/image_raw/compressed"];
    assert_eq!(
        (top.transport, top.size, &top.problem),
        (Transport::Compressed, Some([8, 6]), &None)
    );
    assert_eq!(top.encoding, "rgb8; png compressed");
}

#[test]
fn joints_of_a_bag_are_put_in_the_order_of_the_data() {
    let needs = needs();
    let setup = guess(&seen("mcap_zstd"), &needs);
    assert_eq!(setup.joint_names.value, Some(needs.state_names.clone()));
    assert!(!setup.use_sim_time);
    let outputs = setup.outputs;
    assert_eq!(
        outputs.value, None,
        "its trajectories have a wheel, which the policy does not move"
    );
    assert!(outputs.reason.contains("/joint_trajectory"), "{}", outputs.reason);
}

#[test]
fn a_bag_that_was_cut_off_is_seen_as_far_as_it_goes_and_that_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = std::fs::read(path("mcap_no_index.mcap")).unwrap();
    let cut = folder.path().join("cut.mcap");
    std::fs::write(&cut, &bytes[..bytes.len() * 3 / 4]).unwrap();
    let seen = sightings(&Bag::open(&cut).unwrap()).unwrap();
    assert!(seen.joint_states["/joint_states"].arrivals.count() > 10);
    let warning = seen.unreadable.values().next().unwrap();
    assert!(warning.contains("damaged or cut off"), "{warning}");
}
