//! Plots of a report as SVG.

use std::ops::Range;

use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;

const PREDICTED: RGBColor = RGBColor(31, 111, 235);
const RECORDED: RGBColor = RGBColor(60, 60, 60);
const GRID: RGBColor = RGBColor(225, 228, 232);

type PlotResult = Result<(), DrawingAreaErrorKind<std::io::Error>>;
type Chart<'a> = ChartContext<'a, SVGBackend<'a>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

/// Draws the predicted (blue) and recorded (grey) positions of one joint over seconds. `recorded` has a line for each segment
/// without a gap.
pub fn joint(name: &str, predicted: &[(f64, f64)], recorded: &[Vec<(f64, f64)>]) -> String {
    let all = predicted.iter().chain(recorded.iter().flatten());
    let (times, values): (Vec<f64>, Vec<f64>) = all.copied().unzip();
    let (x, y) = (range(&times, 0.0), range(&values, 0.02));
    drawn(190, name, ["", ""], x, y, |chart| {
        for segment in recorded {
            chart.draw_series(LineSeries::new(segment.iter().copied(), RECORDED.stroke_width(2)))?;
        }
        chart.draw_series(LineSeries::new(
            predicted.iter().copied(),
            PREDICTED.stroke_width(1),
        ))?;
        Ok(())
    })
}

/// Draws the mean absolute error over the index in the chunk.
pub fn horizon(errors: &[(f64, f64)]) -> String {
    let (steps, values): (Vec<f64>, Vec<f64>) = errors.iter().copied().unzip();
    let y = 0.0..values.iter().copied().fold(1e-9, f64::max) * 1.1;
    let axes = ["index in the chunk", "mean absolute error"];
    drawn(240, "", axes, range(&steps, 0.0), y, |chart| {
        chart.draw_series(LineSeries::new(errors.iter().copied(), PREDICTED.stroke_width(2)))?;
        Ok(())
    })
}

/// Draws a histogram of the chunks' times.
pub fn latencies(milliseconds: &[f64]) -> String {
    const BINS: usize = 40;
    let x = range(milliseconds, 0.0);
    let (start, width) = (x.start, (x.end - x.start) / BINS as f64);
    let mut counts = [0_u32; BINS];
    for value in milliseconds {
        counts[(((value - start) / width) as usize).min(BINS - 1)] += 1;
    }
    let y = 0.0..f64::from(counts.iter().copied().fold(1, u32::max)) * 1.1;
    drawn(240, "", ["milliseconds a chunk", "chunks"], x, y, |chart| {
        chart.draw_series(counts.iter().enumerate().map(|(bin, count)| {
            let left = start + width * bin as f64;
            let corners = [(left, 0.0), (left + 0.9 * width, f64::from(*count))];
            Rectangle::new(corners, PREDICTED.filled())
        }))?;
        Ok(())
    })
}

/// Range of the values with a margin, at least `smallest` wide.
fn range(values: &[f64], smallest: f64) -> Range<f64> {
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if low > high {
        return 0.0..1.0;
    }
    let margin = ((high - low) * 0.04)
        .max((smallest - (high - low)) / 2.0)
        .max(1e-6);
    low - margin..high + margin
}

/// Draws a chart of `height` pixels with a caption and the descriptions of both axes; empty ones take no space.
fn drawn(
    height: u32,
    caption: &str,
    [x_name, y_name]: [&str; 2],
    x: Range<f64>,
    y: Range<f64>,
    draw: impl Fn(&mut Chart) -> PlotResult,
) -> String {
    let mut svg = String::new();
    let plot = || -> PlotResult {
        let area = SVGBackend::with_string(&mut svg, (440, height)).into_drawing_area();
        let mut builder = ChartBuilder::on(&area);
        if !caption.is_empty() {
            builder.caption(caption, ("sans-serif", 14));
        }
        let (x_space, y_space) = if x_name.is_empty() { (22, 46) } else { (36, 60) };
        builder
            .margin(6)
            .x_label_area_size(x_space)
            .y_label_area_size(y_space);
        let mut chart = builder.build_cartesian_2d(x, y)?;
        let mut mesh = chart.configure_mesh();
        mesh.light_line_style(TRANSPARENT).bold_line_style(GRID);
        mesh.x_labels(6)
            .y_labels(5)
            .x_desc(x_name)
            .y_desc(y_name)
            .draw()?;
        draw(&mut chart)?;
        area.present()
    };
    match plot() {
        Ok(()) => svg,
        // Drawing into a text cannot fail; if it does, the page has the reason in place of the plot.
        Err(error) => format!("<p>no plot: {error}</p>"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plots_are_drawn_of_no_value_of_one_and_of_several() {
        for points in [vec![], vec![(0.0, 1.0)], vec![(0.0, 1.0), (1.0, 2.0)]] {
            let values: Vec<f64> = points.iter().map(|(_, value)| *value).collect();
            for svg in [
                joint("waist", &points, std::slice::from_ref(&points)),
                horizon(&points),
                latencies(&values),
            ] {
                assert!(
                    svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"),
                    "{svg}"
                );
            }
        }
    }
}
