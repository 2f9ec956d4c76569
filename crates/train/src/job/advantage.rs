//! Warning about a fake score that is worse than the teacher.

use crate::step::BinMonitor;

/// Counts the ticks in a row in which the fake score was worse than the teacher.
#[derive(Debug, Default)]
pub(super) struct LowAdvantage {
    ticks: u32,
}

impl LowAdvantage {
    /// Returns a warning at the `after`-th tick in a row whose advantage is below 0 in most bins of the
    /// noise level; never if `after` is 0.
    pub fn warning(&mut self, monitors: &[BinMonitor], after: u32) -> Option<String> {
        let known: Vec<_> =
            monitors.iter().filter_map(|it| Some((it.sigma, it.advantage?))).collect();
        let low = known.iter().filter(|(_, advantage)| *advantage < 0.0).count();
        self.ticks = if known.len() < 2 * low { self.ticks.saturating_add(1) } else { 0 };
        if after == 0 || self.ticks != after {
            return None;
        }
        let list: Vec<String> = known
            .iter()
            .map(|([low, high], advantage)| {
                format!("{advantage:+.2} at sigma {:.2}", (low * high).sqrt())
            })
            .collect();
        Some(format!(
            "the fake score is worse than the teacher on the student's own samples (advantage {}): most \
             of its gap to the teacher is noise. Lower fake.learning_rate, or raise batch or \
             fake_updates",
            list.join(", ")
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warns_once_after_ticks_in_a_row() {
        let bins = |advantages: &[f64]| -> Vec<BinMonitor> {
            let bin = |it: &f64| BinMonitor {
                sigma: [0.5, 2.0],
                advantage: Some(*it),
                ..BinMonitor::default()
            };
            advantages.iter().map(bin).collect()
        };
        let (bad, good) = (bins(&[-0.5, -0.1, 0.3]), bins(&[-0.5, 0.1, 0.3]));
        let mut state = LowAdvantage::default();
        let mut warned = |monitors: &[BinMonitor]| state.warning(monitors, 2).is_some();
        assert_eq!(
            [&bad, &good, &bad, &bad, &bad].map(|it| warned(it)),
            [false, false, false, true, false]
        );
        assert!(!warned(&[]) && !warned(&bad));
        let text = state.warning(&bad, 2).unwrap();
        assert!(
            text.contains("-0.50 at sigma 1.00") && text.contains("fake.learning_rate"),
            "{text}"
        );
        let mut off = LowAdvantage::default();
        assert!((0..9).all(|_| off.warning(&bad, 0).is_none()));
    }
}
