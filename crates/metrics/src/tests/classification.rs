//! Accuracy, Inception score and cross entropy on logits with known answers.

use candle_core::{Device, Tensor, Var};
use proptest::prelude::*;

use super::{assert_close, message, normal_rows, rows};
use crate::*;

#[test]
fn accuracy_compares_the_largest_logit_and_the_lower_class_of_ties() {
    let logits = rows(vec![1.0, 3.0, 2.0, 0.0, -1.0, 0.0, -5.0, -4.0, -3.0, 7.0, 7.0, 7.0], 3);
    assert_eq!(class_accuracy(&logits, &[1, 0, 2, 0]).unwrap(), 1.0);
    assert_eq!(class_accuracy(&logits, &[1, 2, 2, 1]).unwrap(), 0.5);
    let unknown = message(class_accuracy(&logits, &[1, 0, 3, 0]));
    assert!(unknown.contains("label 3 of image 2") && unknown.contains("classes 0 to 2"));
    assert!(message(class_accuracy(&logits, &[1, 0])).contains("labels: expected 4, found 2"));
    assert!(message(class_accuracy(&rows(vec![], 3), &[])).contains("0 samples"));
}

#[test]
fn the_class_divergence_is_of_the_predicted_shares() {
    let of_classes = |classes: &[usize]| {
        let row = |&class: &usize| (0..3).map(move |i| if i == class { 2.0 } else { -1.0 });
        rows(classes.iter().flat_map(row).collect(), 3)
    };
    let real = of_classes(&[0, 0, 1, 1, 2, 2]);
    assert_close(class_divergence(&of_classes(&[0, 1, 2]), &real).unwrap(), 0.0, 1e-12);
    // Shares (4.5, 2.5, 0.5)/7.5 of six images, against thirds.
    let found = class_divergence(&of_classes(&[0, 0, 0, 0, 1, 1]), &real).unwrap();
    let expected: f64 = [4.5f64, 2.5, 0.5].iter().map(|it| (2.5 / it).ln() / 3.0).sum();
    assert_close(found, expected, 1e-12);
    assert!(message(class_divergence(&rows(vec![], 3), &real)).contains("0 samples"));
    assert!(class_divergence(&rows(vec![0.0; 4], 2), &real).is_err());
}

#[test]
fn the_inception_score_counts_classes() {
    // Each image is certainly of one class: as many as there are, even if the exponentials
    // underflow.
    let certain = (0..32).map(|i| if i % 4 == i / 4 % 4 { 3000.0 } else { -3000.0 }).collect();
    assert_close(inception_score(&rows(certain, 4)).unwrap(), 4.0, 1e-12);
    // All certainly of the same class, or uniform: 1.
    assert_close(inception_score(&rows([9.0, 0.0].repeat(6), 2)).unwrap(), 1.0, 1e-12);
    assert_close(inception_score(&rows(vec![0.3; 30], 5)).unwrap(), 1.0, 1e-12);
    // Two images with p = (0.8, 0.2) and (0.2, 0.8): ln IS = ln 2 - H(0.8).
    let odds = 4f32.ln();
    let expected = (2f64.ln() + 0.8 * 0.8f64.ln() + 0.2 * 0.2f64.ln()).exp();
    assert_close(inception_score(&rows(vec![odds, 0.0, 0.0, odds], 2)).unwrap(), expected, 1e-7);
    assert!(message(inception_score(&rows(vec![], 2))).contains("Inception score: 0 samples"));
}

/// `∂L/∂z = softmax(z) − onehot`, against the formula, for logits of any size.
#[test]
fn cross_entropy_and_its_gradient_stay_exact_for_large_logits() {
    let device = Device::Cpu;
    let values = [[0.5, -1.0, 2.0], [1e4, 0.0, -1e4], [-1e4, 1e4, 1e4], [3.0, 3.0, 3.0f64]];
    let logits = Var::new(&values, &device).unwrap();
    let labels = [2u32, 1, 0, 1];
    let loss = cross_entropy(&logits, &Tensor::new(&labels, &device).unwrap()).unwrap();
    let grads = loss.sum_all().unwrap().backward().unwrap();
    let grads = grads.get(&logits).unwrap().to_vec2::<f64>().unwrap();
    for (i, (row, label)) in values.iter().zip(labels).enumerate() {
        let largest = row.iter().fold(f64::MIN, |a, b| a.max(*b));
        let sum: f64 = row.iter().map(|z| (z - largest).exp()).sum();
        let expected = largest + sum.ln() - row[label as usize];
        assert_close(loss.to_vec1::<f64>().unwrap()[i], expected, 1e-11);
        for (class, z) in row.iter().enumerate() {
            let hit = f64::from(u8::from(class == label as usize));
            assert_close(grads[i][class], (z - largest).exp() / sum - hit, 1e-14);
        }
    }
}

#[test]
fn cross_entropy_rejects_labels_that_do_not_fit() {
    let logits = Tensor::zeros((2, 3), candle_core::DType::F32, &Device::Cpu).unwrap();
    let reject = |labels: &[u32]| {
        let labels = Tensor::new(labels, &Device::Cpu).unwrap();
        cross_entropy(&logits, &labels).unwrap_err().to_string()
    };
    assert!(reject(&[0, 3]).contains("label 3, but there are 3 classes"));
    assert!(reject(&[0]).contains("[1] for 2 images"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn the_inception_score_is_between_one_and_the_number_of_classes(
        stream in 0u32..1000, images in 1usize..20, classes in 1usize..12, scale in 0.0..50.0f32,
    ) {
        let logits = normal_rows(stream, images, classes);
        let logits = rows(logits.values().iter().map(|x| x * scale).collect(), classes);
        let score = inception_score(&logits).unwrap();
        prop_assert!((1.0 - 1e-12..=classes as f64 + 1e-9).contains(&score));
    }
}
