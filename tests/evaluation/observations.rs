//! At each evaluation the policy gets what the node would have had then.

use std::ops::ControlFlow;
use std::time::Duration;

use pi0_node::evaluation::bag::Bag;
use pi0_node::evaluation::{BagTopics, ReplayOptions, ReplaySummary, ReplayedObservation, replay};

use crate::fixtures::{bag, written};
use crate::robot::{HORIZON, Message, START_S, changed, settings};

fn replayed(
    path: &std::path::Path,
    more: &str,
    execution_horizon: usize,
) -> (Vec<ReplayedObservation>, ReplaySummary) {
    let (bag, settings) = (Bag::open(path).unwrap(), settings(more));
    let topics = BagTopics::choose(&bag, &settings, None).unwrap();
    let options = ReplayOptions {
        action_horizon: HORIZON,
        execution_horizon,
        longest_gap: Duration::from_millis(500),
    };
    let mut samples = Vec::new();
    let summary = replay(&bag, &topics, &settings, options, &mut |sample| {
        samples.push(sample);
        ControlFlow::Continue(())
    });
    (samples, summary.unwrap())
}

fn since_start_ms(time: Duration) -> u128 {
    (time - Duration::from_secs(START_S)).as_millis()
}

#[test]
fn the_newest_frame_of_each_camera_goes_with_the_joint_state_whatever_their_rates() {
    let (samples, summary) = replayed(&bag("mcap_zstd"), "", 5);
    assert_eq!((summary.images, summary.clock_resets), (42, 0));
    // The first joint state comes at 10 ms, when both cameras and the prompt are there; then one every 100 ms.
    assert_eq!(samples.len(), 30);
    let expected = written();
    for (number, sample) in samples.iter().enumerate() {
        assert_eq!(since_start_ms(sample.observed_at), 100 * number as u128 + 8);
        assert_eq!(since_start_ms(sample.log_time), 100 * number as u128 + 10);
        assert_eq!(sample.observation.prompt, "pick up the cube with the right arm");
        for (camera, age) in ["top", "wrist"].iter().zip(&sample.camera_ages_s) {
            let topic = format!("/camera/{camera}/image_raw");
            let newest = expected
                .iter()
                .rfind(|(time, of, _)| *of == topic && *time <= sample.log_time.as_nanos() as u64)
                .unwrap();
            let stamp = newest.2["stamp"].as_u64().unwrap();
            let expected_age = (sample.observed_at.as_nanos() as f64 - stamp as f64) / 1e9;
            assert!((age.unwrap() - expected_age).abs() < 1e-6, "{camera}: {age:?}");
            let frame = &sample.observation.images[*camera];
            let sum: u64 = frame.as_raw().iter().map(|&value| u64::from(value)).sum();
            assert_eq!(newest.2["sum"], sum, "{camera}");
        }
    }
}

#[test]
fn a_camera_that_is_refreshed_less_often_shows_its_frame_again() {
    let (samples, _) = replayed(&bag("mcap_zstd"), "cameras.top.refresh_hz: 2.0", 5);
    let frames_seen = |camera: &str| {
        let mut frames: Vec<_> = samples
            .iter()
            .map(|sample| sample.observation.images[camera].as_raw())
            .collect();
        frames.dedup();
        frames.len()
    };
    // 3 s of observations: twice a second from the first on.
    assert_eq!(frames_seen("top"), 6);
    assert!(frames_seen("wrist") > 6);
}

#[test]
fn with_a_slop_every_observation_is_of_one_moment() {
    let (without, _) = replayed(&bag("mcap_zstd"), "", 5);
    let is_apart =
        |sample: &ReplayedObservation| sample.camera_ages_s.iter().any(|age| age.unwrap().abs() > 0.03);
    assert!(without.iter().any(is_apart));
    let (with, _) = replayed(&bag("mcap_zstd"), "sync_slop_ms: 30.0", 5);
    assert!(
        with.len() > 5 && !with.iter().any(is_apart),
        "{} samples",
        with.len()
    );
}

#[test]
fn an_observation_is_taken_when_the_actions_that_are_played_are_past() {
    let (samples, _) = replayed(&bag("mcap_zstd"), "", 15);
    // 15 actions of 20 ms are 300 ms.
    assert_eq!(samples.len(), 10);
    assert_eq!(since_start_ms(samples[1].observed_at), 308);
}

#[test]
fn recorded_actions_are_those_of_the_chunk_s_own_times_and_none_after_the_recording() {
    let (samples, _) = replayed(&bag("mcap_zstd"), "", 5);
    let first = &samples[0];
    // The command stamped at 9 ms comes after the observation's stamp at 8 ms.
    assert_eq!(first.recorded[0], None);
    for (step, recorded) in first.recorded.iter().enumerate().skip(1) {
        let expected = 0.2 * (0.008 + 0.02 * step as f32 + 0.102);
        let found = recorded.as_ref().unwrap()[0];
        assert!((found - expected).abs() < 1e-5, "{step}: {found} and {expected}");
    }
    let last = samples.last().unwrap();
    assert!(last.recorded[0].is_some() && last.recorded[HORIZON - 1].is_none());
}

#[test]
fn a_bad_frame_makes_its_camera_missing_until_a_good_one_comes() {
    let (_folder, path) = changed(|messages| {
        let frames = messages
            .iter_mut()
            .filter(|message| message.topic == "/camera/top/image_raw");
        for frame in frames.skip(10).take(5) {
            let place = frame.data.windows(4).position(|bytes| bytes == b"rgb8").unwrap();
            frame.data[place..place + 4].copy_from_slice(b"yuv9");
        }
    });
    let (samples, summary) = replayed(&path, "", 5);
    let (count, problem) = &summary.bad_messages["/camera/top/image_raw"];
    assert!(*count == 5 && problem.contains("yuv9"), "{problem}");
    let times: Vec<u128> = samples
        .iter()
        .map(|sample| since_start_ms(sample.log_time))
        .collect();
    assert!(!times.iter().any(|time| (1007..1507).contains(time)), "{times:?}");
    // Complete again with the frame at 1507 ms, which goes with the joint state of 1410 ms.
    assert!(times.contains(&1507), "{times:?}");
}

#[test]
fn when_stamps_jump_back_nothing_counts_that_came_before() {
    let (_folder, path) = changed(|messages| {
        let half = START_S * 1_000_000_000 + 1_500_000_000;
        let later = |message: &&mut Message| message.has_header() && message.log_time_ns >= half;
        messages
            .iter_mut()
            .filter(later)
            .for_each(|message| message.move_stamp(-100));
    });
    let (samples, summary) = replayed(&path, "", 5);
    assert_eq!(summary.clock_resets, 1);
    let before = samples
        .iter()
        .filter(|sample| sample.observed_at.as_secs() >= START_S)
        .count();
    assert!(
        before == 15 && samples.len() >= 28,
        "{before} of {}",
        samples.len()
    );
    for sample in &samples {
        // Frames of before the jump would be 100 s younger than the joint state.
        assert!(sample.camera_ages_s.iter().all(|age| age.unwrap().abs() < 1.0));
        for (step, recorded) in sample.recorded.iter().enumerate() {
            if let Some(recorded) = recorded {
                let expected = sample.observation.state[0] + 0.2 * (0.1 + 0.02 * step as f32);
                assert!((recorded[0] - expected).abs() < 1e-4, "action {step}");
            }
        }
    }
}

#[test]
fn simulated_time_comes_from_the_recorded_clock() {
    let (_folder, path) = changed(|messages| {
        let clocks: Vec<Message> = (0..30_u32)
            .map(|number| {
                let mut data = vec![0, 1, 0, 0];
                // Back to its beginning after half of the recording.
                data.extend((number % 15).to_le_bytes());
                data.extend(0_u32.to_le_bytes());
                Message {
                    topic: "/clock".to_owned(),
                    type_name: "rosgraph_msgs/msg/Clock".to_owned(),
                    log_time_ns: START_S * 1_000_000_000 + u64::from(number) * 100_000_000,
                    data,
                }
            })
            .collect();
        messages.extend(clocks);
        messages.sort_by_key(|message| message.log_time_ns);
    });
    let (_, summary) = replayed(&path, "use_sim_time: true", 5);
    assert_eq!(summary.clock_resets, 1);
    let (_, without) = replayed(&path, "", 5);
    assert_eq!(without.clock_resets, 0);
}
