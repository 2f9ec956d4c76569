//! How the cost grows: one plot an axis, from the cases that are points of it.

use std::path::Path;

use anyhow::Context;

use super::plot::{Line, Plot, svg};
use super::report::Entry;
use super::statistics::median;
use super::variant::Variant;

/// What the plots vary; other quantities stay at 32 channels, 32×32 and 16 images, two threads.
const AXES: [(&str, &str); 4] = [
    ("channels", "channels at full resolution"),
    ("resolution", "height and width of the images"),
    ("batch", "images in a batch"),
    ("threads", "threads"),
];

/// A plot an axis that has points, with the name of its file.
pub fn plots(entries: &[Entry]) -> Vec<(String, Plot)> {
    let mut plots = Vec::new();
    for (axis, across) in AXES {
        let points: Vec<&Entry> = entries
            .iter()
            .filter(|it| it.case.scaling.as_ref().is_some_and(|it| it.0 == axis))
            .collect();
        let lines: Vec<Line> =
            Variant::ALL.into_iter().filter_map(|it| line(&points, it)).collect();
        if !lines.is_empty() {
            let plot = Plot {
                title: "Forward and backward by weights, DDPM++".into(),
                across: across.into(),
                up: "milliseconds".into(),
                lines,
            };
            plots.push((format!("scaling-{axis}.svg"), plot));
        }
    }
    plots
}

/// Medians of one variant in milliseconds, where it was measured.
fn line(points: &[&Entry], variant: Variant) -> Option<Line> {
    let mut line = Line { name: variant.name().into(), points: Vec::new() };
    for entry in points {
        let at = entry.case.scaling.as_ref().map_or(0, |it| it.1);
        if let Some(series) = entry.series(variant) {
            line.points.push((at as f64, median(&series.wall) * 1e3));
        }
    }
    line.points.sort_by(|a, b| a.0.total_cmp(&b.0));
    (!line.points.is_empty()).then_some(line)
}

/// The points that were measured beside busy others: a plot does not show which they are.
pub fn noisy(entries: &[Entry]) -> Vec<&str> {
    entries.iter().filter(|it| it.measured.noisy).map(|it| it.case.name.as_str()).collect()
}

/// Writes the plots into `folder`.
///
/// # Errors
///
/// Naming the file that cannot be written.
pub fn write(entries: &[Entry], folder: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("{}", folder.display()))?;
    for (name, plot) in plots(entries) {
        let path = folder.join(name);
        std::fs::write(&path, svg(&plot)).with_context(|| format!("{}", path.display()))?;
        println!("bench: wrote {}", path.display());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::rounds::{Measured, Series};
    use super::super::subject::Case;
    use super::*;

    fn point(axis: &str, at: usize, seconds: f64, noisy: bool) -> Entry {
        let series = |wall| Series { wall: vec![wall; 3], ..Series::default() };
        Entry {
            case: Case {
                name: format!("{axis}-{at}"),
                act: "weights".into(),
                flop: 1e9,
                quick: false,
                time: None,
                memory: None,
                scaling: Some((axis.into(), at)),
            },
            variants: vec![Variant::Kernels, Variant::Eager],
            measured: Measured {
                series: vec![series(seconds), series(2.0 * seconds)],
                disturbed: 0,
                noisy,
            },
        }
    }

    #[test]
    fn each_axis_with_points_is_a_plot_in_ascending_order() {
        let entries = [
            point("batch", 4, 0.2, false),
            point("batch", 1, 0.1, true),
            point("x", 1, 1.0, false),
        ];
        let [(name, plot)] = plots(&entries).try_into().unwrap();
        assert_eq!(name, "scaling-batch.svg");
        assert_eq!(plot.lines[0].points, [(1.0, 100.0), (4.0, 200.0)]);
        assert_eq!(plot.lines[1].points, [(1.0, 200.0), (4.0, 400.0)]);
        assert_eq!(noisy(&entries), ["batch-1"]);
    }
}
