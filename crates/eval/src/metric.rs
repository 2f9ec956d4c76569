//! Metrics by name: for gates, tables and logs.

use std::collections::BTreeMap;

use metrics::{Inception, MetricReport};

/// A metric of a [`MetricReport`].
pub(crate) struct Metric {
    pub name: &'static str,
    /// Name under which the report keeps the interval.
    interval: &'static str,
    value: fn(&MetricReport) -> Option<f64>,
}

/// All metrics, in the order of a table. `fid` and `sfid` are `fd` and `spatial_fd` of Inception, and
/// absent for any other feature network.
#[rustfmt::skip]
pub(crate) const METRICS: [Metric; 14] = [
    Metric { name: "fd", interval: "fd", value: |it| Some(it.fd) },
    Metric { name: "fid", interval: "fd", value: |it| is_fid(it).then_some(it.fd) },
    Metric { name: "spatial_fd", interval: "spatial_fd", value: |it| it.spatial_fd },
    Metric { name: "sfid", interval: "spatial_fd", value: |it| it.spatial_fd.filter(|_| is_fid(it)) },
    Metric { name: "kid", interval: "kid", value: |it| it.kid },
    Metric { name: "kid_subsets", interval: "", value: |it| it.kid_subsets.map(|it| it.mean) },
    Metric { name: "precision", interval: "precision", value: |it| it.precision },
    Metric { name: "recall", interval: "recall", value: |it| it.recall },
    Metric { name: "density", interval: "density", value: |it| it.density },
    Metric { name: "coverage", interval: "coverage", value: |it| it.coverage },
    Metric { name: "accuracy", interval: "accuracy", value: |it| it.accuracy },
    Metric { name: "class_kl", interval: "", value: |it| it.class_kl },
    Metric { name: "inception_score", interval: "inception_score", value: |it| it.inception_score },
    Metric { name: "memorization", interval: "memorization",
             value: |it| it.memorization.as_ref().map(|it| it.share) },
];

/// True if the Fréchet distance of this report is the field's FID: on Inception's features.
pub fn is_fid(report: &MetricReport) -> bool {
    report.extractor.name == Inception::NAME
}

/// Metrics of a report, by name.
pub fn by_name(report: &MetricReport) -> BTreeMap<&'static str, f64> {
    METRICS.iter().filter_map(|it| Some((it.name, (it.value)(report)?))).collect()
}

/// All metrics of a report with their intervals, as a Markdown table.
pub fn list(report: &MetricReport) -> String {
    let intervals = report.intervals.as_ref();
    let mut columns = vec!["metric".to_owned(), "value".to_owned()];
    columns.extend(intervals.map(|it| format!("{:.0} % interval", 100.0 * it.level)));
    let mut text = format!("| {} |\n|{}\n", columns.join(" | "), "---|".repeat(columns.len()));
    // Under the field's name where there is one.
    let renamed = |name: &str| is_fid(report) && ["fd", "spatial_fd"].contains(&name);
    for Metric { name, interval, value } in METRICS.iter().filter(|it| !renamed(it.name)) {
        let Some(value) = value(report) else { continue };
        text += &format!("| {name} | {value:.5} |");
        if let Some(intervals) = intervals {
            let range = intervals.of.get(*interval);
            let range = range.map(|it| format!("{:.5} to {:.5}", it.low, it.high));
            text += &format!(" {} |", range.unwrap_or_else(|| "-".into()));
        }
        text.push('\n');
    }
    if let Some(kid) = &report.kid_subsets {
        text += &format!(
            "\nkid_subsets: mean of {} subsets of {} images; their standard deviation is {:.5}.\n",
            kid.subsets, kid.size, kid.std
        );
    }
    if let Some(found) = &report.memorization {
        text += &format!(
            "\nmemorization: share of the images that are nearer to one of {0} training images than \
             to any of {0} held-out images. A generator that copies nothing has 0.5. Median ratio of \
             the two distances: {1:.4}.\n",
            found.images, found.ratio
        );
    }
    if let Some(intervals) = intervals {
        text += &format!(
            "\nIntervals: {} resamples of the generated images; the references are fixed.\n",
            intervals.replicates
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use metrics::{ExtractorId, Interval, Intervals};

    use super::*;

    /// Programs read this table: its columns stay.
    #[test]
    fn the_list_keeps_its_columns() {
        let [name, hash, resize] = [Inception::NAME, "h", "none"].map(str::to_owned);
        let report = MetricReport::new(ExtractorId { name, hash, resize }, 10, 1.5);
        assert_eq!(list(&report), "| metric | value |\n|---|---|\n| fid | 1.50000 |\n");
        let of = [("fd".to_owned(), Interval { low: 1.0, high: 2.0, standard_error: 0.3 })].into();
        let intervals = Some(Intervals { level: 0.95, replicates: 7, of });
        let text = list(&MetricReport { intervals, ..report });
        let expected = "| metric | value | 95 % interval |\n|---|---|---|\n\
                        | fid | 1.50000 | 1.00000 to 2.00000 |\n\nIntervals: 7 resamples";
        assert!(text.starts_with(expected), "{text}");
    }
}
