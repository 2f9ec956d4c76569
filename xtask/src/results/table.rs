//! Tables of results: means over seeds, with standard errors and paired differences.

use std::fmt::Write;
use std::path::Path;

use anyhow::{Context, ensure};

use super::list::{List, Row};
use super::run::Line;

/// Mean and standard error of some values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// Number of values.
    pub count: usize,
    /// Mean.
    pub mean: f64,
    /// Standard error of the mean; NaN for fewer than two values.
    pub error: f64,
}

impl Estimate {
    /// Returns the estimate from these values; `None` without values.
    pub fn of(values: &[f64]) -> Option<Self> {
        let count = values.len();
        if count == 0 {
            return None;
        }
        let mean = values.iter().sum::<f64>() / count as f64;
        let squares: f64 = values.iter().map(|it| (it - mean).powi(2)).sum();
        let error = (squares / (count as f64 - 1.0) / count as f64).sqrt();
        Some(Self { count, mean, error: if count < 2 { f64::NAN } else { error } })
    }

    fn text(self, signed: bool) -> String {
        let mean = if signed { format!("{:+.3}", self.mean) } else { format!("{:.3}", self.mean) };
        if self.error.is_nan() { mean } else { format!("{mean} ± {:.3}", self.error) }
    }
}

/// Returns the values of a metric in a row, by seed.
pub fn values(list: &List, row: &Row, lines: &[Line], metric: &str) -> Vec<(u64, f64)> {
    let key = list.key(row);
    let of_row = lines.iter().filter(|it| it.key == key && list.seeds.contains(&it.seed));
    of_row.filter_map(|it| Some((it.seed, it.metric(metric)?))).collect()
}

/// Returns the table of a list, as Markdown.
pub fn markdown(list: &List, lines: &[Line]) -> String {
    let baseline = list.rows.iter().find(|it| Some(&it.name) == list.baseline.as_ref());
    let mut text = String::from("| run | seeds | updates | seconds |");
    for metric in &list.metrics {
        let _ = write!(text, " {metric} |");
        if let Some(baseline) = baseline {
            let _ = write!(text, " {metric}, less {} |", baseline.name);
        }
    }
    let columns = 4 + list.metrics.len() * if baseline.is_some() { 2 } else { 1 };
    let _ = write!(text, "\n|{}\n", "---|".repeat(columns));
    for row in &list.rows {
        let plain = |metric: &str| -> Vec<f64> {
            values(list, row, lines, metric).into_iter().map(|it| it.1).collect()
        };
        let whole = |metric: &str| match Estimate::of(&plain(metric)) {
            Some(found) => format!("{:.0}", found.mean),
            None => "-".into(),
        };
        let seeds = plain("updates").len();
        let _ = write!(
            text,
            "| {} | {seeds} | {} | {} |",
            row.name,
            whole("updates"),
            whole("seconds")
        );
        for metric in &list.metrics {
            let mean = Estimate::of(&plain(metric));
            let _ = write!(text, " {} |", mean.map_or_else(|| "-".into(), |it| it.text(false)));
            let Some(baseline) = baseline else { continue };
            let pairs = paired(list, row, baseline, lines, metric);
            let difference = Estimate::of(&pairs).filter(|_| row != baseline);
            let _ = write!(text, " {} |", difference.map_or_else(|| "".into(), |it| it.text(true)));
        }
        text.push('\n');
    }
    text
}

/// Returns the differences of a metric between two rows, one for each common seed.
fn paired(list: &List, row: &Row, other: &Row, lines: &[Line], metric: &str) -> Vec<f64> {
    let others = values(list, other, lines, metric);
    let pair = |(seed, value): (u64, f64)| {
        let (_, other) = others.iter().find(|it| it.0 == seed)?;
        Some(value - other)
    };
    values(list, row, lines, metric).into_iter().filter_map(pair).collect()
}

/// Replaces the table of this name in a page.
///
/// # Errors
///
/// If the page has no place for it: two comments, `results: NAME` and `end: NAME`.
pub fn insert(page: &Path, name: &str, table: &str) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(page).with_context(|| page.display().to_string())?;
    let new = replaced(&text, name, table).with_context(|| page.display().to_string())?;
    if new != text {
        std::fs::write(page, new).with_context(|| page.display().to_string())?;
    }
    Ok(())
}

/// Checks that a page has a place for the table of this name.
///
/// # Errors
///
/// If it does not.
pub fn check_place(page: &Path, name: &str) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(page).with_context(|| page.display().to_string())?;
    replaced(&text, name, "").map(|_| ()).with_context(|| page.display().to_string())
}

fn replaced(text: &str, name: &str, table: &str) -> anyhow::Result<String> {
    let [begin, end] = ["results", "end"].map(|word| format!("<!-- {word}: {name} -->"));
    let (before, rest) = text.split_once(&begin).with_context(|| format!("no `{begin}`"))?;
    let (old, after) = rest.split_once(&end).with_context(|| format!("no `{end}`"))?;
    ensure!(!old.contains("<!--"), "another comment is between `{begin}` and `{end}`");
    Ok(format!("{before}{begin}\n\n{table}\n{end}{after}"))
}

#[cfg(test)]
mod tests {
    use super::super::list::tests::list;
    use super::*;

    fn line(key: &str, seed: u64, fd: f64) -> Line {
        let text = format!(
            r#"{{"key":"{key}","seed":{seed},"updates":300,"seconds":12.4,"metrics":{{"fd":{fd}}}}}"#
        );
        Line::parse(&text).unwrap()
    }

    #[test]
    fn estimates_have_the_standard_error_of_the_mean() {
        let found = Estimate::of(&[1.0, 2.0, 3.0, 4.0]).unwrap();
        assert_eq!((found.count, found.mean), (4, 2.5));
        assert!((found.error - (5.0f64 / 3.0 / 4.0).sqrt()).abs() < 1e-12);
        assert!(Estimate::of(&[1.0]).unwrap().error.is_nan());
        assert_eq!(Estimate::of(&[]), None);
    }

    #[test]
    fn differences_are_between_runs_of_one_seed() {
        let list = list();
        let [a, b] = [list.key(&list.rows[0]), list.key(&list.rows[1])];
        // Seed 3 is not in the list, and "z" is no row of it.
        let lines = [
            line(&a, 1, 0.5),
            line(&b, 1, 0.25),
            line(&a, 2, 1.5),
            line(&b, 2, 1.0),
            line(&a, 3, 9.0),
            line("z", 1, 9.0),
        ];
        let text = markdown(&list, &lines);
        let rows: Vec<&str> = text.lines().collect();
        assert_eq!(
            rows[0],
            "| run | seeds | updates | seconds | fd | fd, less b | recall | recall, less b |"
        );
        assert_eq!(rows[2], "| a | 2 | 300 | 12 | 1.000 ± 0.500 | +0.375 ± 0.125 | - |  |");
        assert_eq!(rows[3], "| b | 2 | 300 | 12 | 0.625 ± 0.375 |  | - |  |");
        assert_eq!(rows.len(), 4);
        assert_eq!(rows[1].matches("---|").count(), 8);
    }

    #[test]
    fn a_table_replaces_the_one_of_its_name() {
        let page = "x\n<!-- results: a -->\nold\n<!-- end: a -->\ny\n";
        let new = replaced(page, "a", "| t |\n").unwrap();
        assert_eq!(new, "x\n<!-- results: a -->\n\n| t |\n\n<!-- end: a -->\ny\n");
        assert_eq!(replaced(&new, "a", "| t |\n").unwrap(), new);
        let error = replaced(page, "b", "").unwrap_err().to_string();
        assert!(error.contains("<!-- results: b -->"), "{error}");
        let mixed = "<!-- results: a --><!-- end: b --><!-- end: a -->";
        assert!(replaced(mixed, "a", "").is_err());
    }
}
