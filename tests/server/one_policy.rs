//! The policy of a checkpoint, here and through the server.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread;

use pi0_node::image::{Rgb, RgbImage};
use pi0_node::policy::{
    ActionChunk, ActionPrefix, CameraOptions, Conditioning, DeviceOptions, Guidance, Observation, Policy,
    PolicyError, PolicyOptions, PrefixAttentionSchedule, RemoteOptions, open_remote, open_with,
};
use pi0_node::protocol::{KeyPreset, ObservationKeys, PictureFormat};
use pi0_node::server::ServerOptions;

use crate::running::{Running, options, remote};

const SEED: u64 = 7;

/// The policy that comes with the package.
fn shipped() -> Box<dyn Policy + Send> {
    let checkpoint = concat!(env!("CARGO_MANIFEST_DIR"), "/checkpoints/aloha_sim");
    let seeded = PolicyOptions {
        seed: SEED,
        ..PolicyOptions::default()
    };
    open_with(checkpoint, DeviceOptions::cpu().threads(1), seeded).unwrap()
}

fn server_options() -> ServerOptions {
    ServerOptions {
        keys: ObservationKeys::new(KeyPreset::Aloha, [("top", false)]),
        ..options()
    }
}

fn serve() -> Running {
    Running::start(shipped(), server_options())
}

fn client(server: &Running, images: PictureFormat) -> Box<dyn Policy + Send> {
    let options = RemoteOptions {
        images,
        cameras: vec![CameraOptions::new("top")],
        state_dim: 14,
        action_dim: 14,
        ..remote(server.address)
    };
    open_remote(options).unwrap()
}

/// The same task with other pictures and positions at every step; the picture is that of the step before at odd ones.
fn observation(step: u32, task: &str) -> Observation {
    let shade = (step / 2) as u8;
    let frame = RgbImage::from_fn(120, 120, |x, y| Rgb([(x + y) as u8 ^ shade, x as u8, y as u8]));
    Observation {
        images: [("top".to_owned(), Arc::new(frame))].into(),
        state: (0..14).map(|joint| 0.01 * (joint + step) as f32).collect(),
        prompt: task.to_owned(),
    }
}

const TASKS: [&str; 2] = [
    "pick up the cube with the right arm",
    "hand the cube to the left arm",
];
const STEPS: u32 = 4;

fn chunks(policy: &mut dyn Policy, task: &str) -> Vec<ActionChunk> {
    (0..STEPS)
        .map(|step| policy.predict(&observation(step, task)).unwrap())
        .collect()
}

#[test]
fn a_remote_policy_predicts_the_same_actions_to_the_last_bit() {
    let expected = chunks(&mut *shipped(), TASKS[0]);
    let server = serve();
    for images in [PictureFormat::Raw, PictureFormat::Png] {
        let mut client = client(&server, images);
        assert_eq!(client.info().action_horizon, expected[0].horizon());
        assert_eq!(chunks(&mut *client, TASKS[0]), expected, "{images:?}");
    }
    server.stop().unwrap();
}

#[test]
fn clients_that_take_turns_get_the_chunks_of_a_policy_of_their_own() {
    let expected = TASKS.map(|task| chunks(&mut *shipped(), task));
    let server = serve();
    let clients = TASKS.map(|task| {
        let mut client = client(&server, PictureFormat::Raw);
        thread::spawn(move || chunks(&mut *client, task))
    });
    for (client, expected) in clients.into_iter().zip(expected) {
        assert_eq!(client.join().unwrap(), expected);
    }
    server.stop().unwrap();
}

#[test]
fn an_unchanged_frame_of_one_client_is_not_the_cached_one_of_another() {
    let mut policy = shipped();
    let reused = |policy: &mut dyn Policy, client: u64, step: u32| {
        policy.select_client(client);
        policy.predict(&observation(step, TASKS[0])).unwrap();
        policy.report().reused.unwrap().cameras[0].unwrap()
    };
    // Steps 0 and 1 have the same frame, 2 has another.
    assert!(!reused(&mut *policy, 1, 0));
    assert!(!reused(&mut *policy, 2, 2));
    assert!(reused(&mut *policy, 1, 1));
    assert!(reused(&mut *policy, 2, 3));
    policy.forget_client(1);
    policy.forget_client(2);
    assert!(!reused(&mut *policy, 1, 1));
    assert!(!reused(&mut *policy, 2, 3));
}

#[test]
fn chunks_that_go_on_from_the_one_before_are_the_same_through_the_server_to_the_last_bit() {
    let prefix = |count: usize, conditioning| ActionPrefix {
        actions: ActionChunk::new((0..count * 14).map(|value| 0.001 * value as f32).collect(), 14),
        conditioning,
    };
    let guided = |guidance| Conditioning::Guided {
        guidance,
        inference_delay: 3,
    };
    let bounded = Guidance {
        schedule: PrefixAttentionSchedule::Exp,
        prefix_attention_horizon: NonZeroUsize::new(9),
        max_guidance_weight: Some(1.3),
    };
    let prefixes = [
        prefix(2, Conditioning::Inpainted),
        prefix(25, guided(Guidance::default())),
        prefix(25, guided(bounded)),
    ];
    let chunks = |policy: &mut dyn Policy| {
        let chunks = prefixes.iter().zip(0..);
        let chunks = chunks.map(|(prefix, step)| policy.predict_after(&observation(step, TASKS[0]), prefix));
        chunks.collect::<Result<Vec<_>, _>>().unwrap()
    };
    let mut policy = shipped();
    let expected = chunks(&mut *policy);
    assert_ne!(
        expected,
        self::chunks(&mut *shipped(), TASKS[0])[..3],
        "prefixes count"
    );
    let server = serve();
    let mut client = client(&server, PictureFormat::Raw);
    assert_eq!(chunks(&mut *client), expected);
    server.stop().unwrap();
}

#[test]
fn a_prefix_that_does_not_fit_is_refused_before_it_travels() {
    let server = serve();
    let mut client = client(&server, PictureFormat::Raw);
    let too_long = ActionPrefix {
        actions: ActionChunk::new(vec![0.0; 50 * 14], 14),
        conditioning: Conditioning::Inpainted,
    };
    let refused = client.predict_after(&observation(0, TASKS[0]), &too_long);
    assert!(
        matches!(refused, Err(PolicyError::PrefixShape { .. })),
        "{refused:?}"
    );
    server.stop().unwrap();
}
