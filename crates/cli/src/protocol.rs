//! How often a figure is taken before it is quoted, as the papers of the field do it.

use std::collections::BTreeMap;

use serde::Serialize;
use train::evaluate::Row;

use crate::figures;

/// Whose custom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// Three ranges of latents; the figures of the one with the lowest Fréchet distance (Karras et
    /// al. 2022, arXiv:2206.00364, appendix F.1).
    Edm,
    /// Ten ranges of latents; mean and standard deviation of every figure (Zhou et al. 2024,
    /// arXiv:2404.04057).
    Sid,
}

impl Protocol {
    /// How many times images are made.
    pub fn trials(self) -> usize {
        match self {
            Self::Edm => 3,
            Self::Sid => 10,
        }
    }
}

/// What is quoted.
#[derive(Debug, Serialize)]
pub struct Quoted {
    /// By which custom; absent for a single trial.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<Protocol>,
    /// How many times images were made.
    pub trials: usize,
    /// The figures by name.
    pub figures: BTreeMap<&'static str, f64>,
    /// Their standard deviations over the trials (divided by one less than their number).
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub deviations: BTreeMap<&'static str, f64>,
}

impl Quoted {
    /// What these trials give.
    pub fn of(protocol: Option<Protocol>, rows: &[Row]) -> Self {
        let all: Vec<BTreeMap<_, f64>> = rows.iter().map(|row| figures::of(&row.report)).collect();
        let trials = rows.len();
        match protocol {
            Some(Protocol::Sid) => {
                let mut quoted = Self {
                    protocol,
                    trials,
                    figures: BTreeMap::new(),
                    deviations: BTreeMap::new(),
                };
                for &name in all.first().into_iter().flat_map(BTreeMap::keys) {
                    let values: Vec<f64> =
                        all.iter().filter_map(|it| it.get(name).copied()).collect();
                    let count = values.len() as f64;
                    let mean = values.iter().sum::<f64>() / count;
                    let squares: f64 = values.iter().map(|it| (it - mean).powi(2)).sum();
                    quoted.figures.insert(name, mean);
                    quoted.deviations.insert(name, (squares / (count - 1.0)).sqrt());
                }
                quoted
            }
            Some(Protocol::Edm) | None => {
                let best = all.into_iter().min_by(|a, b| a["fd"].total_cmp(&b["fd"]));
                let figures = best.unwrap_or_default();
                Self { protocol, trials, figures, deviations: BTreeMap::new() }
            }
        }
    }

    /// In words and figures, where there is more than one trial.
    pub fn text(&self) -> String {
        let Some(protocol) = self.protocol else { return String::new() };
        let mut text = match protocol {
            Protocol::Edm => {
                format!(
                    "\nQuoted as in EDM: the trial of {} with the lowest distance.\n\n",
                    self.trials
                )
            }
            Protocol::Sid => {
                format!(
                    "\nQuoted as in SiD: mean and standard deviation of {} trials.\n\n",
                    self.trials
                )
            }
        };
        for (name, value) in &self.figures {
            let deviation = self.deviations.get(name);
            let deviation = deviation.map_or(String::new(), |it| format!(" ± {it:.5}"));
            text += &format!("- {name}: {value:.5}{deviation}\n");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use metrics::{ExtractorId, Report};

    use super::*;

    fn rows(fds: &[f64]) -> Vec<Row> {
        let [name, hash, resize] = ["net", "h", "none"].map(str::to_owned);
        let extractor = ExtractorId { name, hash, resize };
        let report =
            |fd: f64| Report { recall: Some(fd / 10.0), ..Report::new(extractor.clone(), 10, fd) };
        let row = |fd: &f64| Row {
            name: "student".into(),
            evaluations: Some(1),
            milliseconds: None,
            report: report(*fd),
        };
        fds.iter().map(row).collect()
    }

    #[test]
    fn edm_quotes_the_best_trial_whole() {
        let quoted = Quoted::of(Some(Protocol::Edm), &rows(&[3.0, 1.0, 2.0]));
        assert_eq!((quoted.figures["fd"], quoted.figures["recall"]), (1.0, 0.1));
        assert!(quoted.text().contains("the trial of 3 with the lowest"));
    }

    #[test]
    fn sid_quotes_mean_and_deviation() {
        let quoted = Quoted::of(Some(Protocol::Sid), &rows(&[1.0, 2.0, 3.0, 6.0]));
        assert_eq!(quoted.figures["fd"], 3.0);
        // Deviations -2, -1, 0, 3 of three degrees of freedom.
        assert!((quoted.deviations["fd"] - (14f64 / 3.0).sqrt()).abs() < 1e-12);
        assert!(quoted.text().contains("- fd: 3.00000 ± 2.16025"));
    }
}
