//! The messages that make an observation together.

use std::sync::Arc;
use std::time::Duration;

use image::RgbImage;

/// The messages that count together: each camera's frame, the joint positions, each pose and extra state.
pub struct Set<'a> {
    pub joints: (Duration, &'a Vec<f32>),
    pub frames: Vec<Option<(Duration, &'a Arc<RgbImage>)>>,
    pub others: Vec<(Duration, &'a Vec<f32>)>,
}

impl Set<'_> {
    /// How much older each camera's frame is than the joint positions, in seconds.
    pub fn camera_ages_s(&self) -> Vec<Option<f64>> {
        let ages = self.frames.iter();
        ages.map(|frame| frame.map(|(stamp, _)| self.age_s(stamp)))
            .collect()
    }

    /// How much older each pose and extra state is than the joint positions, in seconds.
    pub fn other_ages_s(&self) -> Vec<f64> {
        self.others.iter().map(|(stamp, _)| self.age_s(*stamp)).collect()
    }

    /// How much older than the joint positions.
    fn age_s(&self, stamp: Duration) -> f64 {
        self.joints.0.as_secs_f64() - stamp.as_secs_f64()
    }

    /// The stamps of all messages.
    pub fn stamps(&self) -> Vec<Option<Duration>> {
        let frames = self.frames.iter().map(|frame| frame.map(|(stamp, _)| stamp));
        let others = self.others.iter().map(|(stamp, _)| Some(*stamp));
        std::iter::once(Some(self.joints.0))
            .chain(frames)
            .chain(others)
            .collect()
    }
}
