//! Draws what the control loop tells a robot around the arrival of a chunk, for docs/control.md:
//!
//!     cargo run --release --no-default-features --features evaluation,cli --example blending_pictures
//!
//! The chunks are two that the shipped policy made (tests/fixtures/aloha_sim), of other skills, so that the blending is one
//! to look at; the lines are what `Controller` publishes at every tick.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use pi0_node::control::{
    Blending, BlendingStrategy, ControlSettings, Controller, JointLimits, SafetyInputs, TimedChunk,
};
use pi0_node::policy::{ActionChunk, Guidance};
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
    let chunk = |skill: &str| joint(&root.join(format!("tests/fixtures/aloha_sim/{skill}.safetensors")));
    let (first, second) = (chunk("right_pick")?, chunk("left_pick")?);
    let blending = |strategy, fade_ms| Blending {
        strategy,
        blend_duration: Duration::from_millis(fade_ms),
        controller_latency: Duration::ZERO,
        ensemble_coefficient: 0.01,
        guidance: Guidance::default(),
    };
    let limits = JointLimits {
        velocity: 2.0,
        acceleration: 12.0,
        ..JointLimits::NONE
    };
    let held = held(&first, &second);
    let pictures = [
        ("at_once", blending(BlendingStrategy::Replace, 0), None, &second),
        ("replace", blending(BlendingStrategy::Replace, 200), None, &second),
        ("blend", blending(BlendingStrategy::Blend, 200), None, &second),
        (
            "ensemble",
            blending(BlendingStrategy::Ensemble, 200),
            None,
            &second,
        ),
        ("inpaint", blending(BlendingStrategy::Inpaint, 200), None, &held),
        (
            "limits",
            blending(BlendingStrategy::Replace, 0),
            Some(limits),
            &second,
        ),
    ];
    for (name, blending, limits, fresh) in pictures {
        let published = published(&first, fresh, blending, limits);
        let path = root.join(format!("docs/images/blending_{name}.svg"));
        draw(&path, &first, fresh, &published)
            .with_context(|| format!("{} could not be drawn", path.display()))?;
    }
    Ok(())
}

/// What one joint does in a recorded chunk.
fn joint(path: &Path) -> anyhow::Result<Vec<f32>> {
    let bytes = std::fs::read(path).with_context(|| format!("{} could not be read", path.display()))?;
    let tensors = SafeTensors::deserialize(&bytes)?;
    let actions = tensors.tensor("actions")?;
    let (values, _) = actions.data().as_chunks::<4>();
    let of_joint = values.iter().skip(JOINT).step_by(actions.shape()[1]);
    Ok(of_joint.map(|bytes| f32::from_le_bytes(*bytes)).collect())
}

/// The second chunk as inpainting would make it: it begins with what the first one still plays while it is made. The
/// rest is drawn, not denoised: it comes near the second chunk as the network's does.
fn held(first: &[f32], second: &[f32]) -> Vec<f32> {
    let frozen = LATENCY_TICKS as usize;
    let offset = first[OBSERVED_TICK as usize + frozen - 1] - second[frozen - 1];
    let later = (frozen..second.len()).map(|action| {
        let past = (action - frozen) as f32;
        second[action] + offset * (-past / 8.0).exp()
    });
    let begin = &first[OBSERVED_TICK as usize..][..frozen];
    begin.iter().copied().chain(later).collect()
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
