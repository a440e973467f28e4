//! Controls a robot without ROS: predicts chunk after chunk, and plays each as a trajectory at every tick of
//! control.
//!
//!     cargo run --release --no-default-features --example play_chunks -- \
//!         checkpoints/aloha_sim picture.png "pick up the cube with the right arm"
//!
//! Time is simulated, the robot follows every command at once, and its cameras always have the picture. The
//! first command of every tick is printed.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use pi0_node::control::{Blending, ChunkPlayer, TimedChunk};
use pi0_node::{Observation, image};

const TICK: Duration = Duration::from_millis(20);
const TICKS: u32 = 100;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [checkpoint, picture, prompt] = &arguments[..] else {
        return Err("expected: CHECKPOINT PICTURE PROMPT".into());
    };
    let mut policy = pi0_node::open(checkpoint)?;
    let info = policy.info();
    let frame = Arc::new(image::open(picture)?.to_rgb8());
    let cameras = info.cameras.iter();
    let mut observation = Observation {
        images: cameras.map(|name| (name.clone(), Arc::clone(&frame))).collect(),
        state: vec![0.0; info.state_dim],
        prompt: prompt.clone(),
    };
    let joints = (0..info.action_dim).map(|joint| format!("joint_{joint}"));
    let mut player = ChunkPlayer::new(joints.collect());
    for tick in 0..TICKS {
        let now = TICK * tick;
        if now >= player.next_observation_due() {
            let chunk = TimedChunk {
                actions: policy.predict(&observation)?,
                observed_at: now,
                action_period: TICK,
                execution_horizon: None,
                blending: Blending::default(),
            };
            player.offer(chunk, now)?;
        }
        player.advance(now);
        let Some(plan) = player.plan() else {
            continue;
        };
        let command = plan.positions(now);
        observation.state[..command.len()].copy_from_slice(&command);
        println!("{:.2} s: {command:?}", now.as_secs_f64());
    }
    Ok(())
}
