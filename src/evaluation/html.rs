//! The report as a page of one file: figures, plots, and the frames of the worst predictions.

use std::fmt::Write;
use std::io::Cursor;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use image::imageops::FilterType;
use image::{ImageFormat, RgbImage};

use super::pictures::Pictures;
use super::plots;
use super::result::{Accuracy, BagResult, Report};
use super::table::number;

const STYLE: &str = "body{font:15px/1.45 system-ui,sans-serif;color:#1f2328;max-width:1380px;margin:2em auto;padding:0 1em}\
h1{font-size:1.5em}h2{font-size:1.15em;margin-top:2em;border-bottom:1px solid #d0d7de}\
table{border-collapse:collapse}td,th{padding:.2em .9em .2em 0;text-align:right;font-variant-numeric:tabular-nums}\
td:first-child,th:first-child{text-align:left}td{white-space:nowrap}tr+tr{border-top:1px solid #eaeef2}\
.side{display:flex;flex-wrap:wrap;gap:1em;align-items:flex-start}.warning{background:#fff8c5;padding:.5em .8em;border-radius:6px;margin:.4em 0}\
figure{margin:0}figure img{height:190px;border-radius:4px}figcaption{font-size:.85em;color:#57606a;max-width:260px}\
.predicted{color:#1f6feb}.recorded{color:#3c3c3c}";
/// A frame is shown this high at most, in pixels.
const LARGEST_FRAME: u32 = 240;

/// A page about one bag.
pub fn page(result: &BagResult, pictures: &Pictures) -> String {
    let mut body = String::new();
    let (recording, settings, timing) = (&result.recording, &result.settings, &result.timing);
    let mut facts = vec![
        ("policy", settings.policy.clone()),
        (
            "recording",
            format!(
                "{:.1} s, {} messages, {} images",
                recording.duration_s, recording.messages, recording.images
            ),
        ),
        ("recorded actions", settings.actions_topic.clone()),
        (
            "observed",
            format!(
                "every {} actions of {:.1} Hz, seed {}",
                settings.actions_between, settings.action_rate_hz, settings.seed
            ),
        ),
        ("chunk", timing.chunk()),
    ];
    if let Some(live) = timing.live() {
        facts.push(("had it run live", live));
    }
    if let Some(speed) = timing.images_read_per_s {
        facts.push(("reading", result.bottleneck(speed)));
    }
    write(&mut body, &format!("<h1>{}</h1>", escaped(&result.bag)));
    write(&mut body, "<table>");
    for (name, value) in &facts {
        let (name, value) = (escaped(name), escaped(value));
        write(
            &mut body,
            &format!("<tr><td>{name}</td><td style=\"text-align:left\">{value}</td></tr>"),
        );
    }
    write(&mut body, "</table>");
    for warning in warnings(result) {
        write(
            &mut body,
            &format!("<p class=\"warning\">{}</p>", escaped(&warning)),
        );
    }
    accuracy(&mut body, &result.accuracy);
    write(
        &mut body,
        "<h2>Error by place in the chunk, and time of a chunk</h2><div class=\"side\">",
    );
    let by_step = result.accuracy.by_step.iter().enumerate();
    let errors: Vec<(f64, f64)> = by_step
        .filter_map(|(step, one)| Some((step as f64, one.mae?)))
        .collect();
    write(&mut body, &plots::horizon(&errors));
    write(&mut body, &plots::latencies(pictures.latencies_ms()));
    write(&mut body, "</div>");
    write(
        &mut body,
        "<h2><span class=\"predicted\">Predicted</span> against <span class=\"recorded\">recorded</span>, over seconds</h2>\
         <p>Of each chunk the actions up to the next observation.</p><div class=\"side\">",
    );
    for (joint, name) in settings.joints.iter().enumerate() {
        let (predicted, recorded) = series(pictures, joint);
        write(&mut body, &plots::joint(name, &predicted, &recorded));
    }
    write(
        &mut body,
        "</div><h2>The worst predictions, and what the policy saw</h2><div class=\"side\">",
    );
    for worst in pictures.worst() {
        for (camera, frame) in &worst.frames {
            let caption = format!(
                "{camera} at {:.2} s, mean square error {}: {}",
                worst.time_s,
                number(Some(worst.mse)),
                worst.prompt
            );
            let picture = embedded(frame);
            write(
                &mut body,
                &format!(
                    "<figure>{picture}<figcaption>{}</figcaption></figure>",
                    escaped(&caption)
                ),
            );
        }
    }
    write(&mut body, "</div>");
    document(&result.bag, &body)
}

/// A page about many bags: their figures side by side, and links to the page of each, named by `link`.
pub fn index(report: &Report, link: impl Fn(&BagResult) -> String) -> String {
    let mut body = format!("<h1>{} bags</h1>", report.bags.len());
    accuracy(&mut body, &report.combined);
    write(
        &mut body,
        "<h2>By bag, the worst first</h2><table><tr><th>bag</th><th>predictions</th>",
    );
    for (name, _) in report.combined.figures() {
        write(
            &mut body,
            &format!("<th>{}</th>", escaped(&name.replace('_', " "))),
        );
    }
    write(&mut body, "<th>chunk, ms</th><th>warnings</th></tr>");
    let mut bags: Vec<&BagResult> = report.bags.iter().collect();
    bags.sort_by(|a, b| {
        b.accuracy
            .mse
            .unwrap_or(0.0)
            .total_cmp(&a.accuracy.mse.unwrap_or(0.0))
    });
    for bag in bags {
        let (name, link) = (escaped(&bag.bag), escaped(&link(bag)));
        write(
            &mut body,
            &format!(
                "<tr><td><a href=\"{link}\">{name}</a></td><td>{}</td>",
                bag.accuracy.predictions
            ),
        );
        for (_, figure) in bag.accuracy.figures() {
            write(&mut body, &format!("<td>{}</td>", number(figure)));
        }
        let (chunk, warnings) = (bag.timing.chunk_ms.p50, warnings(bag).len());
        write(&mut body, &format!("<td>{chunk:.1}</td><td>{warnings}</td></tr>"));
    }
    write(&mut body, "</table>");
    document("evaluation", &body)
}

fn accuracy(body: &mut String, accuracy: &Accuracy) {
    let (predictions, compared) = (accuracy.predictions, accuracy.compared_actions);
    write(
        body,
        &format!(
            "<h2>Accuracy</h2><p>{predictions} predictions, {compared} actions compared.</p><div class=\"side\"><table>"
        ),
    );
    for (name, figure) in accuracy.figures() {
        write(
            body,
            &format!("<tr><td>{}</td><td>{}</td></tr>", escaped(name), number(figure)),
        );
    }
    write(
        body,
        "</table><table><tr><th>joint</th><th>mae</th><th>mse</th><th>direction</th></tr>",
    );
    for one in &accuracy.by_joint {
        write(
            body,
            &format!(
                "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
                escaped(&one.joint),
                number(one.mae),
                number(one.mse),
                number(one.direction_agreement)
            ),
        );
    }
    write(body, "</table></div>");
}

fn warnings(result: &BagResult) -> Vec<String> {
    let recording = &result.recording;
    let mut warnings = recording.notes.clone();
    warnings.extend(recording.problems());
    warnings
}

type Line = Vec<(f64, f64)>;

/// The predicted line of a joint, and the recorded one in parts without gaps.
fn series(pictures: &Pictures, joint: usize) -> (Line, Vec<Line>) {
    let mut predicted = Line::new();
    let mut recorded = vec![Line::new()];
    for moment in pictures.moments() {
        predicted.push((moment.time_s, f64::from(moment.predicted[joint])));
        match (&moment.recorded, recorded.last_mut()) {
            (Some(positions), Some(part)) => part.push((moment.time_s, f64::from(positions[joint]))),
            (None, Some(part)) if !part.is_empty() => recorded.push(Line::new()),
            _ => {}
        }
    }
    (predicted, recorded)
}

fn embedded(frame: &RgbImage) -> String {
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
        Ok(()) => format!(
            "<img src=\"data:image/jpeg;base64,{}\">",
            STANDARD.encode(jpeg.into_inner())
        ),
        Err(error) => format!("<p>no picture: {}</p>", escaped(&error.to_string())),
    }
}

fn document(title: &str, body: &str) -> String {
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>{}</title><style>{STYLE}</style></head>\
         <body>{body}</body></html>\n",
        escaped(title)
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

fn write(body: &mut String, text: &str) {
    // Writing to a text cannot fail.
    let _ = body.write_str(text);
    body.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_from_a_bag_cannot_become_markup() {
        assert_eq!(escaped("<a b=\"&\">"), "&lt;a b=&quot;&amp;&quot;&gt;");
    }
}
