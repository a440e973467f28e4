//! Measurement of chunks whose work a device captured: what a robot waits for once the device is warm.

use std::fmt;
use std::time::{Duration, Instant};

use image::RgbImage;
use serde_json::{Value, json};

use super::report::Stage;
use super::workload::Workload;
use crate::checkpoint::ImageFit;
use crate::device::{Device, Pixels, Result};
use crate::model::cameras::CameraEmbeddings;
use crate::model::denoise::sample_noise;
use crate::model::prompt::PromptEmbedding;
use crate::model::{Pi0, Session};
use crate::policy::prepare_image;

/// Times of captured chunks, and whether all of them gave what the first one gave, before anything was captured.
#[derive(Debug)]
pub struct CapturedReport {
    /// Name of the device.
    pub device: String,
    /// Chunks, and what they are made of.
    pub workload: Workload,
    /// The first chunk, which compiles and allocates.
    pub first: Duration,
    /// The second and the third, which compile and capture.
    pub capturing: [Duration; 2],
    /// Denoising alone; with a new prefix; with new images too. Each from the first upload to the actions on the host.
    pub stages: [Stage; 3],
    /// Captured chunks.
    pub replays: usize,
    /// How many of them differ from the first chunk in any bit.
    pub different_replays: usize,
    /// Largest difference of an action from the first chunk's.
    pub largest_difference: f32,
}

/// What is new in a chunk.
#[derive(Clone, Copy, PartialEq, Eq)]
enum New {
    Noise,
    Prefix,
    Images,
}

/// Makes the same chunk again and again: as many of each kind as the workload repeats. The images, prompt, state and noise are
/// always the same, so all actions have to be.
///
/// # Errors
/// When the device fails.
pub fn measure_captured<D: Device>(model: &Pi0<D>, workload: Workload) -> Result<CapturedReport> {
    let (config, device) = (&model.config, &model.device);
    let frame = RgbImage::from_fn(640, 480, |x, y| image::Rgb([x as u8, y as u8, (x ^ y) as u8]));
    let pixels = prepare_image(&frame, None, config.vision.image_size, ImageFit::default())
        .expect("a frame has pixels");
    let images: Vec<(usize, Pixels)> = (0..workload.cameras)
        .map(|camera| (camera, pixels.clone()))
        .collect();
    let cameras: Vec<usize> = (0..workload.cameras).collect();
    let tokens: Vec<u32> = (0..workload.prompt_tokens)
        .map(|token| (token % config.vocab_size) as u32)
        .collect();
    let state = vec![0.1; config.state_width()];
    let noise = sample_noise(0, 1, config.action_horizon * config.max_action_dim);
    let schedule = model.schedule(workload.denoise_steps)?;
    let mut embedded = CameraEmbeddings::default();
    let started = Instant::now();
    let prompt = PromptEmbedding::new(device, &model.paligemma, &tokens, 0, None)?;
    embedded.update(model, &images)?;
    let present: Vec<_> = embedded.embeddings(&cameras).into_iter().map(Some).collect();
    let mut session: Session<D> = model.prefill(model.embed_prefix(&present, &prompt)?, None)?;
    let expected = model.sample_actions(&mut session, &state, &noise, None, &schedule)?;
    let first = started.elapsed();
    let mut chunk = |new: New| -> Result<(Duration, Vec<f32>)> {
        let started = Instant::now();
        if new == New::Images {
            embedded.update(model, &images)?;
        }
        if new != New::Noise {
            model.refill(&mut session, &embedded.embeddings(&cameras), &prompt)?;
        }
        let actions = model.sample_actions(&mut session, &state, &noise, None, &schedule)?;
        Ok((started.elapsed(), actions))
    };
    let capturing = [chunk(New::Images)?.0, chunk(New::Images)?.0];
    let mut report = CapturedReport {
        device: device.description(),
        workload,
        first,
        capturing,
        stages: ["denoising alone", "prefix and denoising", "whole chunk"].map(|name| Stage::new(name, None)),
        replays: 0,
        different_replays: 0,
        largest_difference: 0.0,
    };
    for (index, new) in [New::Noise, New::Prefix, New::Images].into_iter().enumerate() {
        for _ in 0..workload.repeats {
            let (duration, actions) = chunk(new)?;
            report.stages[index].add(true, duration);
            report.compare(&actions, &expected);
        }
    }
    Ok(report)
}

impl CapturedReport {
    fn compare(&mut self, actions: &[f32], expected: &[f32]) {
        let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        self.replays += 1;
        if bits(actions) != bits(expected) {
            self.different_replays += 1;
        }
        for (action, expected) in actions.iter().zip(expected) {
            let difference = (action - expected).abs();
            // A NaN is a difference, and the largest one.
            if difference.is_nan() || difference > self.largest_difference {
                self.largest_difference = difference;
            }
        }
    }

    /// One line of JSON.
    pub fn to_json(&self) -> Value {
        let stages = self.stages.iter().map(|stage| {
            let name = stage.name.to_owned();
            (
                name,
                json!({ "median_ms": stage.median_ms(), "p99_ms": stage.percentile_ms(99.0) }),
            )
        });
        json!({
            "device": self.device,
            "cameras": self.workload.cameras,
            "prompt_tokens": self.workload.prompt_tokens,
            "denoise_steps": self.workload.denoise_steps,
            "first_s": self.first.as_secs_f64(),
            "capturing_s": self.capturing.map(|duration| duration.as_secs_f64()),
            "stages": stages.collect::<serde_json::Map<_, _>>(),
            "replays": self.replays,
            "different_replays": self.different_replays,
            "largest_difference": self.largest_difference,
        })
    }
}

impl fmt::Display for CapturedReport {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Workload {
            cameras,
            prompt_tokens,
            denoise_steps,
            ..
        } = self.workload;
        writeln!(f, "{}", self.device)?;
        writeln!(
            f,
            "{cameras} cameras, {prompt_tokens} prompt tokens, {denoise_steps} denoising steps"
        )?;
        let [second, third] = self.capturing.map(|duration| duration.as_secs_f64());
        let first = self.first.as_secs_f64();
        writeln!(
            f,
            "first chunk {first:.1} s, second {second:.1} s, third {third:.1} s\n"
        )?;
        writeln!(f, "| captured | median | p99 |\n|---|---|---|")?;
        for stage in &self.stages {
            let (median, p99) = (stage.median_ms(), stage.percentile_ms(99.0));
            writeln!(f, "| {} | {median:.2} ms | {p99:.2} ms |", stage.name)?;
        }
        writeln!(
            f,
            "\n{} of {} captured chunks differ from the first one, which ran operation by operation; by {} at most.",
            self.different_replays, self.replays, self.largest_difference
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::benchmark::{RandomWeights, demo_sized};
    use crate::device::{CpuDevice, Precision};

    fn report() -> CapturedReport {
        let config = demo_sized();
        let weights = RandomWeights::new(&config);
        let device = CpuDevice::new(Precision::F32, 1).unwrap();
        let model = Pi0::new(config, device, &weights).unwrap();
        let workload = Workload {
            cameras: 2,
            prompt_tokens: 3,
            denoise_steps: 1,
            warm_up: 0,
            repeats: 2,
        };
        measure_captured(&model, workload).unwrap()
    }

    #[test]
    fn chunks_of_the_same_inputs_are_the_same_bit_for_bit() {
        let report = report();
        assert_eq!((report.replays, report.different_replays), (6, 0));
        assert_eq!(report.largest_difference, 0.0);
        let text = report.to_string();
        assert!(text.contains("0 of 6 captured chunks differ"), "{text}");
    }

    #[test]
    fn one_bit_of_one_action_is_a_difference_and_a_nan_the_largest() {
        let mut report = report();
        report.compare(&[1.0, 2.0], &[1.0, 2.0_f32.next_up()]);
        assert_eq!(report.different_replays, 1);
        report.compare(&[f32::NAN], &[1.0]);
        report.compare(&[1.0], &[3.0]);
        assert!(report.largest_difference.is_nan());
        assert_eq!(report.to_json()["different_replays"], 3);
    }
}
