//! A chart of a list: each row's first metric, with every seed and the standard error of the mean.

use std::fmt::Write;

use super::list::List;
use super::run::Line;
use super::table::{Estimate, values};

const WIDTH: f64 = 640.0;
/// Width of the names.
const NAMES: f64 = 220.0;
const ROW: f64 = 22.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 28.0;
const COLOR: &str = "#0072b2";

/// Renders the chart as an SVG file.
pub fn svg(list: &List, lines: &[Line]) -> String {
    let metric = &list.metrics[0];
    let rows: Vec<(&str, Vec<f64>)> = list
        .rows
        .iter()
        .map(|row| {
            let found = values(list, row, lines, metric).into_iter().map(|it| it.1);
            (row.name.as_str(), found.collect())
        })
        .collect();
    let largest = rows.iter().flat_map(|it| &it.1).copied().fold(0.0, f64::max);
    let largest = if 0.0 < largest { largest } else { 1.0 };
    let x = |value: f64| NAMES + (WIDTH - NAMES - 20.0) * value.max(0.0) / largest;
    let height = TOP + ROW * rows.len() as f64 + BOTTOM;
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#ffffff\"/>\n\
         <text x=\"{}\" y=\"20\" text-anchor=\"middle\">{metric}: mean, standard error and seeds</text>\n",
        WIDTH / 2.0
    );
    for (index, (name, found)) in rows.iter().enumerate() {
        let y = TOP + ROW * (index as f64 + 0.5);
        let name = name.replace('&', "&amp;").replace('<', "&lt;");
        let _ = writeln!(
            text,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{name}</text>",
            NAMES - 8.0,
            y + 4.0
        );
        for value in found {
            let _ = writeln!(
                text,
                "<circle cx=\"{:.1}\" cy=\"{y}\" r=\"2.5\" fill=\"{COLOR}\" fill-opacity=\"0.35\"/>",
                x(*value)
            );
        }
        let Some(Estimate { mean, error, .. }) = Estimate::of(found) else { continue };
        if error.is_finite() {
            let _ = writeln!(
                text,
                "<line x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{y}\" y2=\"{y}\" stroke=\"{COLOR}\" \
                 stroke-width=\"2\"/>",
                x(mean - error),
                x(mean + error)
            );
        }
        let _ =
            writeln!(text, "<circle cx=\"{:.1}\" cy=\"{y}\" r=\"4\" fill=\"{COLOR}\"/>", x(mean));
    }
    for (value, anchor) in [(0.0, "start"), (largest, "end")] {
        let _ = writeln!(
            text,
            "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"{anchor}\">{value:.3}</text>",
            x(value),
            height - 8.0
        );
    }
    text + "</svg>\n"
}

#[cfg(test)]
mod tests {
    use super::super::list::tests::list;
    use super::*;

    #[test]
    fn a_chart_shows_every_seed_and_the_mean() {
        let list = list();
        let key = list.key(&list.rows[0]);
        let line = |seed: u64, fd: f64| {
            let text = format!(r#"{{"key":"{key}","seed":{seed},"metrics":{{"fd":{fd}}}}}"#);
            Line::parse(&text).unwrap()
        };
        let text = svg(&list, &[line(1, 0.2), line(2, 0.4)]);
        assert_eq!(text.matches("<circle").count(), 3);
        assert_eq!(text.matches("<line").count(), 1);
        assert!(text.contains(">0.400<") && text.contains(">b<"), "{text}");
        // Without runs there is a chart without points.
        assert!(!svg(&list, &[]).contains("<circle"));
    }
}
