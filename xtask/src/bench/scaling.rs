//! Scaling plots: one per axis, from the cases that are its points.

use std::path::Path;

use anyhow::Context;

use super::plot::{Line, Plot, svg};
use super::report::Entry;
use super::statistics::median;
use super::variant::Variant;

/// Axes and their labels. Other quantities stay at 32 channels, 32×32 pixels, 16 images and two
/// threads.
const AXES: [(&str, &str); 4] = [
    ("channels", "channels at full resolution"),
    ("resolution", "height and width of the images"),
    ("batch", "images in a batch"),
    ("threads", "threads"),
];

/// Returns the plots of the axes that have points, with their file names.
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
                title: "Forward pass and weight gradients, DDPM++".into(),
                across: across.into(),
                up: "milliseconds".into(),
                lines,
            };
            plots.push((format!("scaling-{axis}.svg"), plot));
        }
    }
    plots
}

/// Returns the medians of one variant in milliseconds, for the points at which it was measured.
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

/// Returns the points that other processes disturbed, because a plot does not mark them.
pub fn noisy(entries: &[Entry]) -> Vec<&str> {
    entries.iter().filter(|it| it.measured.noisy).map(|it| it.case.name.as_str()).collect()
}

/// Writes the plots into `folder`.
///
/// # Errors
///
/// If a file cannot be written; the message names it.
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
                kind: "weights".into(),
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
    fn plots_each_axis_with_points_in_ascending_order() {
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
