//! Several clients, and what they are told.

use std::thread;
use std::time::{Duration, Instant};

use pi0_node::policy::{CameraOptions, OpenError, PolicyError, RemoteError, RemoteOptions, open_remote};
use pi0_node::protocol::{KeyPreset, PictureFormat};
use pi0_node::server::ServerOptions;

use crate::running::{Running, client, observation, options, remote, stand_in};

fn refusal(result: Result<impl Sized, PolicyError>) -> String {
    match result.err() {
        Some(PolicyError::Remote(RemoteError::Refused { reason, .. })) => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_client_gets_the_answer_to_its_own_observation() {
    let server = Running::start(stand_in(), options());
    let clients = (1..=8u8).map(|brightness| {
        let mut client = client(&server);
        thread::spawn(move || {
            for _ in 0..20 {
                let chunk = client.predict(&observation(brightness, "wave")).unwrap();
                assert_eq!(
                    chunk.action(3),
                    [0.5 + f32::from(brightness), f32::from(brightness) - 1.5]
                );
            }
        })
    });
    for client in clients.collect::<Vec<_>>() {
        client.join().unwrap();
    }
    server.stop().unwrap();
}

#[test]
fn an_observation_that_the_policy_refuses_is_told_in_its_words_and_the_next_one_is_answered() {
    let server = Running::start(stand_in(), options());
    let mut client = client(&server);
    let reason = refusal(client.predict(&observation(1, "fail")));
    assert!(reason.contains("the state has 0 values"), "{reason}");
    let began = Instant::now();
    while client.predict(&observation(1, "wave")).is_err() {
        assert!(began.elapsed() < Duration::from_secs(20));
        thread::sleep(Duration::from_millis(10));
    }
    server.stop().unwrap();
}

#[test]
fn an_observation_is_refused_when_the_queue_is_full() {
    let short = ServerOptions {
        queue: 1,
        ..options()
    };
    let server = Running::start(stand_in(), short);
    let busy = [400, 400].map(|milliseconds: u64| {
        let mut client = client(&server);
        let thread = thread::spawn(move || {
            client
                .predict(&observation(1, &milliseconds.to_string()))
                .map(drop)
        });
        thread::sleep(Duration::from_millis(100));
        thread
    });
    let reason = refusal(client(&server).predict(&observation(1, "wave")));
    assert!(
        reason.contains("the queue is full: 1 observations wait"),
        "{reason}"
    );
    for busy in busy {
        busy.join().unwrap().unwrap();
    }
    server.stop().unwrap();
}

#[test]
fn a_client_beyond_the_most_is_refused_until_another_leaves() {
    let single = ServerOptions {
        max_clients: 1,
        ..options()
    };
    let server = Running::start(stand_in(), single);
    let first = client(&server);
    let refused = open_remote(remote(server.address)).err().unwrap().to_string();
    assert!(
        refused.contains("503") && refused.contains("1 clients are connected"),
        "{refused}"
    );
    drop(first);
    let began = Instant::now();
    while open_remote(remote(server.address)).is_err() {
        assert!(began.elapsed() < Duration::from_secs(20));
        thread::sleep(Duration::from_millis(10));
    }
    server.stop().unwrap();
}

#[test]
fn a_robot_that_the_policy_is_not_for_is_refused_at_the_start_with_every_difference() {
    let server = Running::start(stand_in(), options());
    let other = RemoteOptions {
        state_dim: 3,
        action_dim: 1,
        cameras: vec![CameraOptions::new("wrist")],
        keys: KeyPreset::Libero,
        ..remote(server.address)
    };
    let Err(OpenError::Remote(RemoteError::Unfit { reason, .. })) = open_remote(other) else {
        panic!("it is not refused");
    };
    for difference in [
        "state_dim is 2, expected 3",
        "action_dim is 2, expected 1",
        "observation/wrist",
        "images/top",
    ] {
        assert!(reason.contains(difference), "{difference} in {reason}");
    }
    server.stop().unwrap();
}

#[test]
fn frames_are_made_smaller_and_compressed_before_they_travel() {
    let server = Running::start(stand_in(), options());
    for (images, most) in [
        (PictureFormat::Raw, 0.0),
        (PictureFormat::Png, 0.0),
        (PictureFormat::Jpeg, 3.0),
    ] {
        let compressed = RemoteOptions {
            images,
            ..remote(server.address)
        };
        let mut client = open_remote(compressed).unwrap();
        let chunk = client.predict(&observation(100, "wave")).unwrap();
        assert!(
            (chunk.action(0)[0] - 100.5).abs() <= most,
            "{images:?}: {chunk:?}"
        );
    }
    server.stop().unwrap();
}

#[test]
fn an_observation_without_a_prompt_gets_the_server_s() {
    let with_default = ServerOptions {
        default_prompt: Some("fail".to_owned()),
        ..options()
    };
    let server = Running::start(stand_in(), with_default);
    let mut socket = crate::faults::connect(server.address);
    crate::faults::send(&mut socket, &crate::faults::without_prompt());
    let answer = crate::faults::receive(&mut socket);
    assert!(answer.contains("the state has 0 values"), "{answer}");
    server.stop().unwrap();
}
