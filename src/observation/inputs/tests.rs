//! What becomes an observation, and what is said of the inputs.

use super::*;
use crate::observation::{CameraTopic, ExtraStateTopic, JointStatesTopic, PoseTopic};

fn inputs() -> Inputs {
    inputs_of(None, &["waist"], |_| {})
}

fn inputs_of(sync_slop: Option<Duration>, joints: &[&str], change: impl Fn(&mut InputTopics)) -> Inputs {
    let mut topics = InputTopics {
        cameras: vec![camera("top")],
        joint_states: vec![joint_states("/joint_states")],
        poses: Vec::new(),
        extra_state: Vec::new(),
        prompt: "/prompt".to_owned(),
        sync_slop,
    };
    change(&mut topics);
    let joints: Vec<String> = joints.iter().map(|&joint| joint.to_owned()).collect();
    let inputs = Inputs::new(&topics, &joints);
    inputs.take_prompt("wave");
    inputs
}

fn camera(name: &str) -> CameraTopic {
    CameraTopic {
        name: name.to_owned(),
        topic: format!("/{name}"),
        ..CameraTopic::default()
    }
}

fn joint_states(topic: &str) -> JointStatesTopic {
    JointStatesTopic {
        topic: topic.to_owned(),
        ..JointStatesTopic::default()
    }
}

const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// A frame that is told by its width.
fn frame(inputs: &Inputs, camera: usize, width: u32, stamp_ms: u64) {
    inputs.take_image(camera, Ok(RgbImage::new(width, 1)), ms(stamp_ms));
}

fn waist(inputs: &Inputs, position: f32, stamp_ms: u64) {
    inputs.take_joint_positions(0, Ok(vec![(0, position)]), ms(stamp_ms));
}

fn observation(inputs: &Inputs) -> Option<StampedObservation> {
    inputs.state.lock().observation()
}

fn bad() -> InputProblem {
    InputProblem::ImageSize { width: 0, height: 0 }
}

fn complete() -> Inputs {
    let inputs = inputs();
    inputs.take_image(0, Ok(RgbImage::new(2, 2)), ms(7000));
    waist(&inputs, 0.5, 7000);
    inputs
}

#[test]
fn an_observation_is_complete_when_every_input_came() {
    let inputs = inputs();
    inputs.take_image(0, Ok(RgbImage::new(2, 2)), ms(7000));
    assert!(observation(&inputs).is_none());
    waist(&inputs, 0.5, 7000);
    let complete = observation(&inputs).unwrap();
    assert_eq!(complete.observed_at, Duration::from_secs(7));
    assert_eq!(complete.observation.state, [0.5]);
    assert_eq!(complete.observation.prompt, "wave");
    assert!(complete.observation.images.contains_key("top"));
}

#[test]
fn a_bad_message_makes_its_input_missing_until_a_good_one_comes() {
    let inputs = complete();
    inputs.take_image(0, Err(bad()), ms(7000));
    assert!(observation(&inputs).is_none());
    assert!(
        inputs.report()[0]
            .problem
            .as_ref()
            .unwrap()
            .contains("0 × 0 pixels")
    );
    inputs.take_image(0, Ok(RgbImage::new(2, 2)), ms(7000));
    assert!(observation(&inputs).is_some());
    assert_eq!(inputs.report()[0].problem, None);
}

#[test]
fn without_a_prompt_there_is_no_observation() {
    let inputs = complete();
    inputs.take_prompt("");
    assert!(observation(&inputs).is_none());
    inputs.take_prompt("wave again");
    assert_eq!(observation(&inputs).unwrap().observation.prompt, "wave again");
}

#[test]
fn nothing_from_before_a_reset_of_the_clock_is_observed() {
    let inputs = complete();
    inputs.forget_before_reset(1);
    waist(&inputs, 0.1, 0);
    assert!(observation(&inputs).is_none());
    inputs.take_image(0, Ok(RgbImage::new(2, 2)), ms(7000));
    assert_eq!(observation(&inputs).unwrap().clock_resets, 1);
}

#[test]
fn an_observation_is_given_once() {
    let inputs = complete();
    let first = inputs.wait_for_observation(0).unwrap();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| inputs.wait_for_observation(first.sequence));
        std::thread::sleep(Duration::from_millis(50));
        assert!(!waiting.is_finished());
        waist(&inputs, 0.75, 8000);
        let second = waiting.join().unwrap().unwrap();
        assert_eq!(second.observation.state, [0.75]);
    });
}

/// When the newest observation was made, and the width of the frame of every camera in it.
fn set(inputs: &Inputs, cameras: &[&str]) -> Option<(u64, Vec<u32>)> {
    let stamped = observation(inputs)?;
    let images = &stamped.observation.images;
    let widths = cameras
        .iter()
        .map(|name| images.get(*name).map_or(0, |image| image.width()));
    Some((stamped.observed_at.as_millis() as u64, widths.collect()))
}

#[test]
fn without_a_slop_the_newest_message_of_every_input_counts_whatever_its_stamp() {
    let inputs = inputs();
    frame(&inputs, 0, 1, 9000);
    frame(&inputs, 0, 2, 1000);
    waist(&inputs, 0.5, 5000);
    assert_eq!(set(&inputs, &["top"]), Some((5000, vec![2])));
    assert_eq!(observation(&inputs).unwrap().camera_ages_s, [Some(4.0)]);
}

#[test]
fn with_a_slop_the_newest_set_around_one_joint_state_is_observed() {
    let cameras = ["top", "wrist"];
    let inputs = inputs_of(Some(ms(20)), &["waist"], |topics| {
        topics.cameras = cameras.map(camera).to_vec()
    });
    for stamp in (1000..1100).step_by(10) {
        waist(&inputs, 0.0, stamp);
    }
    frame(&inputs, 0, 1, 1000);
    assert_eq!(set(&inputs, &cameras), None);
    // The wrist's camera is late: its frame goes with what the others sent at its time.
    frame(&inputs, 0, 2, 1033);
    frame(&inputs, 0, 3, 1066);
    frame(&inputs, 1, 4, 1030);
    assert_eq!(set(&inputs, &cameras), Some((1050, vec![3, 4])));
    frame(&inputs, 1, 5, 1000);
    assert_eq!(
        set(&inputs, &cameras),
        Some((1050, vec![3, 4])),
        "an old frame that came late"
    );
    frame(&inputs, 1, 6, 1066);
    assert_eq!(set(&inputs, &cameras), Some((1080, vec![3, 6])));
}

#[test]
fn with_a_slop_an_observation_is_given_again_only_when_another_set_is_newest() {
    let inputs = inputs_of(Some(ms(20)), &["waist"], |_| {});
    frame(&inputs, 0, 1, 1000);
    waist(&inputs, 0.0, 1010);
    let first = inputs.observation_after(0).unwrap();
    waist(&inputs, 0.0, 1100);
    waist(&inputs, 0.0, 1200);
    assert!(inputs.observation_after(first.sequence).is_none());
    frame(&inputs, 0, 2, 1190);
    let second = inputs.observation_after(first.sequence).unwrap();
    assert_eq!(second.observed_at, ms(1200));
    inputs.take_prompt("wave again");
    assert!(inputs.observation_after(second.sequence).is_some());
}

#[test]
fn an_input_whose_stamps_never_fit_is_reported_with_both_times() {
    let inputs = inputs_of(Some(ms(20)), &["waist"], |_| {});
    frame(&inputs, 0, 1, 1000);
    waist(&inputs, 0.0, 2500);
    let problem = inputs.report()[0].problem.clone().unwrap();
    assert!(
        problem.contains("20 ms") && problem.contains("1.000 s") && problem.contains("2.500 s"),
        "{problem}"
    );
    frame(&inputs, 0, 1, 2490);
    let report = &inputs.report()[0];
    assert_eq!(report.problem, None);
    assert!((report.behind_s.unwrap() - 0.01).abs() < 1e-9);
}

#[test]
fn an_optional_camera_is_left_out_when_it_has_no_frame_of_the_moment() {
    let cameras = ["top", "wrist"];
    let inputs = inputs_of(Some(ms(20)), &["waist"], |topics| {
        topics.cameras = cameras.map(camera).to_vec();
        topics.cameras[1].is_optional = true;
    });
    frame(&inputs, 0, 1, 1000);
    waist(&inputs, 0.0, 1000);
    assert_eq!(set(&inputs, &cameras), Some((1000, vec![1, 0])));
    frame(&inputs, 1, 2, 1005);
    assert_eq!(set(&inputs, &cameras), Some((1000, vec![1, 2])));
    inputs.take_image(1, Err(bad()), ms(1010));
    assert_eq!(set(&inputs, &cameras), Some((1000, vec![1, 0])));
    assert_eq!(observation(&inputs).unwrap().camera_ages_s, [Some(0.0), None]);
}

#[test]
fn joints_of_several_topics_and_extra_state_make_one_state() {
    let inputs = inputs_of(Some(ms(20)), &["waist", "elbow"], |topics| {
        topics.joint_states = ["/left", "/right"].map(joint_states).to_vec();
        topics.extra_state = vec![ExtraStateTopic {
            topic: "/force".to_owned(),
            size: 2,
            ..ExtraStateTopic::default()
        }];
    });
    frame(&inputs, 0, 1, 1000);
    inputs.take_joint_positions(1, Ok(vec![(1, 2.0)]), ms(1000));
    inputs.take_extra_state(0, Ok(vec![7.0, 8.0]), ms(1010));
    assert!(observation(&inputs).is_none());
    let problem = inputs.report()[2].problem.clone().unwrap();
    assert_eq!(problem, "no position of waist");
    inputs.take_joint_positions(0, Ok(vec![(0, 1.0)]), ms(1010));
    assert_eq!(
        observation(&inputs).unwrap().observation.state,
        [1.0, 2.0, 7.0, 8.0]
    );
    assert!((inputs.report()[3].behind_s.unwrap()).abs() < 1e-9);
    let kinds: Vec<String> = inputs
        .report()
        .iter()
        .map(|report| report.kind.to_string())
        .collect();
    assert_eq!(
        kinds,
        [
            "camera top",
            "joint states /left",
            "joint states /right",
            "extra state /force",
            "prompt"
        ]
    );
}

#[test]
fn a_joint_state_of_another_part_of_the_robot_is_passed_over() {
    let inputs = inputs();
    inputs.take_joint_positions(0, Ok(Vec::new()), ms(1000));
    assert!(
        inputs.report()[1]
            .problem
            .as_ref()
            .unwrap()
            .contains("joint_names")
    );
    waist(&inputs, 0.5, 1010);
    inputs.take_joint_positions(0, Ok(Vec::new()), ms(1020));
    frame(&inputs, 0, 1, 1000);
    assert_eq!(set(&inputs, &["top"]), Some((1010, vec![1])));
    assert_eq!(inputs.report()[1].problem, None);
}

#[test]
fn closing_ends_the_wait() {
    let inputs = inputs();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| inputs.wait_for_observation(0));
        inputs.close();
        assert!(waiting.join().unwrap().is_none());
    });
}

/// The inputs that are silent since before, told by when their newest messages came.
fn silent(before: &[MonitoredInput], after: &[MonitoredInput]) -> Vec<String> {
    let pairs = before.iter().zip(after);
    let silent = pairs.filter(|(before, after)| before.received == after.received);
    silent.map(|(_, after)| after.input.to_string()).collect()
}

#[test]
fn cameras_that_must_be_there_joints_and_extra_state_are_watched() {
    let inputs = inputs_of(Some(ms(20)), &["waist"], |topics| {
        topics.cameras = vec![camera("top"), camera("wrist")];
        topics.cameras[1].is_optional = true;
        topics.extra_state = vec![ExtraStateTopic {
            topic: "/force".to_owned(),
            size: 1,
            ..ExtraStateTopic::default()
        }];
    });
    let watched = || inputs.at_a_tick(Locking::Try).unwrap().watched;
    let names: Vec<String> = watched().iter().map(|one| one.input.to_string()).collect();
    assert_eq!(names, ["camera top", "the joint states", "extra state /force"]);
    assert!(watched().iter().all(|one| one.received.is_none()));
    frame(&inputs, 0, 2, 7000);
    waist(&inputs, 0.5, 7000);
    inputs.take_extra_state(0, Ok(vec![1.0]), ms(7000));
    let before = watched();
    std::thread::sleep(ms(2));
    frame(&inputs, 1, 2, 7000);
    inputs.take_image(0, Err(bad()), ms(7010));
    waist(&inputs, 0.6, 7010);
    let not_finite = InputProblem::Value {
        index: 0,
        value: f64::NAN,
    };
    inputs.take_extra_state(0, Err(not_finite), ms(7010));
    let after = watched();
    assert_eq!(silent(&before, &after), ["camera top", "extra state /force"]);
    let not_finite: Vec<bool> = after.iter().map(|one| one.is_not_finite).collect();
    assert_eq!(not_finite, [false, false, true]);
}

#[test]
fn one_joint_that_is_silent_makes_the_joint_states_silent() {
    let inputs = inputs_of(None, &["waist", "elbow"], |_| {});
    let take = |positions: &[(usize, f32)]| {
        std::thread::sleep(ms(2));
        inputs.take_joint_positions(0, Ok(positions.to_vec()), ms(7000));
        let look = inputs.at_a_tick(Locking::Try).unwrap();
        (look.watched[1].clone(), look.measured)
    };
    let (watch, measured) = take(&[(0, 0.1)]);
    assert_eq!((watch.received, measured), (None, None));
    let (both, measured) = take(&[(1, 0.2)]);
    assert_eq!(measured, Some(vec![0.1, 0.2]));
    let (again, _) = take(&[(1, 0.3)]);
    assert_eq!(both.received, again.received);
    let (moved, measured) = take(&[(0, 0.4)]);
    assert!(moved.received > again.received);
    assert_eq!(measured, Some(vec![0.4, 0.3]));
    let bad = InputProblem::NotFinite {
        joint: "waist".to_owned(),
        value: f64::NAN,
    };
    inputs.take_joint_positions(0, Err(bad), ms(7010));
    assert!(inputs.at_a_tick(Locking::Try).unwrap().watched[1].is_not_finite);
}

#[test]
fn every_prompt_has_another_number() {
    let inputs = inputs();
    let number = || inputs.at_a_tick(Locking::Try).unwrap().prompt_generation;
    let first = number();
    inputs.take_prompt("wave");
    assert_ne!(number(), first);
    let second = number();
    inputs.take_prompt("");
    assert_ne!(number(), second);
}

fn pose(source: PoseSource) -> PoseTopic {
    PoseTopic {
        source,
        base_frame: "base".to_owned(),
    }
}

/// At x, turned by an angle about z.
fn at(x: f64, about_z: f64) -> Pose {
    Pose {
        position: [x, 0.0, 0.0],
        rotation: crate::pose::Rotation::from_vector([0.0, 0.0, about_z]),
    }
}

#[test]
fn a_pose_stands_between_joints_and_extra_state_and_is_measured_and_watched() {
    let inputs = inputs_of(None, &["waist"], |topics| {
        topics.poses = vec![pose(PoseSource::Topic("/pose".to_owned()))];
        topics.extra_state = vec![ExtraStateTopic {
            topic: "/force".to_owned(),
            size: 1,
            ..ExtraStateTopic::default()
        }];
    });
    frame(&inputs, 0, 1, 1000);
    inputs.take_joint_positions(0, Ok(vec![(0, 0.5)]), ms(1000));
    inputs.take_extra_state(0, Ok(vec![7.0]), ms(1000));
    let measured = || inputs.at_a_tick(Locking::Wait).unwrap().measured;
    assert_eq!(measured(), None);
    assert_eq!(inputs.take_pose(0, Ok(at(0.3, 0.0).values()), ms(1000)), None);
    let state = inputs.observation_after(0).unwrap().observation.state;
    assert_eq!(state, [0.5, 0.3, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 7.0]);
    assert_eq!(measured().unwrap(), state[..8]);
    let watched = inputs.at_a_tick(Locking::Wait).unwrap().watched;
    let names: Vec<String> = watched.iter().map(|input| input.input.to_string()).collect();
    assert_eq!(
        names,
        [
            "camera top",
            "the joint states",
            "pose /pose",
            "extra state /force"
        ]
    );
    let no_number = inputs.take_pose(0, Ok([f64::NAN; 7]), ms(1010)).unwrap();
    assert!(no_number.is_not_finite());
    assert!(inputs.at_a_tick(Locking::Wait).unwrap().watched[2].is_not_finite);
    assert!(inputs.observation_after(0).is_none());
}

#[test]
fn a_pose_of_frames_is_taken_when_the_newest_part_of_it_comes() {
    let inputs = inputs_of(None, &["waist"], |topics| {
        topics.poses = vec![pose(PoseSource::Frame("tool".to_owned()))];
    });
    let transform = |parent: &str, child: &str, x| Transform {
        parent: parent.to_owned(),
        child: child.to_owned(),
        pose: at(x, 0.0),
    };
    let take = |transform, stamp: Option<u64>| {
        inputs.take_transforms(std::iter::once((transform, stamp.map(ms))), ms(7))
    };
    let [(0, Err(FrameProblem::Unknown(unknown)), _)] = &take(transform("flange", "tool", 0.1), None)[..]
    else {
        panic!("the base is not known")
    };
    assert_eq!(unknown, "base");
    let poses = take(transform("base", "flange", 0.5), Some(1000));
    let [(0, Ok(pose), stamp)] = poses[..] else {
        panic!("{poses:?}")
    };
    assert!((pose.position[0] - 0.6).abs() < 1e-9 && stamp == ms(1000));
    assert_eq!(inputs.take_pose(0, Ok(pose.values()), stamp), None);
    // Another part of the robot.
    assert_eq!(take(transform("base", "camera", 0.2), Some(1010)), []);
    assert_eq!(take(transform("base", "flange", 0.5), Some(1020)).len(), 1);
}
