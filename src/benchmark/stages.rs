//! Measurement of the stages of a chunk.

use std::time::Instant;

use image::RgbImage;

use super::arithmetic::Arithmetic;
use super::peak;
use super::report::{Report, Stage};
use super::workload::Workload;
use crate::checkpoint::ImageFit;
use crate::device::{Device, Result};
use crate::model::Pi0;
use crate::model::denoise::sample_noise;
use crate::model::prompt::PromptEmbedding;
use crate::policy::prepare_image;
use crate::process_memory::{peak_resident_bytes, resident_bytes};

/// Width of a camera's frame in pixels.
const FRAME_WIDTH: u32 = 640;
/// Height of a camera's frame in pixels.
const FRAME_HEIGHT: u32 = 480;

/// Measures a model on its device: every chunk from camera frames to actions, with nothing cached from the last one.
///
/// # Errors
/// When the device fails.
pub fn measure_chunks<D: Device>(model: &Pi0<D>, workload: Workload) -> Result<Report> {
    let config = &model.config;
    let device = &model.device;
    let mut instruction_peak = device.instruction_peak();
    let frame = RgbImage::from_fn(FRAME_WIDTH, FRAME_HEIGHT, |x, y| {
        image::Rgb([x as u8, y as u8, (x ^ y) as u8])
    });
    let tokens: Vec<u32> = (0..workload.prompt_tokens)
        .map(|token| (token % config.vocab_size) as u32)
        .collect();
    let state = model.upload_state(&vec![0.1; config.state_width()])?;
    let noise = sample_noise(0, 1, config.action_horizon * config.max_action_dim);
    let schedule = model.schedule(workload.denoise_steps)?;
    let prefix_tokens = workload.cameras * config.vision.num_patches() + tokens.len();
    let arithmetic = Arithmetic::new(config, prefix_tokens);

    let mut resize = Stage::new("resize, a camera", None);
    let mut vision = Stage::new("vision, a camera", Some(arithmetic.vision));
    let mut prefill = Stage::new("prefix", Some(arithmetic.prefill));
    let mut step = Stage::new("denoising step", Some(arithmetic.step));
    let mut chunk = Stage::new(
        "chunk",
        Some(arithmetic.chunk(workload.cameras, workload.denoise_steps)),
    );
    let mut previous = None;
    for chunk_index in 0..workload.warm_up + workload.repeats {
        let measured = chunk_index >= workload.warm_up;
        let started = Instant::now();
        let mut images = Vec::with_capacity(workload.cameras);
        for _ in 0..workload.cameras {
            let pixels = resize.time(measured, || {
                prepare_image(&frame, None, config.vision.image_size, ImageFit::default())
                    .expect("a frame has pixels")
            });
            let embedded = vision.time(measured, || {
                let image = model.paligemma.vision_tower.upload_image(device, &pixels)?;
                model.paligemma.embed_images(device, &[&image])
            })?;
            images.extend(embedded.into_iter().map(Some));
        }
        let mut session = prefill.time(measured, || {
            let prompt = PromptEmbedding::new(device, &model.paligemma, &tokens, 0, None)?;
            let prefix = model.embed_prefix(&images, &prompt)?;
            model.prefill(prefix, previous.take())
        })?;
        let mut denoiser = model.denoiser(&mut session, state.as_ref())?;
        let mut x_t = model.upload_noise(&noise)?;
        for at_time in &schedule.times {
            x_t = step.time(measured, || {
                let v_t = denoiser.velocity(&x_t, at_time)?;
                device.euler_update(&x_t, &v_t, schedule.dt)
            })?;
        }
        device.read_back(&x_t)?;
        previous = Some(session);
        chunk.add(measured, started.elapsed());
        instruction_peak = peak::larger(instruction_peak, device.instruction_peak());
    }
    Ok(Report {
        device: device.description(),
        workload,
        prefix_tokens,
        action_horizon: config.action_horizon,
        instruction_peak,
        resident_bytes: resident_bytes(),
        peak_resident_bytes: peak_resident_bytes(),
        stages: vec![resize, vision, prefill, step, chunk],
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::benchmark::{RandomWeights, demo_sized};
    use crate::device::{CpuDevice, InstructionPeak, Precision};

    #[test]
    fn every_stage_is_measured_as_often_as_it_ran() {
        let config = demo_sized();
        let weights = RandomWeights::new(&config);
        let device = CpuDevice::new(Precision::F32, 1).unwrap();
        let model = Pi0::new(config, device, &weights).unwrap();
        let workload = Workload {
            cameras: 2,
            prompt_tokens: 5,
            denoise_steps: 3,
            warm_up: 1,
            repeats: 2,
        };
        let report = measure_chunks(&model, workload).unwrap();
        let measured: Vec<_> = report.stages.iter().map(|stage| stage.times_ms.len()).collect();
        assert_eq!(measured, [4, 4, 2, 6, 2]);
        assert_eq!(report.prefix_tokens, 2 * 36 + 5);
        let kernel = |peak: Option<InstructionPeak>| peak.map(|peak| peak.kernel);
        assert_eq!(
            kernel(report.instruction_peak),
            kernel(model.device.instruction_peak())
        );
    }
}
