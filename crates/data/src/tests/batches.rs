//! The order is a permutation in every epoch, and batches do not depend on how it is split.

use candle_core::{Device, Tensor};
use proptest::prelude::*;

use super::sample;
use crate::{Dataset, Error, Labels, Stream, order, round_to_bytes, to_u8};

fn epoch(seed: u64, epoch: u64, len: usize) -> Vec<usize> {
    let start = epoch * len as u64;
    (start..start + len as u64).map(|it| order::index_at(seed, it, len)).collect()
}

proptest! {
    #[test]
    fn every_epoch_is_a_permutation(seed: u64, number in 0u64..1 << 40, len in 1usize..3000) {
        let mut indices = epoch(seed, number, len);
        indices.sort_unstable();
        prop_assert_eq!(indices, (0..len).collect::<Vec<_>>());
    }

    #[test]
    fn a_batch_is_its_parts_joined(seed: u64, start in 0u64..1000, cut in 0usize..=12) {
        let dataset = sample(5, [3, 2, 2]);
        let stream = Stream { dataset: &dataset, seed };
        let values = |start, count| {
            let batch = stream.batch_at(start, count, &Device::Cpu).unwrap();
            let images = batch.images.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            let labels = batch.labels.unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
            (images, labels, batch.classes.unwrap())
        };
        let (mut images, mut labels, mut classes) = values(start, cut);
        let rest = values(start + cut as u64, 12 - cut);
        images.extend(rest.0);
        labels.extend(rest.1);
        classes.extend(rest.2);
        prop_assert_eq!((images, labels, classes), values(start, 12));
    }
}

#[test]
fn orders_differ_between_epochs_and_seeds_and_separate_neighbors() {
    let len = 1000;
    let (first, second, other) = (epoch(1, 0, len), epoch(1, 1, len), epoch(2, 0, len));
    assert_eq!(first, epoch(1, 0, len));
    let same = |a: &[usize], b: &[usize]| a.iter().zip(b).filter(|(a, b)| a == b).count();
    // Two random permutations agree in 1 place on average; 10 has probability 1e-7.
    assert!(same(&first, &second) < 10 && same(&first, &other) < 10);
    let steps = first.windows(2).filter(|it| it[0].abs_diff(it[1]) < 10).count();
    // 19 of a random order's 999 steps are that short; eight standard deviations above.
    assert!(steps < 55, "{steps} short steps");
}

/// All orders of four images are equally frequent: chi-squared with 23 degrees of freedom.
#[test]
fn small_sets_have_all_orders_equally_often() {
    let mut counts = std::collections::BTreeMap::new();
    let (epochs, orders) = (24_000u64, 24.0);
    for number in 0..epochs {
        *counts.entry(epoch(3, number, 4)).or_insert(0f64) += 1.0;
    }
    assert_eq!(counts.len(), 24);
    let expected = epochs as f64 / orders;
    let chi2: f64 = counts.values().map(|it| (it - expected).powi(2) / expected).sum();
    // The 1 - 1e-6 quantile is 65.
    assert!(chi2 < 65.0, "chi-squared {chi2}");
    let three: std::collections::BTreeSet<_> = (0..100).map(|it| epoch(3, it, 3)).collect();
    assert_eq!(three.len(), 6);
}

#[test]
fn bytes_map_to_data_units_and_back() {
    let dataset = Dataset::new("x", [1, 16, 16], (0..=255).collect(), Labels::None).unwrap();
    let batch = dataset.batch(&[0], &Device::Cpu).unwrap();
    let values = batch.images.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    assert_eq!((values[0], values[255]), (-1.0, 1.0));
    assert!((values[51] - (51.0 / 127.5 - 1.0)).abs() < 1e-7);
    assert_eq!(to_u8(&batch.images).unwrap(), (0..=255).collect::<Vec<u8>>());
    assert!(batch.labels.is_none() && batch.classes.is_none());
}

#[test]
fn values_outside_the_range_become_its_ends_and_nan_becomes_black() {
    let values = [-9f32, 9.0, f32::NAN, f32::INFINITY, 0.0];
    let images = Tensor::new(&values, &Device::Cpu).unwrap();
    assert_eq!(to_u8(&images).unwrap(), [0, 255, 0, 255, 128]);
}

/// Both conversions round alike, so a metric describes the files that a user keeps.
#[test]
fn rounded_images_are_those_read_back_from_a_file() {
    let values: Vec<f32> = (-3000..3000).map(|it| it as f32 / 2500.0).collect();
    let images = Tensor::from_vec(values.clone(), (60, 1, 10, 10), &Device::Cpu).unwrap();
    let bytes = to_u8(&images).unwrap();
    let plain = values.iter().map(|x| ((x + 1.0) * 127.5).round() as u8);
    assert_eq!(bytes, plain.collect::<Vec<_>>());

    let rounded = round_to_bytes(&images).unwrap();
    assert_eq!(rounded.dims(), images.dims());
    assert_eq!(to_u8(&rounded).unwrap(), bytes);
    let read = Dataset::new("x", [1, 10, 10], bytes, Labels::None).unwrap();
    let read = read.batch(&(0..60).collect::<Vec<_>>(), &Device::Cpu).unwrap().images;
    let gap = (rounded - read).unwrap().abs().unwrap().flatten_all().unwrap().max(0).unwrap();
    // One reads `byte / 127.5`, the other `byte * (1 / 127.5)`.
    assert!(gap.to_scalar::<f32>().unwrap() <= 2.0 * f32::EPSILON);
}

#[test]
fn rounding_rejects_nan_and_names_the_image() {
    let values = vec![0f32, f32::INFINITY, 0.5, f32::NAN, f32::NAN, 0.0];
    let images = Tensor::from_vec(values, (3, 1, 1, 2), &Device::Cpu).unwrap();
    let error = round_to_bytes(&images).unwrap_err();
    assert!(matches!(error, Error::NotANumber { image: 1 }), "{error}");
    let first = round_to_bytes(&images.narrow(0, 0, 1).unwrap()).unwrap();
    assert_eq!(to_u8(&first).unwrap(), [128, 255]);
}

#[test]
fn labels_are_one_hot_or_as_given() {
    let dataset = sample(3, [1, 1, 1]);
    let batch = dataset.batch(&[2, 0, 2], &Device::Cpu).unwrap();
    let rows = batch.labels.unwrap().to_vec2::<f32>().unwrap();
    assert_eq!(rows, [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]);
    assert_eq!(batch.classes.unwrap(), [2, 0, 2]);
    let values = vec![0.5, 0.25, 7.0, -1.0];
    let soft = Dataset::new("x", [1, 1, 1], vec![0; 2], Labels::Soft { width: 2, values }).unwrap();
    let batch = soft.batch(&[1], &Device::Cpu).unwrap();
    assert_eq!(batch.labels.unwrap().to_vec2::<f32>().unwrap(), [[7.0, -1.0]]);
    assert!(batch.classes.is_none());
    let error = dataset.batch(&[3], &Device::Cpu).unwrap_err();
    assert_eq!(error.to_string(), "there is no image 3 in a data set of 3; give an index below 3");
}
