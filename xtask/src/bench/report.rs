//! The table: medians, spreads, ratios, memory, rates.

use super::rounds::{Measured, Series};
use super::statistics::{deviation, median, ratio};
use super::subject::{Case, Target};
use super::variant::{PRODUCT, Variant};

/// A measured case.
#[derive(Clone, Debug)]
pub struct Entry {
    /// What.
    pub case: Case,
    /// How, in the order of the series.
    pub variants: Vec<Variant>,
    /// The figures.
    pub measured: Measured,
}

/// Our time or memory against the peer's, with what is asked of it.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// Which case.
    pub case: String,
    /// `time` or `memory`.
    pub quantity: &'static str,
    /// Over PyTorch eager.
    pub of_eager: f64,
    /// Over the better of eager and eager with tcmalloc.
    pub of_best: f64,
    /// What is asked for, if anything.
    pub target: Option<Target>,
}

impl Verdict {
    /// Whether the floor is kept: trivially where there is none. NaN does not keep it.
    pub fn passes(&self) -> bool {
        self.target.is_none_or(|target| self.of_eager <= target.floor)
    }

    fn word(&self) -> &'static str {
        match self.target {
            None => "",
            Some(target) if self.of_best <= target.goal => "goal",
            Some(_) if self.passes() => "floor",
            Some(_) => "**over**",
        }
    }
}

impl Entry {
    /// The figures of a variant, if it was measured.
    pub fn series(&self, variant: Variant) -> Option<&Series> {
        let at = self.variants.iter().position(|it| *it == variant)?;
        self.measured.series.get(at)
    }

    /// Ours against the peer's, where both were measured.
    pub fn verdicts(&self) -> Vec<Verdict> {
        let (Some(ours), Some(eager)) =
            (self.series(Variant::Kernels), self.series(Variant::Eager))
        else {
            return Vec::new();
        };
        let tcmalloc = self.series(Variant::Tcmalloc);
        let verdict = |quantity, of: &dyn Fn(&Series) -> f64, target| {
            let of_eager = of(eager);
            // A larger ratio is a better peer.
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

/// The best rate of the matrix product among its variants, in operations a second.
pub fn peak_rate(entries: &[Entry]) -> Option<f64> {
    let product = entries.iter().find(|it| it.case.act == PRODUCT)?;
    let rates = product.measured.series.iter().map(|it| product.case.flop / median(&it.wall));
    rates.max_by(f64::total_cmp)
}

/// The table of ratios and targets, in Markdown.
pub fn ratios(entries: &[Entry]) -> String {
    let mut text = String::from(
        "| case | | ours / eager | floor | ours / better of eager, tcmalloc | goal | reached |\n\
         |---|---|---|---|---|---|---|\n",
    );
    for verdict in entries.iter().filter(|it| it.case.act != PRODUCT).flat_map(Entry::verdicts) {
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
            verdict.word()
        );
    }
    text
}

/// The table of all figures, in Markdown.
pub fn figures(entries: &[Entry]) -> String {
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

/// Three digits that matter.
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
                act: "forward".into(),
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
    fn floors_are_against_eager_and_goals_against_the_better_peer() {
        let [time, memory] = entry(0.4, 1.0, 0.5).verdicts().try_into().unwrap();
        assert!((time.of_eager - 0.4).abs() < 1e-12 && (time.of_best - 0.8).abs() < 1e-12);
        assert_eq!((time.passes(), time.word()), (true, "floor"));
        assert!((memory.of_eager - 0.6).abs() < 1e-12);
        let [time, _] = entry(0.4, 1.0, 2.0).verdicts().try_into().unwrap();
        assert_eq!(time.word(), "goal");
        let [time, _] = entry(0.8, 1.0, 2.0).verdicts().try_into().unwrap();
        assert_eq!((time.passes(), time.word()), (false, "**over**"));
    }

    #[test]
    fn a_ratio_that_is_no_number_does_not_pass() {
        let target = Some(Target { floor: 0.7, goal: 0.5 });
        let nan = f64::NAN;
        let verdict =
            Verdict { case: "a".into(), quantity: "time", of_eager: nan, of_best: nan, target };
        assert!(!verdict.passes());
    }

    #[test]
    fn rates_are_of_the_measured_peak() {
        let mut product = entry(0.01, 0.02, 0.02);
        product.case.act = PRODUCT.into();
        let text = figures(&[product, entry(0.02, 0.04, 0.04)]);
        let row = text.lines().find(|it| it.starts_with("| net | kernels | 20.0")).unwrap();
        // 1 GFLOP in 20 ms of a peak of 100 GFLOP/s.
        assert_eq!(row, "| net | kernels | 20.0 | 0.00 | 40.0 | 0.50 | 300 | 50 | 0.50 | 3 |");
    }
}
