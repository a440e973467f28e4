//! Samples of an evaluation for plots and pictures. Their number does not grow with the recording.

use std::sync::Arc;
use std::time::Duration;

use image::RgbImage;

use crate::evaluation::evaluate::Prediction;

/// Most moments that are drawn.
const LARGEST_SERIES: usize = 3000;
/// Predictions that are shown with their frames.
const WORST: usize = 5;

/// Predicted and recorded action of one moment.
#[derive(Clone, Debug)]
pub struct Moment {
    /// Seconds since the first observation.
    pub time_s: f64,
    /// `[joints]`
    pub predicted: Vec<f32>,
    /// `[joints]`; `None` where nothing was recorded.
    pub recorded: Option<Vec<f32>>,
}

/// Prediction with a large error.
#[derive(Clone, Debug)]
pub struct WorstPrediction {
    /// Seconds since the first observation.
    pub time_s: f64,
    /// Mean square error.
    pub mse: f64,
    /// Prompt of the observation.
    pub prompt: String,
    /// Cameras and frames of the observation.
    pub frames: Vec<(String, Arc<RgbImage>)>,
}

/// Collector of the samples.
#[derive(Debug)]
pub struct Pictures {
    execution_horizon: usize,
    action_period: Duration,
    start: Option<Duration>,
    moments: Vec<Moment>,
    /// Moments for each one that is kept.
    stride: usize,
    seen: usize,
    worst: Vec<WorstPrediction>,
    latencies_ms: Vec<f64>,
}

impl Pictures {
    /// Creates an empty collector that takes the first `execution_horizon` actions of each chunk.
    pub fn new(execution_horizon: usize, action_period: Duration) -> Self {
        Self {
            execution_horizon,
            action_period,
            start: None,
            moments: Vec::new(),
            stride: 1,
            seen: 0,
            worst: Vec::new(),
            latencies_ms: Vec::new(),
        }
    }

    /// Adds a prediction.
    pub fn add(&mut self, prediction: &Prediction) {
        let observation = prediction.observation;
        let start = *self.start.get_or_insert(observation.observed_at);
        let time_s = observation.observed_at.as_secs_f64() - start.as_secs_f64();
        self.latencies_ms.push(prediction.latency.as_secs_f64() * 1e3);
        for step in 0..self.execution_horizon.min(prediction.chunk.horizon()) {
            self.seen += 1;
            if !(self.seen - 1).is_multiple_of(self.stride) {
                continue;
            }
            self.moments.push(Moment {
                time_s: time_s + self.action_period.as_secs_f64() * step as f64,
                predicted: prediction.chunk.action(step).to_vec(),
                recorded: observation.recorded.get(step).cloned().flatten(),
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
            let frames = observation.observation.images.iter();
            let worst = WorstPrediction {
                time_s,
                mse,
                prompt: observation.observation.prompt.clone(),
                frames: frames
                    .map(|(camera, frame)| (camera.clone(), Arc::clone(frame)))
                    .collect(),
            };
            let index = self.worst.partition_point(|other| other.mse >= mse);
            self.worst.insert(index, worst);
            self.worst.truncate(WORST);
        }
    }

    /// Moments in their order.
    pub fn moments(&self) -> &[Moment] {
        &self.moments
    }

    /// Predictions with the largest errors, the worst one first.
    pub fn worst(&self) -> &[WorstPrediction] {
        &self.worst
    }

    /// Milliseconds of each chunk.
    pub fn latencies_ms(&self) -> &[f64] {
        &self.latencies_ms
    }
}
