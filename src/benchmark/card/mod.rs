//! How long a chunk takes on a Tenstorrent card, by a model of its chips: nothing of it was measured on a card of ours.
//!
//! The model's numbers are those that Tenstorrent published of single operations, and two that were fitted to the published
//! times of tt-metal's π0.5 with two cameras. It foretells the other six within 5 % (`published`).

mod chip;
#[cfg(feature = "tenstorrent")]
mod graph;
#[cfg(feature = "tenstorrent")]
mod mocked_card;
#[cfg(test)]
mod published;
#[cfg(feature = "tenstorrent")]
mod recorded;
mod work;

pub use chip::Chip;
#[cfg(feature = "tenstorrent")]
pub use graph::{CardGraph, Estimate, HostCommands, Kind, RecordedChunk};
#[cfg(feature = "tenstorrent")]
pub use mocked_card::MockedCard;
pub use work::{Attention, Movement, Product, Work};
