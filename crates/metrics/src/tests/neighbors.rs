//! Precision, recall, density and coverage, computed by hand and by plain loops.

use proptest::prelude::*;

use super::{message, normal_rows, rows};
use crate::prdc::squared_distance;
use crate::*;

/// Computes the four metrics by their definitions, with every distance from a difference of rows.
fn by_definition(generated: &Matrix, reference: &Matrix, k: usize) -> Prdc {
    let distance = |a: &[f32], b: &[f32]| {
        let gaps = a.iter().zip(b).map(|(a, b)| f64::from(*a) - f64::from(*b));
        gaps.map(|gap| gap * gap).sum::<f64>().sqrt()
    };
    let radii = |x: &Matrix| -> Vec<f64> {
        let radius = |a| {
            let mut all: Vec<f64> = x.iter().map(|b| distance(a, b)).collect();
            all.sort_by(f64::total_cmp);
            // The first is the row itself.
            all[k]
        };
        x.iter().map(radius).collect()
    };
    let (rx, ry) = (radii(reference), radii(generated));
    let near = |i: usize, j: usize| distance(reference.row(i), generated.row(j));
    let (n, m) = (reference.len(), generated.len());
    let share = |hits: usize, of: usize| hits as f64 / of as f64;
    let inside: usize = (0..m).map(|j| (0..n).filter(|&i| near(i, j) < rx[i]).count()).sum();
    Prdc {
        precision: share((0..m).filter(|&j| (0..n).any(|i| near(i, j) < rx[i])).count(), m),
        recall: share((0..n).filter(|&i| (0..m).any(|j| near(i, j) < ry[j])).count(), n),
        density: share(inside, k * m),
        coverage: share((0..n).filter(|&i| (0..m).any(|j| near(i, j) < rx[i])).count(), n),
    }
}

/// References 0, 1, 3, 10 with radii (k = 1) 1, 1, 2, 7; generated 0.5, 4.5, 30 with radii 4, 4,
/// 25.5.
#[test]
fn four_points_on_a_line() {
    let reference = rows(vec![0.0, 1.0, 3.0, 10.0], 1);
    let generated = rows(vec![0.5, 4.5, 30.0], 1);
    let got = prdc(&generated, &reference, 1).unwrap();
    // 0.5 is near 0 and 1; 4.5 near 3 and 10; 30 near no reference. Every reference is near a
    // sample.
    let expected = Prdc { precision: 2.0 / 3.0, recall: 1.0, density: 4.0 / 3.0, coverage: 1.0 };
    assert_eq!(got, expected);
}

#[test]
fn distant_sets_share_nothing_and_equal_sets_everything() {
    let x = normal_rows(0, 300, 4);
    let far = rows(x.values().iter().map(|x| x + 100.0).collect(), 4);
    let none = Prdc { precision: 0.0, recall: 0.0, density: 0.0, coverage: 0.0 };
    assert_eq!(prdc(&far, &x, 5).unwrap(), none);
    let own = prdc(&x, &x, 5).unwrap();
    assert_eq!([own.precision, own.recall, own.coverage], [1.0; 3]);
    assert!(0.9 < own.density && own.density <= 1.2, "{}", own.density);
}

/// Copies have radius 0, and no distance is below 0, also after rounding.
#[test]
fn copies_of_one_image_cover_nothing() {
    for stream in 0..30 {
        let dim = 3 * stream as usize + 1;
        let others = normal_rows(stream, 301, dim);
        let point: Vec<f32> = others.row(300).iter().map(|x| x * 100.0).collect();
        let copies = |count, others: &[f32]| rows([&point.repeat(count), others].concat(), dim);
        let alone = copies(10, &[]);
        // Sizes that take different paths through a matrix product.
        let reference = copies(10, &others.values()[..3 * dim]);
        let generated = copies(7, &others.values()[..290 * dim]);
        assert_eq!(prdc(&alone, &alone, 3).unwrap().coverage, 0.0);
        for (x, y) in [(&alone, &reference), (&generated, &reference), (&reference, &generated)] {
            assert_eq!(prdc(x, y, 3).unwrap(), by_definition(x, y, 3), "stream {stream}");
        }
    }
}

/// The last digits of a product depend on its path; larger differences are distances.
#[test]
fn rounding_errors_are_not_distances() {
    let norm = 3e4;
    assert_eq!(squared_distance(norm, norm, norm * (1.0 - 8.0 * f64::EPSILON)), 0.0);
    assert_eq!(squared_distance(norm, norm, norm * (1.0 + 8.0 * f64::EPSILON)), 0.0);
    let apart = squared_distance(norm, norm, norm * (1.0 - 1e-13));
    assert!((apart / norm - 2e-13).abs() < 1e-15);
}

#[test]
fn rejects_sizes_that_do_not_fit() {
    let x = normal_rows(3, 5, 3);
    assert!(message(prdc(&x, &x, 0)).contains("number of neighbors k is 0, must be 1 or more"));
    assert!(message(prdc(&x, &normal_rows(3, 9, 3), 5)).contains("generated images: 5 samples"));
    assert!(message(prdc(&normal_rows(3, 9, 3), &x, 5)).contains("reference images: 5 samples"));
    assert!(message(prdc(&x, &normal_rows(3, 9, 2), 1)).contains("dimension: expected 2, found 3"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Sizes on both sides of a tile's edge.
    #[test]
    fn tiles_agree_with_the_definitions(
        stream in 0u32..1000, n in 250usize..270, m in 6usize..40, dim in 1usize..6, k in 1usize..6,
        shift in 0.0..2.0f32,
    ) {
        let x = normal_rows(2 * stream, n, dim);
        let y = rows(normal_rows(2 * stream + 1, m, dim).values().iter().map(|x| x + shift).collect(), dim);
        prop_assert_eq!(prdc(&y, &x, k).unwrap(), by_definition(&y, &x, k));
        prop_assert_eq!(prdc(&x, &y, k).unwrap(), by_definition(&x, &y, k));
    }
}
