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
