//! Choices about a Tenstorrent card.

use std::fmt;
use std::str::FromStr;

/// Choices about a Tenstorrent card: by default the first one, exact attention, no tuning, and no reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TenstorrentOptions {
    /// TT-NN's number of the card, from 0.
    pub device_id: u32,
    /// The softmax of attention.
    pub attention: AttentionSoftmax,
    /// Ways of computing that save time.
    pub tuning: CardTuning,
    /// Whether a card that hangs may be reset. Every program that uses it loses it.
    pub allow_reset: bool,
}

impl TenstorrentOptions {
    /// What counts where nothing is chosen.
    pub const DEFAULT: Self = Self {
        device_id: 0,
        attention: AttentionSoftmax::Exact,
        tuning: CardTuning::NONE,
        allow_reset: false,
    };
}

impl Default for TenstorrentOptions {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// The exponential function of attention's softmax on a card.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum AttentionSoftmax {
    /// To bfloat16.
    #[default]
    Exact,
    /// Off by up to 3 %, and faster.
    Approximate,
}

/// Ways of computing that save time on a card, each of which can be left out to see what it saves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CardTuning(u16);

/// One way of computing that saves time on a card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tuning {
    /// Products of few rows are divided along their outputs among all cores, each of which reads its own weight.
    ColumnProducts,
    /// Norms are divided along the width too, where rows alone keep few cores busy.
    WideNorms,
    /// Attention takes 256 keys at once.
    LongKeyBlocks,
    /// Results of up to 32 KB a core stay in L1, instead of 16.
    LargerL1,
    /// gelu to the accuracy of bfloat16.
    ShortGelu,
    /// Weights of layers that add a residual are bfloat8_b, and the residual is added by an operation of its own.
    CompactResiduals,
    /// Gate, up and their product of many rows are bfloat8_b.
    CompactGates,
    /// Products within attention take two passes instead of four.
    TwoPassAttention,
    /// Products of many rows accumulate in bfloat16 within a block; blocks are summed up in f32.
    ShortSums,
    /// Products of many rows take one pass instead of two.
    OnePassProducts,
}

/// Tunings that belong together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TuningLevel {
    /// None.
    #[default]
    None,
    /// Those that divide the work in other ways, and round no more.
    Layout,
    /// Those that round more, too.
    All,
}

impl TuningLevel {
    /// The tunings.
    pub const fn tuning(self) -> CardTuning {
        match self {
            Self::None => CardTuning::NONE,
            Self::Layout => CardTuning::LAYOUT,
            Self::All => CardTuning::ALL,
        }
    }
}

impl Tuning {
    /// Every one, in the order of the documentation.
    pub const ALL: [Self; 10] = [
        Self::ColumnProducts,
        Self::WideNorms,
        Self::LongKeyBlocks,
        Self::LargerL1,
        Self::ShortGelu,
        Self::CompactResiduals,
        Self::CompactGates,
        Self::TwoPassAttention,
        Self::ShortSums,
        Self::OnePassProducts,
    ];

    /// Name in lists.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ColumnProducts => "column_products",
            Self::WideNorms => "wide_norms",
            Self::LongKeyBlocks => "long_key_blocks",
            Self::LargerL1 => "larger_l1",
            Self::ShortGelu => "short_gelu",
            Self::CompactResiduals => "compact_residuals",
            Self::CompactGates => "compact_gates",
            Self::TwoPassAttention => "two_pass_attention",
            Self::ShortSums => "short_sums",
            Self::OnePassProducts => "one_pass_products",
        }
    }

    const fn bit(self) -> u16 {
        1 << self as u8
    }
}

impl CardTuning {
    /// None of them.
    pub const NONE: Self = Self(0);

    /// Those that divide the work in other ways, and round no more.
    pub const LAYOUT: Self = Self::NONE
        .with(Tuning::ColumnProducts)
        .with(Tuning::WideNorms)
        .with(Tuning::LongKeyBlocks)
        .with(Tuning::LargerL1);

    /// Every one of them.
    pub const ALL: Self = Self((1 << Tuning::ALL.len()) - 1);

    /// Adds one.
    pub const fn with(self, tuning: Tuning) -> Self {
        Self(self.0 | tuning.bit())
    }

    /// Leaves one out.
    pub const fn without(self, tuning: Tuning) -> Self {
        Self(self.0 & !tuning.bit())
    }

    /// Whether one is there.
    pub const fn has(self, tuning: Tuning) -> bool {
        self.0 & tuning.bit() != 0
    }
}

impl Default for CardTuning {
    fn default() -> Self {
        Self::NONE
    }
}

/// `all`, `layout`, `none`, or the names with commas between them.
impl fmt::Display for CardTuning {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let names = Tuning::ALL.into_iter().filter(|tuning| self.has(*tuning));
        match *self {
            Self::ALL => f.write_str("all"),
            Self::LAYOUT => f.write_str("layout"),
            Self::NONE => f.write_str("none"),
            _ => f.write_str(&names.map(Tuning::name).collect::<Vec<_>>().join(",")),
        }
    }
}

impl FromStr for CardTuning {
    type Err = String;

    /// Reads what [`Display`](fmt::Display) writes; a name with a minus in front of it, behind others, leaves that one out.
    fn from_str(text: &str) -> Result<Self, String> {
        text.split(',').try_fold(Self::NONE, |chosen, word| {
            let named = |name: &str| {
                let found = Tuning::ALL.into_iter().find(|tuning| tuning.name() == name);
                found.ok_or_else(|| {
                    let names = Tuning::ALL.map(Tuning::name).join(", ");
                    format!("{word:?} is no tuning of a card, expected all, layout, none or some of {names}")
                })
            };
            match (word, word.strip_prefix('-')) {
                ("all", _) => Ok(Self::ALL),
                ("layout", _) => Ok(Self::LAYOUT),
                ("none", _) => Ok(chosen),
                (_, Some(name)) => Ok(chosen.without(named(name)?)),
                (name, None) => Ok(chosen.with(named(name)?)),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tunings_are_read_as_they_are_written() {
        let some = CardTuning::NONE.with(Tuning::ShortGelu).with(Tuning::WideNorms);
        for (tuning, text) in [
            (CardTuning::ALL, "all"),
            (CardTuning::LAYOUT, "layout"),
            (CardTuning::NONE, "none"),
            (some, "wide_norms,short_gelu"),
        ] {
            assert_eq!(tuning.to_string(), text);
            assert_eq!(text.parse(), Ok(tuning));
        }
        assert_eq!(
            "all,-short_gelu".parse(),
            Ok(CardTuning::ALL.without(Tuning::ShortGelu))
        );
        for tuning in Tuning::ALL {
            assert!(CardTuning::ALL.has(tuning) && !CardTuning::NONE.has(tuning));
            assert!(!CardTuning::ALL.without(tuning).has(tuning));
        }
    }

    #[test]
    fn an_unknown_tuning_is_refused_with_every_name() {
        let error = "all,-long_gelu".parse::<CardTuning>().unwrap_err();
        assert!(
            error.contains("-long_gelu") && error.contains("two_pass_attention"),
            "{error}"
        );
    }
}
