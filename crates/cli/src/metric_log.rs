//! `metric-NAME.jsonl`: a line a measurement, in the form in which EDM and StyleGAN log theirs.

use std::{
    io::Write,
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::Context;
use candle_core::Device;
use metrics::Report;

use crate::figures;

/// What the metric is called: `fid50k_full` for Inception's distance of 50,000 images from a whole
/// reference, and likewise for other numbers and, as `fd`, other networks.
pub fn name(report: &Report) -> String {
    let distance = if figures::is_fid(report) { "fid" } else { "fd" };
    let images = report.images;
    match images % 1000 {
        0 => format!("{distance}{}k_full", images / 1000),
        _ => format!("{distance}{images}_full"),
    }
}

/// Appends a line to the folder's file of this metric. `value` is what is quoted, `snapshot` the file
/// that was measured.
///
/// # Errors
///
/// If the file cannot be written.
pub fn append(
    folder: &Path,
    report: &Report,
    value: f64,
    seconds: f64,
    snapshot: &str,
    device: &Device,
) -> anyhow::Result<()> {
    let name = name(report);
    let path = folder.join(format!("metric-{name}.jsonl"));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let line = serde_json::json!({
        "results": { name.as_str(): value },
        "metric": name,
        "total_time": seconds,
        "num_gpus": usize::from(!device.is_cpu()),
        "snapshot_pkl": snapshot,
        "timestamp": now.as_secs_f64(),
    });
    let write = || -> std::io::Result<()> {
        std::fs::create_dir_all(folder)?;
        // One write: lines of programs that share the file do not mix.
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(&path)?;
        file.write_all(format!("{line}\n").as_bytes())
    };
    write().with_context(|| format!("{}: cannot write", path.display()))
}
