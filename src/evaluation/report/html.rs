//! Report as a page in one file: metrics, plots, and the frames of the worst predictions.

use std::io::Cursor;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use image::imageops::FilterType;
use image::{ImageFormat, RgbImage};
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::facts::number;
use super::pictures::{Pictures, WorstPrediction};
use super::{BagResult, Report, plots};
use crate::evaluation::accuracy::Accuracy;

const STYLE: &str = "body{font:15px/1.45 system-ui,sans-serif;color:#1f2328;max-width:1380px;margin:2em auto;padding:0 1em}\
h1{font-size:1.5em}h2{font-size:1.15em;margin-top:2em;border-bottom:1px solid #d0d7de}\
table{border-collapse:collapse}td,th{padding:.2em .9em .2em 0;text-align:right;font-variant-numeric:tabular-nums}\
td:first-child,th:first-child,.facts td{text-align:left}td{white-space:nowrap}tr+tr{border-top:1px solid #eaeef2}\
.side{display:flex;flex-wrap:wrap;gap:1em;align-items:flex-start}.warning{background:#fff8c5;padding:.5em .8em;border-radius:6px;margin:.4em 0}\
figure{margin:0}figure img{height:190px;border-radius:4px}figcaption{font-size:.85em;color:#57606a;max-width:260px}\
.predicted{color:#1f6feb}.recorded{color:#3c3c3c}";
/// Largest height of a frame on the page, in pixels.
const LARGEST_FRAME: u32 = 240;

/// Page of one bag.
pub fn page(result: &BagResult, pictures: &Pictures) -> String {
    let by_step = result.accuracy.by_step.iter().enumerate();
    let errors: Vec<(f64, f64)> = by_step
        .filter_map(|(step, one)| Some((step as f64, one.mae?)))
        .collect();
    let body = html! {
        h1 { (result.bag) }
        table.facts {
            @for (name, value) in result.facts() { tr { td { (name) } td { (value) } } }
        }
        @for warning in warnings(result) { p.warning { (warning) } }
        (accuracy(&result.accuracy))
        h2 { "Error by index in the chunk, and time of a chunk" }
        .side {
            (PreEscaped(plots::horizon(&errors)))
            (PreEscaped(plots::latencies(pictures.latencies_ms())))
        }
        h2 {
            span.predicted { "Predicted" } " and " span.recorded { "recorded" } " positions over seconds"
        }
        p { "Actions of each chunk up to the next observation." }
        .side {
            @for (joint, name) in result.settings.joints.iter().enumerate() {
                @let (predicted, recorded) = series(pictures, joint);
                (PreEscaped(plots::joint(name, &predicted, &recorded)))
            }
        }
        h2 { "Worst predictions, with the frames of their observations" }
        .side {
            @for worst in pictures.worst() { (frames(worst)) }
        }
    };
    document(&result.bag, &body)
}

/// Page of many bags: their metrics side by side, and links to the page of each, named by `link`.
pub fn index(report: &Report, link: impl Fn(&BagResult) -> String) -> String {
    let mut bags: Vec<&BagResult> = report.bags.iter().collect();
    let mse = |bag: &BagResult| bag.accuracy.mse.unwrap_or(0.0);
    bags.sort_by(|a, b| mse(b).total_cmp(&mse(a)));
    let body = html! {
        h1 { (report.bags.len()) " bags" }
        (accuracy(&report.combined))
        h2 { "By bag, the worst first" }
        table {
            tr {
                th { "bag" }
                th { "predictions" }
                @for metric in report.combined.metrics() { th { (metric.name.replace('_', " ")) } }
                th { "chunk, ms" }
                th { "warnings" }
            }
            @for bag in bags {
                tr {
                    td { a href=(link(bag)) { (bag.bag) } }
                    td { (bag.accuracy.predictions) }
                    @for metric in bag.accuracy.metrics() { td { (number(metric.value)) } }
                    td { (format!("{:.1}", bag.timing.chunk_ms.p50)) }
                    td { (warnings(bag).len()) }
                }
            }
        }
    };
    document("evaluation", &body)
}

fn accuracy(accuracy: &Accuracy) -> Markup {
    html! {
        h2 { "Accuracy" }
        p { (accuracy.predictions) " predictions, " (accuracy.compared_actions) " actions compared." }
        .side {
            table {
                @for metric in accuracy.metrics() {
                    tr { td { (metric.name) } td { (number(metric.value)) } }
                }
            }
            table {
                tr { th { "joint" } th { "mae" } th { "mse" } th { "direction" } }
                @for one in &accuracy.by_joint {
                    tr {
                        td { (one.joint) }
                        td { (number(one.errors.mae)) }
                        td { (number(one.errors.mse)) }
                        td { (number(one.direction_agreement)) }
                    }
                }
            }
        }
    }
}

fn warnings(result: &BagResult) -> Vec<String> {
    let recording = &result.recording;
    recording
        .notes
        .iter()
        .cloned()
        .chain(recording.problems())
        .collect()
}

type Line = Vec<(f64, f64)>;

/// Predicted line of a joint, and the recorded one in segments without gaps.
fn series(pictures: &Pictures, joint: usize) -> (Line, Vec<Line>) {
    let mut predicted = Line::new();
    let mut recorded = vec![Line::new()];
    for moment in pictures.moments() {
        predicted.push((moment.time_s, f64::from(moment.predicted[joint])));
        match (&moment.recorded, recorded.last_mut()) {
            (Some(positions), Some(segment)) => segment.push((moment.time_s, f64::from(positions[joint]))),
            (None, Some(segment)) if !segment.is_empty() => recorded.push(Line::new()),
            _ => {}
        }
    }
    (predicted, recorded)
}

fn frames(worst: &WorstPrediction) -> Markup {
    let (time_s, mse) = (worst.time_s, number(Some(worst.mse)));
    html! {
        @for (camera, frame) in &worst.frames {
            figure {
                (embedded(frame))
                figcaption { (camera) (format!(" at {time_s:.2} s, mean square error {mse}: {}", worst.prompt)) }
            }
        }
    }
}

fn embedded(frame: &RgbImage) -> Markup {
    let (width, height) = frame.dimensions();
    let smaller;
    let shown = if height > LARGEST_FRAME {
        let width = (width * LARGEST_FRAME / height).max(1);
        smaller = image::imageops::resize(frame, width, LARGEST_FRAME, FilterType::Triangle);
        &smaller
    } else {
        frame
    };
    let mut jpeg = Cursor::new(Vec::new());
    match shown.write_to(&mut jpeg, ImageFormat::Jpeg) {
        Ok(()) => {
            let source = format!("data:image/jpeg;base64,{}", STANDARD.encode(jpeg.into_inner()));
            html! { img src=(source); }
        }
        Err(error) => html! { p { "no picture: " (error) } },
    }
}

fn document(title: &str, body: &Markup) -> String {
    let document = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body { (body) }
        }
    };
    document.into_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_from_a_bag_cannot_become_markup() {
        let page = document("<a b=\"&\">", &html! {});
        assert!(
            page.contains("<title>&lt;a b=&quot;&amp;&quot;&gt;</title>"),
            "{page}"
        );
    }
}
