//! Tokenizers of Hugging Face, and prompts encoded with them.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use pi0_fuzz::CheckpointFolder;
use pi0_node::checkpoint::PromptTokenizer;

static FOLDER: LazyLock<CheckpointFolder> = LazyLock::new(|| CheckpointFolder::of("tokenizer.json"));

fuzz_target!(init: pi0_fuzz::let_panics_be_caught(), |input: &[u8]| {
    let folder = FOLDER.write(input);
    pi0_fuzz::bounded(input, || {
        if let Ok(tokenizer) = PromptTokenizer::read(folder, None, 48, 257_152) {
            let _ = tokenizer.encode("pick up the cube\n");
        }
    });
});
