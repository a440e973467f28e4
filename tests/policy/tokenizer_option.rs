//! A tokenizer that the user names in place of the checkpoint's.

use std::path::Path;

use pi0_node::checkpoint::{Checkpoint, CheckpointOptions, PromptError};

use crate::folder::{Folder, reference};

fn opened(folder: &Folder, tokenizer: &Path) -> Checkpoint {
    let options = CheckpointOptions {
        tokenizer: Some(tokenizer.to_owned()),
        ..CheckpointOptions::default()
    };
    Checkpoint::open_with(folder.path(), &options).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn a_file_or_a_folder_elsewhere_stands_in_for_the_checkpoint_s_tokenizer() {
    let folder = Folder::new();
    let expected = Checkpoint::open(folder.path()).unwrap();
    folder.remove("tokenizer.json");
    for tokenizer in [reference("checkpoint"), reference("checkpoint/tokenizer.json")] {
        let found = opened(&folder, &tokenizer);
        let prompt = "pick up the cube";
        assert_eq!(
            found.tokenizer().encode(prompt).unwrap(),
            expected.tokenizer().encode(prompt).unwrap()
        );
    }
}

#[test]
fn a_sentencepiece_model_encodes_prompts() {
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/sentencepiece");
    let checkpoint = opened(&Folder::new(), &model);
    assert_eq!(
        checkpoint.tokenizer().encode("<mask><table>\n").unwrap(),
        [2, 4, 9, 13]
    );
    // The small policy has fewer embeddings than this tokenizer pieces.
    let refused = checkpoint.tokenizer().encode("pick up the cube").unwrap_err();
    assert!(
        matches!(refused, PromptError::OutsideVocabulary { .. }),
        "{refused}"
    );
}
