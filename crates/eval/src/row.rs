//! Rows of a comparison, and their table.

use metrics::MetricReport;
use serde::{Deserialize, Serialize};

use crate::metric;

/// One row of a comparison: a sampler, or a set of images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Name of the sampler.
    pub name: String,
    /// Network evaluations per image; absent for existing images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evaluations: Option<usize>,
    /// Milliseconds per image, for sampling only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub milliseconds: Option<f64>,
    /// Its metrics.
    pub report: MetricReport,
}

/// Rows as a Markdown table.
pub fn table(rows: &[Row]) -> String {
    let distance = match rows.first() {
        Some(Row { report, .. }) if metric::is_fid(report) => "FID",
        _ => "FD",
    };
    let mut text = format!(
        "| model | evaluations | {distance} | KID | precision | recall | accuracy | ms per image |\n\
         |---|---|---|---|---|---|---|---|\n",
    );
    let absent = || "-".to_owned();
    for Row { name, evaluations, milliseconds, report } in rows {
        let number = |value: Option<f64>, digits: usize| {
            value.map_or_else(absent, |it| format!("{it:.digits$}"))
        };
        let evaluations = evaluations.map_or_else(absent, |it| it.to_string());
        let accuracy = report.accuracy.map_or_else(absent, |it| format!("{:.1} %", 100.0 * it));
        text += &format!(
            "| {name} | {evaluations} | {:.3} | {} | {} | {} | {accuracy} | {} |\n",
            report.fd,
            number(report.kid, 5),
            number(report.precision, 3),
            number(report.recall, 3),
            number(*milliseconds, 2),
        );
    }
    if let Some(Row { report, .. }) = rows.first() {
        let references = report.references.map_or("an unknown number".into(), |it| it.to_string());
        text += &format!(
            "\n{} images each, against {references} reference images; features of {}. Metrics of \
             different feature networks or numbers of images are not comparable.\n",
            report.images, report.extractor.name,
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use metrics::{ExtractorId, Inception};

    use super::*;

    #[test]
    fn a_table_row_holds_the_metrics() {
        let report = |name: &str| {
            let [hash, resize] = ["h", "none"].map(str::to_owned);
            let extractor = ExtractorId { name: name.to_owned(), hash, resize };
            MetricReport {
                references: Some(20),
                kid: Some(0.5),
                precision: Some(0.75),
                recall: Some(0.25),
                accuracy: Some(0.9),
                ..MetricReport::new(extractor, 10, 1.25)
            }
        };
        let row = |network| {
            let report = report(network);
            Row { name: "student".into(), evaluations: Some(1), milliseconds: Some(2.0), report }
        };
        let text = table(&[row("net")]);
        let expected = "| student | 1 | 1.250 | 0.50000 | 0.750 | 0.250 | 90.0 % | 2.00 |";
        assert!(text.lines().any(|line| line == expected), "{text}");
        assert!(text.contains("10 images each, against 20 reference images; features of net."));
        assert!(text.starts_with("| model | evaluations | FD |"));
        assert!(table(&[row(Inception::NAME)]).starts_with("| model | evaluations | FID |"));
    }
}
