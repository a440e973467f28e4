//! Plots as SVG.

use plotters::prelude::*;

const PREDICTED: RGBColor = RGBColor(31, 111, 235);
const RECORDED: RGBColor = RGBColor(60, 60, 60);
const GRID: RGBColor = RGBColor(225, 228, 232);

type PlotResult<'a> = Result<(), DrawingAreaErrorKind<std::io::Error>>;

/// Predicted (blue) and recorded (grey) positions of one joint over seconds. Lines break where nothing was recorded.
pub fn joint(name: &str, predicted: &[(f64, f64)], recorded: &[Vec<(f64, f64)>]) -> String {
    let all = predicted.iter().chain(recorded.iter().flatten());
    let (times, values): (Vec<f64>, Vec<f64>) = all.copied().unzip();
    let (x, y) = (range(&times, 0.0), range(&values, 0.02));
    drawn((440, 190), |area| {
        let mut chart = ChartBuilder::on(area)
            .caption(name, ("sans-serif", 14))
            .margin(6)
            .x_label_area_size(22)
            .y_label_area_size(46)
            .build_cartesian_2d(x.clone(), y.clone())?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(GRID)
            .x_labels(6)
            .y_labels(5)
            .draw()?;
        for part in recorded {
            chart.draw_series(LineSeries::new(part.iter().copied(), RECORDED.stroke_width(2)))?;
        }
        chart.draw_series(LineSeries::new(
            predicted.iter().copied(),
            PREDICTED.stroke_width(1),
        ))?;
        Ok(())
    })
}

/// Mean absolute error by place in the chunk.
pub fn horizon(errors: &[(f64, f64)]) -> String {
    let (steps, values): (Vec<f64>, Vec<f64>) = errors.iter().copied().unzip();
    let (x, top) = (range(&steps, 0.0), values.iter().copied().fold(0.0, f64::max));
    drawn((440, 240), |area| {
        let mut chart = ChartBuilder::on(area)
            .margin(6)
            .x_label_area_size(36)
            .y_label_area_size(60)
            .build_cartesian_2d(x.clone(), 0.0..top.max(1e-9) * 1.1)?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(GRID)
            .x_desc("action of the chunk")
            .y_desc("mean absolute error")
            .draw()?;
        chart.draw_series(LineSeries::new(errors.iter().copied(), PREDICTED.stroke_width(2)))?;
        Ok(())
    })
}

/// How many chunks took how long.
pub fn latencies(milliseconds: &[f64]) -> String {
    const BINS: usize = 40;
    let span = range(milliseconds, 0.0);
    let width = (span.end - span.start) / BINS as f64;
    let mut counts = [0_u32; BINS];
    for value in milliseconds {
        counts[(((value - span.start) / width) as usize).min(BINS - 1)] += 1;
    }
    let top = counts.iter().copied().max().unwrap_or(1).max(1);
    drawn((440, 240), |area| {
        let mut chart = ChartBuilder::on(area)
            .margin(6)
            .x_label_area_size(36)
            .y_label_area_size(60)
            .build_cartesian_2d(span.clone(), 0.0..f64::from(top) * 1.1)?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(GRID)
            .x_desc("milliseconds a chunk")
            .y_desc("chunks")
            .draw()?;
        chart.draw_series(counts.iter().enumerate().map(|(bin, count)| {
            let left = span.start + width * bin as f64;
            Rectangle::new(
                [(left, 0.0), (left + 0.9 * width, f64::from(*count))],
                PREDICTED.filled(),
            )
        }))?;
        Ok(())
    })
}

/// The range of the values, at least `smallest` wide, with a little room.
fn range(values: &[f64], smallest: f64) -> std::ops::Range<f64> {
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if low > high {
        return 0.0..1.0;
    }
    let room = ((high - low) * 0.04)
        .max((smallest - (high - low)) / 2.0)
        .max(1e-6);
    low - room..high + room
}

fn drawn(
    size: (u32, u32),
    draw: impl Fn(&DrawingArea<SVGBackend, plotters::coord::Shift>) -> PlotResult<'static>,
) -> String {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        if let Err(error) = draw(&area).and_then(|()| area.present()) {
            // A text takes whatever is drawn; should it not, the report says so in the plot's place.
            drop(area);
            return format!("<p>no plot: {error}</p>");
        }
    }
    svg
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plots_are_drawn_of_anything_even_of_nothing_and_of_one_value() {
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
