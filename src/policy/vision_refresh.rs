//! Cameras whose frames are embedded less often than the policy predicts.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use image::RgbImage;

use super::Observation;

/// Repeats a camera's last frame until the camera's refresh period has passed: a repeated frame costs neither
/// the vision tower nor, when no camera has a new one, the prefix.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct VisionRefresh {
    cameras: BTreeMap<String, Camera>,
}

#[derive(Clone, Debug, PartialEq)]
struct Camera {
    period: Duration,
    /// The newest frame that the policy got, and its time.
    shown: Option<(Arc<RgbImage>, Duration)>,
}

impl VisionRefresh {
    /// Sets the periods of cameras by the checkpoint's names; any other camera is never held back.
    pub fn new(periods: impl IntoIterator<Item = (String, Duration)>) -> Self {
        let camera = |(name, period)| (name, Camera { period, shown: None });
        Self {
            cameras: periods.into_iter().map(camera).collect(),
        }
    }

    /// Takes over the periods of `other`; shown frames stay.
    pub fn set_periods(&mut self, other: &Self) {
        self.cameras.retain(|name, _| other.cameras.contains_key(name));
        for (name, camera) in &other.cameras {
            let period = camera.period;
            self.cameras
                .entry(name.clone())
                .or_insert(Camera { period, shown: None })
                .period = period;
        }
    }

    /// Replaces frames of the next observation by those shown before, for cameras whose period has not
    /// passed.
    pub fn hold_back(&mut self, observation: &mut Observation, observed_at: Duration) {
        for (name, camera) in &mut self.cameras {
            let Some(frame) = observation.images.get_mut(name) else {
                continue;
            };
            match &camera.shown {
                Some((shown, since))
                    if (*since..since.saturating_add(camera.period)).contains(&observed_at) =>
                {
                    *frame = Arc::clone(shown);
                }
                _ => camera.shown = Some((Arc::clone(frame), observed_at)),
            }
        }
    }

    /// Forgets all shown frames, so that every camera's next frame is new.
    pub fn forget(&mut self) {
        self.cameras.values_mut().for_each(|camera| camera.shown = None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Width of the frame that the policy gets when a camera's newest frame is `newest` wide.
    fn seen(refresh: &mut VisionRefresh, camera: &str, newest: u32, at_ms: u64) -> u32 {
        let mut observation = Observation {
            images: BTreeMap::from([(camera.to_owned(), Arc::new(RgbImage::new(newest, 1)))]),
            state: Vec::new(),
            prompt: String::new(),
        };
        refresh.hold_back(&mut observation, Duration::from_millis(at_ms));
        observation.images[camera].width()
    }

    fn ten_hertz() -> VisionRefresh {
        VisionRefresh::new([("top".to_owned(), Duration::from_millis(100))])
    }

    #[test]
    fn a_camera_s_new_frame_is_shown_when_its_period_has_passed() {
        let mut refresh = ten_hertz();
        let frames = [(1, 500), (2, 540), (3, 599), (4, 600), (5, 650), (6, 720)];
        let shown = frames.map(|(newest, at_ms)| seen(&mut refresh, "top", newest, at_ms));
        assert_eq!(shown, [1, 1, 1, 4, 4, 6]);
    }

    #[test]
    fn other_cameras_are_not_held_back() {
        let mut refresh = ten_hertz();
        assert_eq!(seen(&mut refresh, "wrist", 1, 0), 1);
        assert_eq!(seen(&mut refresh, "wrist", 2, 1), 2);
    }

    #[test]
    fn a_frame_from_before_time_went_back_or_was_forgotten_is_not_shown_again() {
        let mut refresh = ten_hertz();
        assert_eq!(seen(&mut refresh, "top", 1, 500), 1);
        assert_eq!(seen(&mut refresh, "top", 2, 20), 2);
        refresh.forget();
        assert_eq!(seen(&mut refresh, "top", 3, 30), 3);
    }

    #[test]
    fn another_period_counts_from_the_frame_that_was_shown_last() {
        let every = |ms| VisionRefresh::new([("top".to_owned(), Duration::from_millis(ms))]);
        let mut refresh = every(100);
        assert_eq!(seen(&mut refresh, "top", 1, 0), 1);
        refresh.set_periods(&every(50));
        assert_eq!(seen(&mut refresh, "top", 2, 40), 1);
        assert_eq!(seen(&mut refresh, "top", 3, 60), 3);
        refresh.set_periods(&VisionRefresh::default());
        assert_eq!(seen(&mut refresh, "top", 4, 61), 4);
        refresh.set_periods(&every(100));
        assert_eq!(seen(&mut refresh, "top", 5, 62), 5);
    }
}
