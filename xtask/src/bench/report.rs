//! Tables of a run: medians, spreads, ratios, memory and rates.

use super::rounds::{Measured, Series};
use super::statistics::{deviation, median, ratio};
use super::subject::{Case, Target};
use super::variant::{PRODUCT, Variant};

/// A measured case.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The case.
    pub case: Case,
    /// Variants, in the order of the series.
    pub variants: Vec<Variant>,
    /// Times and memory of the variants.
    pub measured: Measured,
}

/// Our time or memory relative to the peer's, and its target.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// Name of the case.
    pub case: String,
    /// `time` or `memory`.
    pub quantity: &'static str,
    /// Ratio to PyTorch eager.
    pub of_eager: f64,
    /// Ratio to the better of eager and eager with tcmalloc.
    pub of_best: f64,
    /// Target, if the case has one.
    pub target: Option<Target>,
}

impl Verdict {
    /// Tests whether the ratio is within its limit. Passes without a target; NaN does not pass.
    pub fn passes(&self) -> bool {
        self.target.is_none_or(|target| self.of_eager <= target.floor)
    }

    fn label(&self) -> &'static str {
        match self.target {
            None => "",
            Some(target) if self.of_best <= target.goal => "goal",
            Some(_) if self.passes() => "floor",
            Some(_) => "**over**",
        }
    }
}

impl Entry {
    /// Returns the measurements of a variant, if there are any.
    pub fn series(&self, variant: Variant) -> Option<&Series> {
        let at = self.variants.iter().position(|it| *it == variant)?;
        self.measured.series.get(at)
    }

    /// Compares our variant with the peer, if both were measured.
    pub fn verdicts(&self) -> Vec<Verdict> {
        let (Some(ours), Some(eager)) =
            (self.series(Variant::Kernels), self.series(Variant::Eager))
        else {
            return Vec::new();
        };
        let tcmalloc = self.series(Variant::Tcmalloc);
        let verdict = |quantity, of: &dyn Fn(&Series) -> f64, target| {
            let of_eager = of(eager);
            // A larger ratio means a better peer.
            let of_best = tcmalloc.map_or(of_eager, |it| of(it).max(of_eager));
            Verdict { case: self.case.name.clone(), quantity, of_eager, of_best, target }
        };
        let mut verdicts = vec![verdict("time", &|it| ratio(&ours.wall, &it.wall), self.case.time)];
        if self.case.memory.is_some() {
            let peak = |it: &Series| ours.peak.zip(it.peak).map_or(f64::NAN, |(a, b)| a / b);
            verdicts.push(verdict("memory", &peak, self.case.memory));
        }
        verdicts
    }
}

/// Returns the best rate of the matrix product over its variants, in operations per second.
pub fn peak_rate(entries: &[Entry]) -> Option<f64> {
    let product = entries.iter().find(|it| it.case.kind == PRODUCT)?;
    let rates = product.measured.series.iter().map(|it| product.case.flop / median(&it.wall));
    rates.max_by(f64::total_cmp)
}

/// Returns the table of ratios and targets in Markdown.
pub fn ratios(entries: &[Entry]) -> String {
    let mut text = String::from(
        "| case | | ours / eager | floor | ours / better of eager, tcmalloc | goal | reached |\n\
         |---|---|---|---|---|---|---|\n",
    );
    for verdict in entries.iter().filter(|it| it.case.kind != PRODUCT).flat_map(Entry::verdicts) {
        let [floor, goal] = match verdict.target {
            Some(target) => [target.floor, target.goal].map(|it| format!("{it:.2}")),
            None => [String::new(), String::new()],
        };
        text += &format!(
            "| {} | {} | {:.2} | {floor} | {:.2} | {goal} | {} |\n",
            verdict.case,
            verdict.quantity,
            verdict.of_eager,
            verdict.of_best,
            verdict.label()
        );
    }
    text
}

/// Returns the table of all measurements in Markdown.
pub fn measurements(entries: &[Entry]) -> String {
    let peak = peak_rate(entries);
    let mut text = String::from(
        "| case | variant | ms | ± | processor ms | / eager | peak MB | GFLOP/s | of peak | rounds |\n\
         |---|---|---|---|---|---|---|---|---|---|\n",
    );
    for entry in entries {
        let eager = entry.series(Variant::Eager);
        for (variant, series) in entry.variants.iter().zip(&entry.measured.series) {
            let wall = median(&series.wall);
            let rate = entry.case.flop / wall;
            let optional = |value: Option<String>| value.unwrap_or_default();
            text += &format!(
                "| {} | {} | {} | {} | {} | {} | {} | {:.0} | {} | {}{} |\n",
                entry.case.name,
                variant.name(),
                milliseconds(wall),
                milliseconds(deviation(&series.wall)),
                optional((!series.cpu.is_empty()).then(|| milliseconds(median(&series.cpu)))),
                optional(eager.map(|it| format!("{:.2}", ratio(&series.wall, &it.wall)))),
                optional(series.peak.map(|it| format!("{:.0}", it / 1e6))),
                rate / 1e9,
                optional(peak.map(|it| format!("{:.2}", rate / it))),
                series.wall.len(),
                if entry.measured.noisy { " noisy" } else { "" },
            );
        }
    }
    text
}

/// Formats milliseconds with three significant digits.
fn milliseconds(seconds: f64) -> String {
    match seconds * 1e3 {
        ms if ms < 10.0 => format!("{ms:.2}"),
        ms if ms < 100.0 => format!("{ms:.1}"),
        ms => format!("{ms:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(ours: f64, eager: f64, tcmalloc: f64) -> Entry {
        let series = |wall: f64, peak| Series {
            wall: vec![wall, wall * 1.5, wall],
            cpu: vec![2.0 * wall; 3],
            peak: Some(peak),
        };
        let target = Some(Target { floor: 0.7, goal: 0.5 });
        Entry {
            case: Case {
                name: "net".into(),
                kind: "forward".into(),
                flop: 1e9,
                quick: true,
                time: target,
                memory: target,
                scaling: None,
            },
            variants: vec![Variant::Kernels, Variant::Eager, Variant::Tcmalloc],
            measured: Measured {
                series: vec![series(ours, 3e8), series(eager, 5e8), series(tcmalloc, 6e8)],
                disturbed: 0,
                noisy: false,
            },
        }
    }

    #[test]
    fn compares_floor_with_eager_and_goal_with_better_peer() {
        let [time, memory] = entry(0.4, 1.0, 0.5).verdicts().try_into().unwrap();
        assert!((time.of_eager - 0.4).abs() < 1e-12 && (time.of_best - 0.8).abs() < 1e-12);
        assert_eq!((time.passes(), time.label()), (true, "floor"));
        assert!((memory.of_eager - 0.6).abs() < 1e-12);
        let [time, _] = entry(0.4, 1.0, 2.0).verdicts().try_into().unwrap();
        assert_eq!(time.label(), "goal");
        let [time, _] = entry(0.8, 1.0, 2.0).verdicts().try_into().unwrap();
        assert_eq!((time.passes(), time.label()), (false, "**over**"));
    }

    #[test]
    fn nan_ratio_does_not_pass() {
        let target = Some(Target { floor: 0.7, goal: 0.5 });
        let nan = f64::NAN;
        let verdict =
            Verdict { case: "a".into(), quantity: "time", of_eager: nan, of_best: nan, target };
        assert!(!verdict.passes());
    }

    #[test]
    fn rates_are_relative_to_measured_peak() {
        let mut product = entry(0.01, 0.02, 0.02);
        product.case.kind = PRODUCT.into();
        let text = measurements(&[product, entry(0.02, 0.04, 0.04)]);
        let row = text.lines().find(|it| it.starts_with("| net | kernels | 20.0")).unwrap();
        // 1 GFLOP in 20 ms, relative to a peak of 100 GFLOP/s.
        assert_eq!(row, "| net | kernels | 20.0 | 0.00 | 40.0 | 0.50 | 300 | 50 | 0.50 | 3 |");
    }
}
