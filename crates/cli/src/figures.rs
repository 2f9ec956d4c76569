//! Figures by name: what a gate asks for, what a table lists, what a log keeps.

use std::{collections::BTreeMap, fmt, str::FromStr};

use metrics::{Inception, Report};

use crate::exit::GateNotMet;

/// A figure: its name, the name under which a report keeps its interval, and where it stands.
struct Figure {
    name: &'static str,
    key: &'static str,
    value: fn(&Report) -> Option<f64>,
}

/// All figures, in the order of a table. `fid` and `sfid` are `fd` and `spatial_fd` of the one network
/// that makes them comparable with the field's, and absent for any other.
#[rustfmt::skip]
const FIGURES: [Figure; 13] = [
    Figure { name: "fd", key: "fd", value: |it| Some(it.fd) },
    Figure { name: "fid", key: "fd", value: |it| is_fid(it).then_some(it.fd) },
    Figure { name: "spatial_fd", key: "spatial_fd", value: |it| it.spatial_fd },
    Figure { name: "sfid", key: "spatial_fd", value: |it| it.spatial_fd.filter(|_| is_fid(it)) },
    Figure { name: "kid", key: "kid", value: |it| it.kid },
    Figure { name: "kid_subsets", key: "", value: |it| it.kid_subsets.map(|it| it.mean) },
    Figure { name: "precision", key: "precision", value: |it| it.precision },
    Figure { name: "recall", key: "recall", value: |it| it.recall },
    Figure { name: "density", key: "density", value: |it| it.density },
    Figure { name: "coverage", key: "coverage", value: |it| it.coverage },
    Figure { name: "accuracy", key: "accuracy", value: |it| it.accuracy },
    Figure { name: "inception_score", key: "inception_score", value: |it| it.inception_score },
    Figure { name: "memorization", key: "memorization",
             value: |it| it.memorization.as_ref().map(|it| it.share) },
];

/// Whether the Fréchet distance of these figures is the field's FID.
pub fn is_fid(report: &Report) -> bool {
    report.extractor.name == Inception::NAME
}

/// The figures that a report has, by name.
pub fn of(report: &Report) -> BTreeMap<&'static str, f64> {
    FIGURES.iter().filter_map(|it| Some((it.name, (it.value)(report)?))).collect()
}

/// The figures of a report one below the other, with their intervals, as a Markdown table.
pub fn list(report: &Report) -> String {
    let intervals = report.intervals.as_ref();
    let level = intervals.map_or(0.0, |it| 100.0 * it.level);
    let mut text = match intervals {
        Some(_) => format!("| figure | value | {level:.0} % interval |\n|---|---|---|\n"),
        None => "| figure | value |\n|---|---|\n".to_owned(),
    };
    // Under the field's name where there is one.
    let renamed = |name: &str| is_fid(report) && ["fd", "spatial_fd"].contains(&name);
    for Figure { name, key, value } in FIGURES.iter().filter(|it| !renamed(it.name)) {
        let Some(value) = value(report) else { continue };
        text += &format!("| {name} | {value:.5} |");
        if let Some(intervals) = intervals {
            let interval = intervals.of.get(*key);
            let range = interval.map(|it| format!("{:.5} to {:.5}", it.low, it.high));
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
            "\nmemorization: share of the images that are nearer to one of {0} training images than to \
             any of {0} held-out ones; 0.5 is what a generator does that copies nothing. Median ratio \
             of the two distances: {1:.4}.\n",
            found.images, found.ratio
        );
    }
    if let Some(intervals) = intervals {
        text += &format!(
            "\nIntervals: {} resamples of the generated images; the references stay.\n",
            intervals.replicates
        );
    }
    text
}

/// A bound on a figure.
#[derive(Clone, Debug)]
pub struct Gate {
    figure: String,
    below: bool,
    bound: f64,
}

impl FromStr for Gate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let at = text.find(['<', '>']).ok_or("expected a figure, < or >, and a number")?;
        let (figure, rest) = text.split_at(at);
        let bound: f64 =
            rest[1..].trim().parse().map_err(|_| format!("`{}`: no number", &rest[1..]))?;
        if bound.is_nan() {
            return Err("no figure is below or above NaN".to_owned());
        }
        let figure = figure.trim().to_owned();
        if FIGURES.iter().any(|it| it.name == figure) {
            Ok(Self { figure, below: rest.starts_with('<'), bound })
        } else {
            let names = FIGURES.map(|it| it.name).join(", ");
            Err(format!("no figure `{figure}`; there are {names}"))
        }
    }
}

impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}{}", self.figure, if self.below { '<' } else { '>' }, self.bound)
    }
}

impl Gate {
    /// Checks that the bound holds.
    ///
    /// # Errors
    ///
    /// If it does not, or there is no such figure among these.
    pub fn check(&self, figures: &BTreeMap<&'static str, f64>) -> anyhow::Result<()> {
        let holds = |found| if self.below { found < self.bound } else { self.bound < found };
        match figures.get(self.figure.as_str()) {
            Some(&found) if holds(found) => Ok(()),
            Some(found) => Err(GateNotMet(format!("required {self}, measured {found}")).into()),
            None => Err(GateNotMet(format!("required {self}, which has no value here")).into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Gate;

    #[test]
    fn gates_read_and_print() {
        for (text, expected) in [("fid<5", Some("fid<5")), (" recall > 0.4", Some("recall>0.4"))] {
            assert_eq!(text.parse::<Gate>().ok().map(|it| it.to_string()).as_deref(), expected);
        }
        for text in ["fd", "fidd<5", "fd<x", "<5", "fd<nan"] {
            assert!(text.parse::<Gate>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_gate_holds_or_says_what_was_measured() {
        let figures = std::collections::BTreeMap::from([("fd", 4.0)]);
        let check = |text: &str| {
            let gate: Gate = text.parse().unwrap();
            gate.check(&figures).map_err(|err| err.to_string())
        };
        assert_eq!(check("fd<5"), Ok(()));
        assert_eq!(check("fd>5"), Err("required fd>5, measured 4".to_owned()));
        assert_eq!(check("fid<5"), Err("required fid<5, which has no value here".to_owned()));
    }
}
