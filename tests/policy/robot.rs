//! A robot with two of the reference checkpoint's three cameras, and its observation.

use std::num::NonZeroUsize;
use std::sync::Arc;

use image::{Rgb, RgbImage};
use pi0_node::policy::{CameraOptions, Observation, PolicyOptions};

/// Denoising steps that are enough where the actions are not compared with the reference's.
pub const FEW_STEPS: Option<NonZeroUsize> = NonZeroUsize::new(2);

/// Cameras in another order than the checkpoint's, whose whole frames are seen.
pub fn options() -> PolicyOptions {
    PolicyOptions {
        seed: 5,
        cameras: Some(["right_wrist", "top"].map(CameraOptions::new).to_vec()),
        absent_cameras: vec!["left_wrist".to_owned()],
        ..PolicyOptions::default()
    }
}

/// A frame of 40 × 30 pixels, another one for every shade.
pub fn frame(shade: u8) -> Arc<RgbImage> {
    Arc::new(RgbImage::from_fn(40, 30, |x, y| {
        Rgb([shade, x as u8 * 5, y as u8 * 7])
    }))
}

pub fn observation() -> Observation {
    Observation {
        images: [("top", 10), ("right_wrist", 200)]
            .map(|(name, shade)| (name.to_owned(), frame(shade)))
            .into(),
        state: vec![0.1; 14],
        prompt: "pick up the cube".to_owned(),
    }
}
