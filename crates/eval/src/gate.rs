//! Gates: bounds that metrics must hold.

use std::{collections::BTreeMap, fmt, str::FromStr};

use crate::metric::METRICS;

/// A bound on a metric, written as `fid<5` or `recall>0.4`.
#[derive(Clone, Debug, PartialEq)]
pub struct Gate {
    metric: String,
    below: bool,
    bound: f64,
}

/// A metric out of its bound.
#[derive(Clone, Debug, PartialEq)]
pub struct GateNotMet {
    /// The gate.
    pub gate: Gate,
    /// Value of the metric; `None` if it could not be computed.
    pub measured: Option<f64>,
}

impl FromStr for Gate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let at = text.find(['<', '>']).ok_or("expected a metric, < or >, and a number")?;
        let (metric, rest) = text.split_at(at);
        let number = rest[1..].trim();
        let bound: f64 = number
            .parse()
            .map_err(|_| format!("`{number}` is not a number; write a bound as in `fid<5`"))?;
        if bound.is_nan() {
            return Err("nothing is below or above NaN; give a number".to_owned());
        }
        let metric = metric.trim().to_owned();
        if !METRICS.iter().any(|it| it.name == metric) {
            let names = METRICS.map(|it| it.name).join(", ");
            return Err(format!("no metric is called `{metric}`; choose one of {names}"));
        }
        Ok(Self { metric, below: rest.starts_with('<'), bound })
    }
}

impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}{}", self.metric, if self.below { '<' } else { '>' }, self.bound)
    }
}

impl Gate {
    /// Checks these metrics, by name.
    ///
    /// # Errors
    ///
    /// If the bound does not hold, or the metric is absent.
    pub fn check(&self, metrics: &BTreeMap<&'static str, f64>) -> Result<(), GateNotMet> {
        let measured = metrics.get(self.metric.as_str()).copied();
        let holds = |found| if self.below { found < self.bound } else { self.bound < found };
        if measured.is_some_and(holds) {
            return Ok(());
        }
        Err(GateNotMet { gate: self.clone(), measured })
    }
}

impl fmt::Display for GateNotMet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.measured {
            Some(found) => write!(f, "required {}, measured {found}", self.gate),
            None => write!(
                f,
                "required {}, which has no value here; require a metric that the output lists",
                self.gate
            ),
        }
    }
}

impl std::error::Error for GateNotMet {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gates_are_read_and_printed() {
        for (text, expected) in [("fid<5", Some("fid<5")), (" recall > 0.4", Some("recall>0.4"))] {
            assert_eq!(text.parse::<Gate>().ok().map(|it| it.to_string()).as_deref(), expected);
        }
        for text in ["fd", "fidd<5", "fd<x", "<5", "fd<nan"] {
            assert!(text.parse::<Gate>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_gate_holds_or_reports_the_measured_value() {
        let metrics = BTreeMap::from([("fd", 4.0)]);
        let check = |text: &str| {
            let gate: Gate = text.parse().unwrap();
            gate.check(&metrics).map_err(|err| err.to_string())
        };
        assert_eq!(check("fd<5"), Ok(()));
        assert_eq!(check("fd>5"), Err("required fd>5, measured 4".to_owned()));
        let absent =
            "required fid<5, which has no value here; require a metric that the output lists";
        assert_eq!(check("fid<5"), Err(absent.to_owned()));
    }
}
