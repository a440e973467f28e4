//! Tokenizers of SentencePiece, and prompts encoded with them.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use pi0_fuzz::CheckpointFolder;
use pi0_node::checkpoint::Checkpoint;

static FOLDER: LazyLock<CheckpointFolder> = LazyLock::new(|| {
    CheckpointFolder::new("tests/fixtures/reference/checkpoint", "tokenizer.model", |name| {
        name.starts_with("tokenizer")
    })
});

fuzz_target!(|input: &[u8]| {
    let folder = FOLDER.write(input);
    pi0_fuzz::bounded(input, || {
        if let Ok(checkpoint) = Checkpoint::open(folder) {
            let _ = checkpoint.tokenizer().encode("pick up the cube\n");
        }
    });
});
