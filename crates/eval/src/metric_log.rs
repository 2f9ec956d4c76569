//! `metric-NAME.jsonl`: one line per measurement, in the format of EDM and StyleGAN.

use std::{
    io::Write,
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use candle_core::Device;
use metrics::MetricReport;

use crate::{Error, Result, metric};

/// Name of the metric: `fid50k_full` for Inception's distance of 50,000 images from the whole
/// reference. Other numbers of images give other names, and other networks `fd`.
pub fn name(report: &MetricReport) -> String {
    let distance = if metric::is_fid(report) { "fid" } else { "fd" };
    let images = report.images;
    match images % 1000 {
        0 => format!("{distance}{}k_full", images / 1000),
        _ => format!("{distance}{images}_full"),
    }
}

/// Appends a line to the folder's file of this metric. `value` is the reported distance, `snapshot`
/// the evaluated file.
///
/// # Errors
///
/// If the file cannot be written.
pub fn append(
    folder: &Path,
    report: &MetricReport,
    value: f64,
    seconds: f64,
    snapshot: &str,
    device: &Device,
) -> Result<()> {
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
        // One write, so that lines of programs that share the file do not mix.
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(&path)?;
        file.write_all(format!("{line}\n").as_bytes())
    };
    write().map_err(|source| Error::Io { path: path.clone(), source })
}

#[cfg(test)]
mod tests {
    use metrics::{ExtractorId, Inception};

    use super::*;

    #[test]
    fn names_are_those_of_the_field() {
        let table = [
            (Inception::NAME, 50_000, "fid50k_full"),
            ("net", 2_000, "fd2k_full"),
            ("net", 40, "fd40_full"),
        ];
        for (extractor, images, expected) in table {
            let [hash, resize] = ["h", "none"].map(str::to_owned);
            let extractor = ExtractorId { name: extractor.to_owned(), hash, resize };
            assert_eq!(name(&MetricReport::new(extractor, images, 1.0)), expected);
        }
    }
}
