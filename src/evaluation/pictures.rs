//! What a report draws of an evaluation, kept small however long the recording is.

use std::sync::Arc;
use std::time::Duration;

use image::RgbImage;

use super::evaluation::Prediction;

/// Moments of a recording that are drawn at most.
const LARGEST_SERIES: usize = 3000;
/// Predictions that are shown with their camera frames.
const WORST: usize = 5;

/// One moment: what was predicted to be done, and what was recorded.
#[derive(Clone, Debug)]
pub struct Moment {
    pub time_s: f64,
    /// Whether it is a chunk's first.
    pub begins_chunk: bool,
    pub predicted: Vec<f32>,
    pub recorded: Option<Vec<f32>>,
}

/// A prediction far from what was recorded.
#[derive(Clone, Debug)]
pub struct WorstPrediction {
    pub time_s: f64,
    pub mse: f64,
    pub prompt: String,
    /// The frames that it was made from, by camera.
    pub frames: Vec<(String, Arc<RgbImage>)>,
}

/// Collects what is drawn.
#[derive(Debug)]
pub struct Pictures {
    actions_between: usize,
    action_period: Duration,
    start: Option<Duration>,
    moments: Vec<Moment>,
    /// Of so many moments one is kept.
    stride: usize,
    seen: usize,
    worst: Vec<WorstPrediction>,
    latencies_ms: Vec<f64>,
}

impl Pictures {
    /// `actions_between`: of each chunk so many actions are drawn, up to where the next one begins.
    pub fn new(actions_between: usize, action_period: Duration) -> Self {
        Self {
            actions_between,
            action_period,
            start: None,
            moments: Vec::new(),
            stride: 1,
            seen: 0,
            worst: Vec::new(),
            latencies_ms: Vec::new(),
        }
    }

    /// Looks at a prediction.
    pub fn add(&mut self, prediction: &Prediction) {
        let sample = prediction.sample;
        let start = *self.start.get_or_insert(sample.observed_at);
        let time_s = sample.observed_at.as_secs_f64() - start.as_secs_f64();
        self.latencies_ms.push(prediction.latency.as_secs_f64() * 1e3);
        for step in 0..self.actions_between.min(prediction.chunk.horizon()) {
            self.seen += 1;
            if !(self.seen - 1).is_multiple_of(self.stride) {
                continue;
            }
            self.moments.push(Moment {
                time_s: time_s + self.action_period.as_secs_f64() * step as f64,
                begins_chunk: step < self.stride,
                predicted: prediction.chunk.action(step).to_vec(),
                recorded: sample.recorded.get(step).cloned().flatten(),
            });
        }
        while self.moments.len() > LARGEST_SERIES {
            let mut index = 0;
            self.moments.retain(|_| {
                index += 1;
                index % 2 == 1
            });
            self.stride *= 2;
        }
        if let Some(mse) = prediction.mse
            && (self.worst.len() < WORST || self.worst.last().is_some_and(|last| last.mse < mse))
        {
            let frames = sample.observation.images.iter();
            let worst = WorstPrediction {
                time_s,
                mse,
                prompt: sample.observation.prompt.clone(),
                frames: frames
                    .map(|(camera, frame)| (camera.clone(), Arc::clone(frame)))
                    .collect(),
            };
            let place = self.worst.partition_point(|other| other.mse >= mse);
            self.worst.insert(place, worst);
            self.worst.truncate(WORST);
        }
    }

    pub fn moments(&self) -> &[Moment] {
        &self.moments
    }

    /// The worst first.
    pub fn worst(&self) -> &[WorstPrediction] {
        &self.worst
    }

    pub fn latencies_ms(&self) -> &[f64] {
        &self.latencies_ms
    }
}
