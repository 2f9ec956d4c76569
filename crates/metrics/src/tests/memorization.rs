//! The test for copies, on copies and on independent images.

use super::{map_rows, message, normal_rows, rows};
use crate::memorization;

#[test]
fn copies_are_found_and_listed() {
    let training = normal_rows(1, 40, 6);
    let held_out = normal_rows(2, 40, 6);
    // The generated images are training images from the last to the first.
    let mut values: Vec<Vec<f32>> = training.iter().map(<[f32]>::to_vec).collect();
    values.reverse();
    let copies = rows(values.concat(), 6);
    let found = memorization(&copies, &training, &held_out, 3).unwrap();
    assert_eq!((found.share, found.ratio, found.images), (1.0, 0.0, 40));
    assert_eq!(found.nearest.len(), 3);
    for pair in &found.nearest {
        assert_eq!((pair.generated + pair.training, pair.ratio), (39, 0.0));
    }
    // Copies of held-out images do not count.
    let found = memorization(&held_out, &training, &held_out, 0).unwrap();
    assert_eq!((found.share, found.ratio), (0.0, f64::INFINITY));
}

#[test]
fn independent_images_are_equally_near_to_both() {
    let found =
        memorization(&normal_rows(3, 3000, 4), &normal_rows(1, 900, 4), &normal_rows(2, 900, 4), 1)
            .unwrap();
    // The standard error of the share is below 0.03; neighbors are shared.
    assert!((found.share - 0.5).abs() < 0.1, "{found:?}");
    assert!((found.ratio - 1.0).abs() < 0.1, "{found:?}");
}

#[test]
fn distances_agree_with_plain_loops() {
    let (x, y) = (normal_rows(3, 30, 5), normal_rows(4, 300, 5));
    let z = map_rows(&normal_rows(5, 300, 5), |row| row.iter().map(|it| it + 0.5).collect());
    let nearest = |row: &[f32], set: &crate::Matrix| {
        let distance = |other: &[f32]| {
            row.iter().zip(other).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>().sqrt()
        };
        set.iter().map(distance).fold(f64::INFINITY, f64::min)
    };
    let found = memorization(&x, &y, &z, 30).unwrap();
    for pair in found.nearest {
        let row = x.row(pair.generated);
        let expected = nearest(row, &y) / nearest(row, &z);
        assert!((pair.ratio - expected).abs() < 1e-5, "{pair:?}, not {expected}");
    }
}

#[test]
fn rejects_sets_of_different_sizes() {
    let [x, y, z] = [(1, 10), (2, 20), (3, 21)].map(|(seed, count)| normal_rows(seed, count, 3));
    assert!(message(memorization(&x, &y, &z, 1)).contains("held-out images"));
    assert!(memorization(&x, &y, &normal_rows(3, 20, 4), 1).is_err());
}
