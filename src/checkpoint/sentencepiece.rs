//! SentencePiece models of byte pairs, as Google's library encodes with them (`bpe_model.cc`).

use std::cmp::Ordering;
use std::collections::{BinaryHeap, HashMap};
use std::fs;
use std::path::Path;

use prost::Message;

/// What stands for a space.
const SPACE: &str = "\u{2581}";
const BEGINNING: &str = "<bos>";
const BYTES: usize = 256;

/// A model of byte pairs with a piece for every byte, whose text is not normalised: Gemma's, and so PaliGemma's.
#[derive(Clone)]
pub(super) struct SentencePiece {
    /// Ids and scores of the pieces that text is merged to.
    pieces: HashMap<String, Piece>,
    /// Pieces that are taken out of the text before anything is merged.
    user_defined: HashMap<String, u32>,
    /// Bytes of the longest of these.
    longest_user_defined: usize,
    /// Pieces of the bytes of a letter that is no piece.
    bytes: Vec<u32>,
    beginning: u32,
}

#[derive(Clone, Copy)]
struct Piece {
    id: u32,
    score: f32,
}

/// The parts of `sentencepiece_model.proto` that encoding depends on.
#[derive(Message)]
struct StoredModel {
    #[prost(message, repeated, tag = "1")]
    pieces: Vec<StoredPiece>,
    #[prost(message, optional, tag = "2")]
    trainer: Option<StoredTrainer>,
    #[prost(message, optional, tag = "3")]
    normalizer: Option<StoredNormalizer>,
}

#[derive(Message)]
struct StoredPiece {
    #[prost(string, tag = "1")]
    piece: String,
    #[prost(float, tag = "2")]
    score: f32,
    #[prost(enumeration = "Kind", optional, tag = "3")]
    kind: Option<i32>,
}

#[derive(Message)]
struct StoredTrainer {
    #[prost(int32, optional, tag = "3")]
    model_type: Option<i32>,
    #[prost(bool, tag = "24")]
    treat_whitespace_as_suffix: bool,
}

#[derive(Message)]
struct StoredNormalizer {
    #[prost(bytes = "vec", tag = "2")]
    precompiled_charsmap: Vec<u8>,
    #[prost(bool, optional, tag = "3")]
    add_dummy_prefix: Option<bool>,
    #[prost(bool, optional, tag = "4")]
    remove_extra_whitespaces: Option<bool>,
    #[prost(bool, optional, tag = "5")]
    escape_whitespaces: Option<bool>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
enum Kind {
    Normal = 1,
    Unknown = 2,
    Control = 3,
    UserDefined = 4,
    Unused = 5,
    Byte = 6,
}

/// `TrainerSpec.ModelType` of byte pairs.
const BPE: i32 = 2;

impl SentencePiece {
    /// Reads a `.model` file.
    ///
    /// # Errors
    /// When it cannot be read, or is no model of this kind, in one sentence.
    pub fn read(path: &Path) -> Result<Self, String> {
        let bytes = fs::read(path).map_err(|error| error.to_string())?;
        Self::parse(&bytes)
    }

    fn parse(bytes: &[u8]) -> Result<Self, String> {
        let model =
            StoredModel::decode(bytes).map_err(|error| format!("not a SentencePiece model: {error}"))?;
        model.check_settings()?;
        let mut pieces = HashMap::new();
        let mut user_defined = HashMap::new();
        let mut bytes = vec![None; BYTES];
        let mut beginning = None;
        for (id, stored) in (0..).zip(&model.pieces) {
            match stored.kind() {
                Kind::Normal | Kind::UserDefined => {
                    let piece = Piece {
                        id,
                        // A score of −0 is one of 0.
                        score: stored.score + 0.0,
                    };
                    pieces.insert(stored.piece.clone(), piece);
                }
                Kind::Byte => {
                    if let Some(byte) = byte(&stored.piece) {
                        bytes[usize::from(byte)] = Some(id);
                    }
                }
                Kind::Control if stored.piece == BEGINNING => beginning = Some(id),
                Kind::Control | Kind::Unknown => {}
                Kind::Unused => {
                    return Err(format!(
                        "has the unused piece {:?}, as PaliGemma's has none",
                        stored.piece
                    ));
                }
            }
            if stored.kind() == Kind::UserDefined {
                user_defined.insert(stored.piece.clone(), id);
            }
        }
        let bytes: Option<Vec<u32>> = bytes.into_iter().collect();
        Ok(Self {
            longest_user_defined: user_defined.keys().map(String::len).max().unwrap_or_default(),
            pieces,
            user_defined,
            bytes: bytes.ok_or("has no piece for every byte, as PaliGemma's has")?,
            beginning: beginning.ok_or_else(|| format!("has no piece {BEGINNING}, as PaliGemma's has"))?,
        })
    }

    /// Encodes a text behind the token of a beginning.
    pub fn encode(&self, text: &str) -> Vec<u32> {
        let text = text.replace(' ', SPACE);
        let mut ids = vec![self.beginning];
        for symbol in self.merged(&text) {
            match self.pieces.get(symbol) {
                Some(piece) => ids.push(piece.id),
                None => ids.extend(symbol.bytes().map(|byte| self.bytes[usize::from(byte)])),
            }
        }
        ids
    }

    /// Splits a text into user-defined pieces and letters, and merges neighbours: the pair whose piece has the highest
    /// score first, the leftmost among equals.
    fn merged<'t>(&self, text: &'t str) -> Vec<&'t str> {
        let mut symbols = self.split(text);
        let mut pairs = BinaryHeap::new();
        for left in 0..symbols.len().saturating_sub(1) {
            pairs.extend(self.pair(text, &symbols, left, left + 1));
        }
        while let Some(pair) = pairs.pop() {
            let (left, right) = (symbols[pair.left], symbols[pair.right]);
            if left.is_empty() || right.is_empty() || right.end - left.start != pair.bytes {
                continue;
            }
            symbols[pair.left].end = right.end;
            symbols[pair.left].next = right.next;
            symbols[pair.right].end = right.start;
            if let Some(next) = right.next {
                symbols[next].previous = Some(pair.left);
                pairs.extend(self.pair(text, &symbols, pair.left, next));
            }
            if let Some(previous) = left.previous {
                pairs.extend(self.pair(text, &symbols, previous, pair.left));
            }
        }
        let left_over = symbols.iter().filter(|symbol| !symbol.is_empty());
        left_over.map(|symbol| &text[symbol.start..symbol.end]).collect()
    }

    fn split(&self, text: &str) -> Vec<Symbol> {
        let mut symbols: Vec<Symbol> = Vec::new();
        let mut start = 0;
        while let Some(letter) = text[start..].chars().next() {
            let user_defined = self.user_defined_at(&text[start..]);
            let end = start + user_defined.unwrap_or(letter.len_utf8());
            let index = symbols.len();
            symbols.push(Symbol {
                start,
                end,
                is_frozen: user_defined.is_some(),
                previous: index.checked_sub(1),
                next: (end < text.len()).then_some(index + 1),
            });
            start = end;
        }
        symbols
    }

    /// Bytes of the longest user-defined piece that a text begins with.
    fn user_defined_at(&self, text: &str) -> Option<usize> {
        let longest = self.longest_user_defined.min(text.len());
        let mut ends = (1..=longest).rev().filter(|end| text.is_char_boundary(*end));
        ends.find(|end| self.user_defined.contains_key(&text[..*end]))
    }

    /// Two neighbours that are a piece together.
    fn pair(&self, text: &str, symbols: &[Symbol], left: usize, right: usize) -> Option<Pair> {
        if symbols[left].is_frozen || symbols[right].is_frozen {
            return None;
        }
        let merged = &text[symbols[left].start..symbols[right].end];
        self.pieces.get(merged).map(|piece| Pair {
            score: piece.score,
            left,
            right,
            bytes: merged.len(),
        })
    }
}

impl StoredModel {
    /// Refuses settings under which a text is encoded in another way.
    fn check_settings(&self) -> Result<(), String> {
        let trainer = self
            .trainer
            .as_ref()
            .ok_or("not a SentencePiece model: it has no trainer_spec")?;
        let normalizer = self.normalizer.as_ref();
        let is_set =
            |setting: fn(&StoredNormalizer) -> Option<bool>| normalizer.and_then(setting).unwrap_or(true);
        let other = [
            ("a model_type other than BPE", trainer.model_type != Some(BPE)),
            ("treat_whitespace_as_suffix", trainer.treat_whitespace_as_suffix),
            (
                "normalisation",
                normalizer.is_some_and(|normalizer| !normalizer.precompiled_charsmap.is_empty()),
            ),
            (
                "add_dummy_prefix",
                is_set(|normalizer| normalizer.add_dummy_prefix),
            ),
            (
                "remove_extra_whitespaces",
                is_set(|normalizer| normalizer.remove_extra_whitespaces),
            ),
            (
                "no escape_whitespaces",
                !is_set(|normalizer| normalizer.escape_whitespaces),
            ),
        ];
        match other.iter().find(|(_, is_other)| *is_other) {
            Some((setting, _)) => Err(format!(
                "is a SentencePiece model with {setting}, as PaliGemma's is not"
            )),
            None => Ok(()),
        }
    }
}

/// A part of the text: a letter or several merged ones, or nothing once it was merged into the one before.
#[derive(Clone, Copy)]
struct Symbol {
    start: usize,
    end: usize,
    is_frozen: bool,
    previous: Option<usize>,
    next: Option<usize>,
}

impl Symbol {
    fn is_empty(&self) -> bool {
        self.start == self.end
    }
}

/// Two neighbours that may be merged, in the order in which they are.
struct Pair {
    score: f32,
    left: usize,
    right: usize,
    /// Of both together, when they were found.
    bytes: usize,
}

impl Ord for Pair {
    fn cmp(&self, other: &Self) -> Ordering {
        let by_score = self.score.total_cmp(&other.score);
        by_score.then_with(|| other.left.cmp(&self.left))
    }
}

impl PartialOrd for Pair {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Pair {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Pair {}

/// The byte of a piece like `<0x0A>`.
fn byte(piece: &str) -> Option<u8> {
    let digits = piece.strip_prefix("<0x")?.strip_suffix('>')?;
    u8::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixture(file: &str) -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/fixtures/sentencepiece")
            .join(file)
    }

    /// The small model with something changed, if it is a model for this all the same.
    fn changed(change: impl FnOnce(&mut StoredModel)) -> Result<SentencePiece, String> {
        let bytes = fs::read(fixture("tokenizer.model")).unwrap();
        let mut model = StoredModel::decode(&bytes[..]).unwrap();
        change(&mut model);
        SentencePiece::parse(&model.encode_to_vec())
    }

    #[test]
    fn ids_are_those_of_google_s_library_for_ten_thousand_prompts() {
        let tokenizer = SentencePiece::read(&fixture("tokenizer.model")).unwrap();
        let lines = fs::read_to_string(fixture("prompts.jsonl")).unwrap();
        let mut count = 0;
        for line in lines.lines() {
            let (prompt, ids): (String, Vec<u32>) = serde_json::from_str(line).unwrap();
            assert_eq!(tokenizer.encode(&prompt), ids, "{prompt:?}");
            count += 1;
        }
        assert_eq!(count, 10_000);
    }

    #[test]
    fn models_that_encode_in_another_way_are_refused() {
        assert!(changed(|_| {}).is_ok());
        let refused = |words: &str, change: fn(&mut StoredModel)| {
            let problem = changed(change).err().unwrap();
            assert!(problem.contains(words), "{words:?} is not in: {problem}");
        };
        let unigram = |model: &mut StoredModel| model.trainer.as_mut().unwrap().model_type = Some(1);
        refused("a model_type other than BPE", unigram);
        refused("add_dummy_prefix", |model| {
            model.normalizer.as_mut().unwrap().add_dummy_prefix = Some(true);
        });
        refused("add_dummy_prefix", |model| model.normalizer = None);
        refused("remove_extra_whitespaces", |model| {
            model.normalizer.as_mut().unwrap().remove_extra_whitespaces = None;
        });
        refused("normalisation", |model| {
            model.normalizer.as_mut().unwrap().precompiled_charsmap = vec![1];
        });
        refused("no piece <bos>", |model| model.pieces[2].piece = "<s>".to_owned());
        refused("no piece for every byte", |model| {
            model.pieces.retain(|piece| piece.piece != "<0x7F>");
        });
        refused("the unused piece", |model| {
            model.pieces.last_mut().unwrap().set_kind(Kind::Unused)
        });
    }

    #[test]
    fn a_file_that_is_no_model_is_refused() {
        for bytes in [
            &b""[..],
            b"not a model",
            b"version https://git-lfs.github.com/spec/v1",
        ] {
            let problem = SentencePiece::parse(bytes).err().unwrap();
            assert!(problem.contains("not a SentencePiece model"), "{problem}");
        }
    }
}
