//! How a camera's image becomes the square that the vision tower takes, as each writer of checkpoints trained it.

use std::fmt;
use std::path::Path;

use serde_json::{Map, Value};

use super::prompt_form::StateInPrompt;

/// How an image that is no square, or of another size, becomes one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ImageFit {
    /// Place of the image in the square.
    pub position: ImagePosition,
    /// Value of the bars beside it.
    pub bars: ImageBars,
    /// Filter.
    pub resize: Resize,
}

/// Place of an image in the square that the vision tower takes, if it is no square itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ImagePosition {
    /// In the middle.
    #[default]
    Centre,
    /// At the bottom on the right, as LeRobot before version 0.4 put it.
    BottomRight,
}

/// Value of the bars beside an image, where black is −1 and white 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ImageBars {
    /// −1, as openpi and LeRobot since 0.5.
    #[default]
    Black,
    /// −3, as LeRobot 0.4.
    BelowBlack,
}

/// Filter that changes an image's size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Resize {
    /// Bilinear interpolation between the centres of pixels, as LeRobot.
    #[default]
    Plain,
    /// A triangle filter over every pixel that is covered, rounded to 8 bits, as Pillow's `BILINEAR` in openpi.
    Antialiased,
}

/// What is known of the program that trained with the images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ImageWriter {
    LeRobot0_3,
    LeRobot0_4,
    /// 0.4.3 to 0.5.0, between which the bars changed.
    LeRobot0_4Or0_5,
    LeRobot,
    Openpi,
}

impl ImageBars {
    /// Value in the network's input.
    pub fn value(self) -> f32 {
        match self {
            Self::Black => -1.0,
            Self::BelowBlack => -3.0,
        }
    }
}

impl ImageWriter {
    /// Version of LeRobot, by the first version that each key of `config.json` is in.
    pub fn of_lerobot(config: &Map<String, Value>, is_before_0_4: bool) -> Self {
        match is_before_0_4 {
            true => Self::LeRobot0_3,
            false if config.contains_key("use_relative_actions") => Self::LeRobot,
            false if config.contains_key("use_peft") => Self::LeRobot0_4Or0_5,
            false => Self::LeRobot0_4,
        }
    }

    /// Bars beside images in training; those of 0.5.0 where 0.4.3 to 0.5.0 cannot be told apart.
    pub fn bars(self) -> ImageBars {
        match self {
            Self::LeRobot0_4 => ImageBars::BelowBlack,
            _ => ImageBars::Black,
        }
    }

    /// Use of the state in π0.5's prompt; that of 0.4 where 0.4.3 to 0.5.0 cannot be told apart.
    pub fn state_in_prompt(self) -> StateInPrompt {
        match self {
            Self::LeRobot | Self::Openpi => StateInPrompt::Values,
            Self::LeRobot0_3 | Self::LeRobot0_4 | Self::LeRobot0_4Or0_5 => StateInPrompt::Padded,
        }
    }

    /// How images were fitted in training; `bars` and `resize` are a user's choices. The log has what was taken and
    /// why.
    pub fn image_fit(self, path: &Path, bars: Option<ImageBars>, resize: Option<Resize>) -> ImageFit {
        let own = ImageFit {
            position: match self {
                Self::LeRobot0_3 => ImagePosition::BottomRight,
                _ => ImagePosition::Centre,
            },
            bars: self.bars(),
            resize: match self {
                Self::Openpi => Resize::Antialiased,
                _ => Resize::Plain,
            },
        };
        if self == Self::LeRobot0_4Or0_5 && bars.is_none() {
            tracing::warn!(
                "{}: written by LeRobot 0.4.3 to 0.5.0. Before 0.5.0 it trained with −3 in the bars beside images that \
                 are no squares, here they are −1 (black); set image_bars to -3 for 0.4.3 and 0.4.4, to -1 for 0.5.0",
                path.display()
            );
        }
        let fit = ImageFit {
            position: own.position,
            bars: bars.unwrap_or(own.bars),
            resize: resize.unwrap_or(own.resize),
        };
        let reason = |is_chosen: bool| if is_chosen { "chosen" } else { "as trained" };
        tracing::info!(
            "{}: written by {self}; images are resized {} ({}), bars beside them are {} ({})",
            path.display(),
            match fit.resize {
                Resize::Plain => "without antialiasing",
                Resize::Antialiased => "with antialiasing to 8 bits",
            },
            reason(resize.is_some()),
            fit.bars.value(),
            reason(bars.is_some())
        );
        fit
    }
}

impl fmt::Display for ImageWriter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::LeRobot0_3 => "LeRobot 0.3",
            Self::LeRobot0_4 => "LeRobot 0.4.0 to 0.4.2",
            Self::LeRobot0_4Or0_5 => "LeRobot 0.4.3 to 0.5.0",
            Self::LeRobot => "LeRobot 0.5.1 or newer",
            Self::Openpi => "openpi",
        })
    }
}
