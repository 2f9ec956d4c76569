//! Medians and spreads, which outliers on a shared machine do not affect.

/// Returns the median; for an even count, the mean of the two middle values; NaN for no values.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        len if len % 2 == 1 => sorted[len / 2],
        len => 0.5 * (sorted[len / 2 - 1] + sorted[len / 2]),
    }
}

/// Returns the median distance from the median.
pub fn deviation(values: &[f64]) -> f64 {
    let middle = median(values);
    let distances: Vec<f64> = values.iter().map(|it| (it - middle).abs()).collect();
    median(&distances)
}

/// Returns the median ratio of pairs that were measured one right after the other, in which common
/// disturbances cancel.
pub fn ratio(ours: &[f64], theirs: &[f64]) -> f64 {
    let quotients: Vec<f64> = ours.iter().zip(theirs).map(|(a, b)| a / b).collect();
    median(&quotients)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outlier_changes_neither_median_nor_deviation() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(deviation(&[1.0, 2.0, 3.0, 4.0, 1000.0]), 1.0);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn ratio_compares_pairs() {
        // The machine slowed down tenfold in the second round.
        assert_eq!(ratio(&[1.0, 10.0, 1.0], &[2.0, 20.0, 2.0]), 0.5);
    }
}
