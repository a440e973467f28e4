//! Predicts one action chunk: a checkpoint, a picture, a state and a prompt become actions.
//!
//!     cargo run --release --no-default-features --example predict -- \
//!         checkpoints/aloha_sim picture.png "pick up the cube with the right arm" 0,0,0,0,0,0,1,0,0,0,0,0,0,1
//!
//! Every camera of the checkpoint gets the picture. Without a state all joints are at 0.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;

use pi0_node::{Observation, image};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [checkpoint, picture, prompt, state @ ..] = &arguments[..] else {
        return Err("expected: CHECKPOINT PICTURE PROMPT [STATE]".into());
    };
    let mut policy = pi0_node::open(checkpoint)?;
    let info = policy.info();
    let frame = Arc::new(image::open(picture)?.to_rgb8());
    let cameras = info.cameras.iter();
    let images: BTreeMap<_, _> = cameras.map(|name| (name.clone(), Arc::clone(&frame))).collect();
    let state = match state.first() {
        Some(values) => values.split(',').map(str::parse).collect::<Result<_, _>>()?,
        None => vec![0.0; info.state_dim],
    };
    let observation = Observation {
        images,
        state,
        prompt: prompt.clone(),
    };
    let chunk = policy.predict(&observation)?;
    for index in 0..chunk.horizon() {
        println!("{:?}", chunk.action(index));
    }
    Ok(())
}
