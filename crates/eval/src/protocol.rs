//! Protocols of papers: number of trials, and the value that is reported.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{Row, metric};

/// Protocol of a paper.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum EvalProtocol {
    /// Three sets of latents; the metrics of the set with the lowest Fréchet distance (Karras et al.
    /// 2022, arXiv:2206.00364, appendix F.1).
    Edm,
    /// Ten sets of latents; mean and standard deviation of every metric (Zhou et al. 2024,
    /// arXiv:2404.04057).
    Sid,
}

impl EvalProtocol {
    /// Number of times that images are sampled.
    pub fn trials(self) -> usize {
        match self {
            Self::Edm => 3,
            Self::Sid => 10,
        }
    }
}

/// Reported metrics of one or more trials.
#[derive(Debug, Serialize)]
pub struct Quoted {
    /// Protocol; absent for a single trial.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<EvalProtocol>,
    /// Number of trials.
    pub trials: usize,
    /// Metrics by name.
    #[serde(rename = "figures")]
    pub metrics: BTreeMap<&'static str, f64>,
    /// Standard deviations over the trials, with Bessel's correction.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub deviations: BTreeMap<&'static str, f64>,
}

impl Quoted {
    /// Metrics of these trials under a protocol.
    pub fn of(protocol: Option<EvalProtocol>, trials: &[Row]) -> Self {
        let all: Vec<BTreeMap<_, f64>> =
            trials.iter().map(|row| metric::by_name(&row.report)).collect();
        let mut quoted = Self {
            protocol,
            trials: trials.len(),
            metrics: BTreeMap::new(),
            deviations: BTreeMap::new(),
        };
        match protocol {
            Some(EvalProtocol::Sid) => {
                for &name in all.first().into_iter().flat_map(BTreeMap::keys) {
                    let values: Vec<f64> =
                        all.iter().filter_map(|it| it.get(name).copied()).collect();
                    let count = values.len() as f64;
                    let mean = values.iter().sum::<f64>() / count;
                    let squares: f64 = values.iter().map(|it| (it - mean).powi(2)).sum();
                    quoted.metrics.insert(name, mean);
                    quoted.deviations.insert(name, (squares / (count - 1.0)).sqrt());
                }
            }
            Some(EvalProtocol::Edm) | None => {
                let best = all.into_iter().min_by(|a, b| a["fd"].total_cmp(&b["fd"]));
                quoted.metrics = best.unwrap_or_default();
            }
        }
        quoted
    }

    /// The metrics as a Markdown list; empty for a single trial.
    pub fn text(&self) -> String {
        let trials = self.trials;
        let mut text = match self.protocol {
            None => return String::new(),
            Some(EvalProtocol::Edm) => {
                format!("\nProtocol of EDM: the trial of {trials} with the lowest distance.\n\n")
            }
            Some(EvalProtocol::Sid) => {
                format!("\nProtocol of SiD: mean and standard deviation of {trials} trials.\n\n")
            }
        };
        for (name, value) in &self.metrics {
            let deviation = self.deviations.get(name);
            let deviation = deviation.map_or(String::new(), |it| format!(" ± {it:.5}"));
            text += &format!("- {name}: {value:.5}{deviation}\n");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use metrics::{ExtractorId, MetricReport};

    use super::*;

    fn rows(fds: &[f64]) -> Vec<Row> {
        let [name, hash, resize] = ["net", "h", "none"].map(str::to_owned);
        let extractor = ExtractorId { name, hash, resize };
        let report = |fd: f64| MetricReport {
            recall: Some(fd / 10.0),
            ..MetricReport::new(extractor.clone(), 10, fd)
        };
        let row = |fd: &f64| Row {
            name: "student".into(),
            evaluations: Some(1),
            milliseconds: None,
            report: report(*fd),
        };
        fds.iter().map(row).collect()
    }

    #[test]
    fn edm_quotes_all_metrics_of_the_best_trial() {
        let quoted = Quoted::of(Some(EvalProtocol::Edm), &rows(&[3.0, 1.0, 2.0]));
        assert_eq!((quoted.metrics["fd"], quoted.metrics["recall"]), (1.0, 0.1));
        assert!(quoted.text().contains("the trial of 3 with the lowest"));
    }

    #[test]
    fn sid_quotes_mean_and_deviation() {
        let quoted = Quoted::of(Some(EvalProtocol::Sid), &rows(&[1.0, 2.0, 3.0, 6.0]));
        assert_eq!(quoted.metrics["fd"], 3.0);
        // Deviations -2, -1, 0, 3 with three degrees of freedom.
        assert!((quoted.deviations["fd"] - (14f64 / 3.0).sqrt()).abs() < 1e-12);
        assert!(quoted.text().contains("- fd: 3.00000 ± 2.16025"));
    }

    /// Programs read this object: its keys stay.
    #[test]
    fn json_keeps_its_keys() {
        let json = |protocol, fds: &[f64]| {
            serde_json::to_string(&Quoted::of(protocol, &rows(fds))).unwrap()
        };
        let single = r#"{"trials":1,"figures":{"fd":3.0,"recall":0.3}}"#;
        assert_eq!(json(None, &[3.0]), single);
        let sid = r#"{"protocol":"sid","trials":2,"figures":{"fd":3.0,"recall":0.3},"deviations":{"fd":0.0,"recall":0.0}}"#;
        assert_eq!(json(Some(EvalProtocol::Sid), &[3.0, 3.0]), sid);
        assert!(
            json(Some(EvalProtocol::Edm), &[3.0]).starts_with(r#"{"protocol":"edm","trials":1,"#)
        );
    }
}
