//! The chunks of `tests/fixtures/aloha_sim`.

use std::path::Path;

use pi0_node::policy::ActionChunk;
use safetensors::SafeTensors;

/// One chunk of each skill: 50 actions of 14 joints, 20 ms apart.
pub fn chunks() -> Vec<ActionChunk> {
    ["right_pick", "left_pick", "hand_over"]
        .map(|skill| {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/aloha_sim");
            let bytes = std::fs::read(folder.join(format!("{skill}.safetensors"))).unwrap();
            let tensors = SafeTensors::deserialize(&bytes).unwrap();
            let actions = tensors.tensor("actions").unwrap();
            let (values, _) = actions.data().as_chunks::<4>();
            let values = values.iter().map(|bytes| f32::from_le_bytes(*bytes));
            ActionChunk::new(values.collect(), actions.shape()[1])
        })
        .to_vec()
}
