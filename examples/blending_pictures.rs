//! Draws what the control loop tells a robot around the arrival of a chunk, for docs/control.md:
//!
//!     cargo run --release --no-default-features --features evaluation,cli --example blending_pictures
//!
//! The chunks are the shipped policy's: one of tests/fixtures/aloha_sim, and one for another skill, so that the blending is
//! one to look at. Where the second one goes on from the first, the policy denoises it so. The lines are what `Controller`
//! publishes at every tick.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use image::RgbImage;
use pi0_node::checkpoint::Checkpoint;
use pi0_node::control::{
    Blending, BlendingStrategy, ControlSettings, Controller, JointLimits, Plan, SafetyInputs, TimedChunk,
};
use pi0_node::device::{CpuDevice, Precision};
use pi0_node::policy::{
    ActionChunk, CameraOptions, Crop, Guidance, Observation, Pi0Policy, Policy, PolicyOptions,
};
use plotters::prelude::*;
use safetensors::SafeTensors;

const TICK: Duration = Duration::from_millis(20);
const JOINT: usize = 8;
/// Of the chunk after the first one.
const LATENCY_TICKS: u32 = 6;
const OBSERVED_TICK: u32 = 25;
const TICKS: u32 = 70;
const BEFORE: RGBColor = RGBColor(150, 150, 150);
const FRESH: RGBColor = RGBColor(214, 138, 22);
const PUBLISHED: RGBColor = RGBColor(31, 111, 235);
const GRID: RGBColor = RGBColor(225, 228, 232);

fn main() -> anyhow::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let bytes = std::fs::read(root.join("tests/fixtures/aloha_sim/right_pick.safetensors"))?;
    let tensors = SafeTensors::deserialize(&bytes)?;
    let first = ActionChunk::new(
        values(&tensors, "actions")?,
        tensors.tensor("actions")?.shape()[1],
    );
    let blending = |strategy: BlendingStrategy, fade_ms| Blending {
        strategy: Some(strategy),
        blend_duration: Duration::from_millis(fade_ms),
        controller_latency: Duration::ZERO,
        ensemble_coefficient: 0.01,
        rtc_mode: None,
        guidance: Guidance::default(),
    };
    let limits = JointLimits {
        velocity: 2.0,
        acceleration: 12.0,
        ..JointLimits::NONE
    };
    let of_strategy = |strategy, fade_ms| -> anyhow::Result<_> {
        let blending = blending(strategy, fade_ms);
        let second = second_chunk(root, &first, blending)?;
        Ok((blending, joint(&second)))
    };
    let replace = of_strategy(BlendingStrategy::Replace, 200)?;
    let at_once = of_strategy(BlendingStrategy::Replace, 0)?;
    let pictures = [
        ("at_once", at_once.clone(), None),
        ("replace", replace, None),
        ("blend", of_strategy(BlendingStrategy::Blend, 200)?, None),
        ("ensemble", of_strategy(BlendingStrategy::Ensemble, 200)?, None),
        ("inpaint", of_strategy(BlendingStrategy::Inpaint, 200)?, None),
        ("rtc", of_strategy(BlendingStrategy::Rtc, 200)?, None),
        ("limits", at_once, Some(limits)),
    ];
    let first = joint(&first);
    for (name, (blending, fresh), limits) in pictures {
        let published = published(&first, &fresh, blending, limits);
        let path = root.join(format!("docs/images/blending_{name}.svg"));
        draw(&path, &first, &fresh, &published)
            .with_context(|| format!("{} could not be drawn", path.display()))?;
    }
    Ok(())
}

/// What the picture's joint does in a chunk.
fn joint(chunk: &ActionChunk) -> Vec<f32> {
    (0..chunk.horizon())
        .map(|action| chunk.action(action)[JOINT])
        .collect()
}

fn values(tensors: &SafeTensors, name: &str) -> anyhow::Result<Vec<f32>> {
    let (values, _) = tensors.tensor(name)?.data().as_chunks::<4>();
    Ok(values.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
}

/// The second chunk, for the other arm, as the policy denoises it while the first one is played.
fn second_chunk(root: &Path, first: &ActionChunk, blending: Blending) -> anyhow::Result<ActionChunk> {
    let bytes = std::fs::read(root.join("tests/fixtures/aloha_sim/left_pick.safetensors"))?;
    let tensors = SafeTensors::deserialize(&bytes)?;
    let picture = tensors.tensor("picture.top")?;
    let [height, width, _] = picture.shape()[..] else {
        anyhow::bail!("a picture of the shape {:?}", picture.shape());
    };
    let picture = RgbImage::from_raw(width as u32, height as u32, picture.data().to_vec());
    let picture = picture.context("a picture of other bytes than its shape")?;
    let camera = CameraOptions {
        // That of config/aloha_sim.yaml.
        crop: Some(Crop {
            x: 120,
            y: 60,
            width: 120,
            height: 120,
        }),
        ..CameraOptions::new("top")
    };
    let options = PolicyOptions {
        cameras: Some(vec![camera]),
        ..PolicyOptions::default()
    };
    let checkpoint = Checkpoint::open(root.join("checkpoints/aloha_sim"))?;
    let mut policy = Pi0Policy::new(&checkpoint, CpuDevice::new(Precision::F32, 1)?, &options)?;
    let observation = Observation {
        images: [("top".to_owned(), Arc::new(picture))].into(),
        // Where the first chunk has brought the robot.
        state: first.action(OBSERVED_TICK as usize).to_vec(),
        prompt: "pick up the cube with the left arm".to_owned(),
    };
    let waypoints = (0..first.horizon()).map(|action| (TICK * action as u32, first.action(action).to_vec()));
    let plan = Plan::new(waypoints.collect());
    let delay = LATENCY_TICKS as usize;
    let prefix = blending.action_prefix(&plan, delay, TICK * OBSERVED_TICK, TICK, policy.info());
    let noise = values(&tensors, "noise")?;
    Ok(policy.predict_from_noise(&observation, &noise, prefix.as_ref())?)
}

fn published(first: &[f32], second: &[f32], blending: Blending, limits: Option<JointLimits>) -> Vec<f32> {
    let settings = ControlSettings {
        limits: limits.map(|limits| [limits].into()),
        ..ControlSettings::unlimited(TICK)
    };
    let mut controller = Controller::new(["joint".to_owned()].into());
    let began = Duration::from_secs(100);
    let chunk = |actions: &[f32], observed_tick: u32| TimedChunk {
        actions: ActionChunk::new(actions.to_vec(), 1),
        observed_at: began + TICK * observed_tick,
        action_period: TICK,
        execution_horizon: None,
        blending,
    };
    let mut positions = Vec::new();
    for tick in 0..TICKS {
        let arrived = match tick {
            0 => Some(chunk(first, 0)),
            _ if tick == OBSERVED_TICK + LATENCY_TICKS => Some(chunk(second, OBSERVED_TICK)),
            _ => None,
        };
        let safety_inputs = SafetyInputs {
            measured: Some(vec![first[0]]),
            ..SafetyInputs::default()
        };
        let tick = controller.tick(began + TICK * tick, arrived, &safety_inputs, &settings);
        positions.extend(tick.trajectory.map(|trajectory| trajectory.present[0]));
    }
    positions
}

fn draw(path: &Path, first: &[f32], second: &[f32], published: &[f32]) -> anyhow::Result<()> {
    let seconds = |tick: usize| tick as f64 * TICK.as_secs_f64();
    let line = |from: u32, values: &[f32]| -> Vec<(f64, f64)> {
        let points = values.iter().enumerate();
        points
            .map(|(tick, value)| (seconds(from as usize + tick), f64::from(*value)))
            .collect()
    };
    let values = first
        .iter()
        .chain(second)
        .chain(published)
        .copied()
        .map(f64::from);
    let (low, high) = values.fold((f64::MAX, f64::MIN), |(low, high), value| {
        (low.min(value), high.max(value))
    });
    let room = 0.05 * (high - low);
    let area = SVGBackend::new(path, (640, 220)).into_drawing_area();
    let mut chart = ChartBuilder::on(&area)
        .margin(6)
        .x_label_area_size(32)
        .y_label_area_size(52)
        .build_cartesian_2d(0.3..seconds(TICKS as usize), low - room..high + room)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID)
        .x_desc("s")
        .y_desc("rad")
        .y_labels(5)
        .draw()?;
    chart.draw_series(LineSeries::new(line(0, first), BEFORE.stroke_width(2)))?;
    chart.draw_series(LineSeries::new(
        line(OBSERVED_TICK, second),
        FRESH.stroke_width(2),
    ))?;
    chart.draw_series(LineSeries::new(line(0, published), PUBLISHED.stroke_width(2)))?;
    let arrival = seconds((OBSERVED_TICK + LATENCY_TICKS) as usize);
    chart.draw_series(LineSeries::new(
        [(arrival, low - room), (arrival, high + room)],
        BLACK.mix(0.3),
    ))?;
    area.present()?;
    Ok(())
}
