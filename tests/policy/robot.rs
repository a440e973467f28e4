//! A robot with two of the reference checkpoint's three cameras, and what it sees.

use std::sync::Arc;

use image::{Rgb, RgbImage};
use pi0_node::policy::{CameraOptions, Observation, PolicyOptions};

/// Cameras in another order than the checkpoint's, whose whole frames are seen.
pub fn options() -> PolicyOptions {
    PolicyOptions {
        denoise_steps: Some(2),
        seed: 5,
        cameras: ["right_wrist", "top"]
            .map(|name| CameraOptions {
                name: name.to_owned(),
                crop: None,
                is_optional: false,
            })
            .to_vec(),
        absent_cameras: vec!["left_wrist".to_owned()],
    }
}

/// 40 × 30 pixels, others for every shade.
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
