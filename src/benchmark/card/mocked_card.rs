//! Cards that can be mocked.

use serde::{Deserialize, Serialize};

use super::Chip;

/// Cards that can be mocked: their descriptors are in `tools/tenstorrent/mock`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum MockedCard {
    /// Wormhole, one chip.
    N150,
    /// Wormhole, one chip with two harvested rows of cores, one of which dispatches.
    #[cfg_attr(feature = "cli", value(name = "n150-8x7"))]
    N150In8x7,
    /// Wormhole, two chips, of which the first computes.
    N300,
    /// Blackhole, with less DRAM.
    P100,
    /// Blackhole, no column of cores harvested.
    P150,
    /// Blackhole, one column of cores harvested.
    #[cfg_attr(feature = "cli", value(name = "p150-12x10"))]
    P150In12x10,
    /// Blackhole, two columns of cores harvested.
    #[cfg_attr(feature = "cli", value(name = "p150-11x10"))]
    P150In11x10,
    /// Blackhole, two chips, of which the first computes.
    P300,
}

impl MockedCard {
    /// File of the card's descriptor.
    pub fn descriptor(self) -> &'static str {
        match self {
            Self::N150 => "n150.yaml",
            Self::N150In8x7 => "n150-8x7.yaml",
            Self::N300 => "n300.yaml",
            Self::P100 => "p100.yaml",
            Self::P150 => "p150.yaml",
            Self::P150In12x10 => "p150-12x10.yaml",
            Self::P150In11x10 => "p150-11x10.yaml",
            Self::P300 => "p300.yaml",
        }
    }

    /// The chip that computes, with the grid that TT-NN leaves of it.
    pub fn chip(self) -> Chip {
        match self {
            Self::N150 => Chip::wormhole("N150", 8, 8),
            Self::N150In8x7 => Chip::wormhole("Wormhole, 8 × 7", 8, 7),
            Self::N300 => Chip::wormhole("N300, one of its two chips", 8, 8),
            Self::P100 => Chip::blackhole("P100", 11, 10, 448.0),
            Self::P150 => Chip::blackhole("P150", 13, 10, 512.0),
            Self::P150In12x10 => Chip::blackhole("P150, 12 × 10", 12, 10, 512.0),
            Self::P150In11x10 => Chip::blackhole("P150, 11 × 10", 11, 10, 512.0),
            Self::P300 => Chip::blackhole("P300, one of its two chips", 11, 10, 512.0),
        }
    }
}
