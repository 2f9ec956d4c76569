//! The kernel compared with candle's `cat`.

use candle_core::Tensor;

use super::*;
use crate::testing::{
    assert_agrees, assert_frozen_arguments_get_no_gradient, assert_thread_invariant, error, normal,
    views,
};

fn operands() -> [Tensor; 2] {
    [normal(1, &[3, 2, 5, 7]), normal(2, &[3, 4, 5, 7])]
}

#[test]
fn kernel_agrees_with_candle() {
    let cat = |it: &[Tensor]| Tensor::cat(it, 1);
    assert_agrees("concat", 1e-7, &operands(), |it| concat_channels(&it[0], &it[1]), cat);
    let one = [normal(1, &[1, 1, 1, 1]), normal(2, &[1, 1, 1, 1])];
    assert_agrees("concat", 1e-7, &one, |it| concat_channels(&it[0], &it[1]), cat);
}

#[test]
fn views_give_the_same_as_copies() {
    let [a, b] = operands();
    let expected = concat_channels(&a, &b).unwrap();
    for (a, b) in views(&a).iter().zip(views(&b)) {
        assert_eq!(error(&concat_channels(a, &b).unwrap(), &expected), 0.0);
    }
}

#[test]
fn frozen_operands_get_no_gradient() {
    assert_frozen_arguments_get_no_gradient(&operands(), |it| concat_channels(&it[0], &it[1]));
}

#[test]
fn bits_do_not_depend_on_threads() {
    assert_thread_invariant(&operands(), |it| concat_channels(&it[0], &it[1]));
}

#[test]
fn accepts_empty_batches_and_rejects_invalid_shapes() {
    let (a, b) = (normal(1, &[0, 2, 5, 7]), normal(1, &[0, 3, 5, 7]));
    assert_eq!(concat_channels(&a, &b).unwrap().dims(), [0, 5, 5, 7]);
    let message = concat_channels(&operands()[0], &b).unwrap_err().to_string();
    assert!(message.contains("differ"), "{message}");
}
