//! The fused layer against its operations one by one, in f64.

use candle_core::{DType, Result, Tensor};

use super::*;
use crate::isa::Isa;
use crate::testing::{error, normal as random, run};
use crate::{add_channels, add_scaled, concat_channels, conv2d, group_norm, group_norm_silu};

const TOLERANCE: f64 = 2e-5;
const GROUPS: usize = 2;
const EPS: f64 = 1e-5;
const FACTOR: f64 = 0.7;

/// Batch, channels of the first and the second tensor of images (0: no second tensor), outputs,
/// height, width, kernel.
type Sizes = [usize; 7];

/// Shapes for Winograd, direct convolution and matrix product; short and long rows, partial
/// vectors; groups that span both tensors.
#[rustfmt::skip]
const SIZES: [Sizes; 10] = [
    [2, 16,  0, 16,  8,  8, 3], [3, 18, 20, 17, 6, 16, 3], [1, 16, 32, 24, 32, 32, 3],
    [2,  4,  0,  3,  5,  7, 3], [2,  3,  5,  4, 9, 33, 3], [5, 6,  2, 40, 4,  4, 1],
    [2, 100, 96, 98, 4, 8, 3], [1, 128, 0, 130, 5, 5, 1], [2, 8, 0, 16, 3, 3, 5], [1, 4, 0, 1, 1, 1, 1],
];

#[derive(Clone, Copy, Debug, PartialEq)]
enum Before {
    Nothing,
    Norm,
    NormSilu,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum After {
    Nothing,
    Channels,
    Residual,
}

/// Images (one or two tensors), weight, bias, norm weight, norm bias, added term.
fn operands(sizes: Sizes, after: After) -> Vec<Tensor> {
    let [batch, a, b, outputs, height, width, kernel] = sizes;
    let mut all = vec![((random(1, &[batch, a, height, width]) * 2.0).unwrap() + 0.5).unwrap()];
    if b != 0 {
        all.push(random(2, &[batch, b, height, width]));
    }
    all.push(random(3, &[outputs, a + b, kernel, kernel]));
    all.push(random(4, &[outputs]));
    all.push((random(5, &[a + b]) + 1.0).unwrap());
    all.push(random(6, &[a + b]));
    match after {
        After::Nothing => (),
        After::Channels => all.push(random(7, &[batch, outputs])),
        After::Residual => all.push(random(8, &[batch, outputs, height, width])),
    }
    all
}

fn composed(all: &[Tensor], images: usize, before: Before, after: After) -> Result<Tensor> {
    let x = match images {
        1 => all[0].clone(),
        _ => concat_channels(&all[0], &all[1])?,
    };
    let [weight, bias, norm_weight, norm_bias] = [0, 1, 2, 3].map(|i| &all[images + i]);
    // The norm's parameters are always used, so that each has a gradient.
    let unused = ((norm_weight.sum_all()? + norm_bias.sum_all()?)? * 1e-9)?;
    let x = match before {
        Before::Nothing => x.broadcast_add(&unused)?,
        Before::Norm => group_norm(&x, norm_weight, norm_bias, GROUPS, EPS)?,
        Before::NormSilu => group_norm_silu(&x, norm_weight, norm_bias, GROUPS, EPS)?,
    };
    let y = conv2d(&x, weight, Some(bias))?;
    match after {
        After::Nothing => Ok(y),
        After::Channels => add_channels(&y, &all[images + 4]),
        After::Residual => add_scaled(&y, &all[images + 4], FACTOR),
    }
}

#[track_caller]
fn check(isa: Isa, sizes: Sizes, before: Before, after: After) {
    let what = format!("{sizes:?} {before:?} {after:?} {isa:?}");
    let all = operands(sizes, after);
    let images = if sizes[2] == 0 { 1 } else { 2 };
    let expected = run(DType::F64, &all, |all| composed(all, images, before, after));
    let part = |i: usize| Part { tensor: all[i].clone(), moments: None };
    let x = match images {
        1 => Images::One([part(0)]),
        _ => Images::Joined([part(0), part(1)]),
    };
    let [weight, bias, norm_weight, norm_bias] = [0, 1, 2, 3].map(|i| &all[images + i]);
    let silu = before == Before::NormSilu;
    let norm = (before != Before::Nothing).then_some(Norm {
        weight: norm_weight,
        bias: norm_bias,
        groups: GROUPS,
        eps: EPS,
        silu,
    });
    let (added, factor) = match after {
        After::Nothing => (Added::Nothing, 1.0),
        After::Channels => (Added::Channels(&all[images + 4]), 1.0),
        After::Residual => (Added::Residual(&all[images + 4], FACTOR), FACTOR),
    };
    let operands = Operands { images: &x, norm, weight, bias, added };
    let NormConv { output, normal } = norm_conv(isa, &operands, true).unwrap();
    let e = error(&output.tensor, &expected.0);
    assert!(e < TOLERANCE, "{what}: output is off by {e:.1e}");

    // The moments are those of the output.
    let measured = Images::One([Part { moments: None, ..output.clone() }]).moments(isa).unwrap();
    for (got, expected) in output.moments.as_ref().unwrap().iter().zip(&measured) {
        assert_eq!(format!("{got:?}"), format!("{expected:?}"), "{what}");
    }

    let grad = random(99, output.tensor.dims());
    let pass = Backward { images: &x, normal: normal.as_ref(), grad: &grad, factor };
    let grad_weight = weight_gradient(isa, &pass, weight.shape()).unwrap();
    let e = error(&grad_weight, &expected.1[images]);
    assert!(e < TOLERANCE, "{what}: gradient with respect to the weight is off by {e:.1e}");

    // Terms that are already known.
    let more: Vec<Tensor> = (0..images).map(|i| random(60 + i as u64, all[i].dims())).collect();
    let pair = [more.first(), more.get(1)].map(|it| it.map(|it| (it.clone(), -1.5)));
    let gradients = input_gradients(isa, &pass, weight, pair).unwrap();
    for (i, (got, more)) in gradients.images.iter().zip(&more).enumerate() {
        let more = (more.to_dtype(DType::F64).unwrap() * 1.5).unwrap();
        let e = error(got, &(&expected.1[i] - more).unwrap());
        assert!(e < TOLERANCE, "{what}: gradient with respect to image {i} is off by {e:.1e}");
    }
    for (i, got) in gradients.norm.iter().flatten().enumerate() {
        let e = error(&got.sum(0).unwrap(), &expected.1[images + 2 + i]);
        assert!(
            e < TOLERANCE,
            "{what}: gradient with respect to norm parameter {i} is off by {e:.1e}"
        );
    }
}

#[test]
fn agrees_with_composed_operations_in_f64() {
    for (sizes, isa) in SIZES.iter().flat_map(|it| Isa::all().into_iter().map(move |isa| (it, isa)))
    {
        for before in [Before::Nothing, Before::Norm, Before::NormSilu] {
            for after in [After::Nothing, After::Channels, After::Residual] {
                if before == Before::Nothing || (sizes[1] + sizes[2]).is_multiple_of(GROUPS) {
                    check(isa, *sizes, before, after);
                }
            }
        }
    }
}

#[test]
fn norm_parameters_may_differ_between_samples() {
    let (x, isa) = (random(1, &[3, 8, 4, 4]), Isa::detect());
    let (weight, bias) = (random(2, &[5, 8, 3, 3]), random(3, &[5]));
    let (scales, shifts) = (random(4, &[3, 8]), random(5, &[3, 8]));
    let whole = |x: &Tensor, weights: &Tensor, biases: &Tensor| {
        let norm = Norm { weight: weights, bias: biases, groups: 4, eps: EPS, silu: true };
        let images = &Images::One([Part { tensor: x.clone(), moments: None }]);
        let (norm, added) = (Some(norm), Added::Nothing);
        let operands = Operands { images, norm, weight: &weight, bias: &bias, added };
        let y = norm_conv(isa, &operands, false).unwrap();
        assert!(y.output.moments.is_none());
        y.output.tensor
    };
    let all = whole(&x, &scales, &shifts);
    for sample in 0..3 {
        let one = |it: &Tensor| it.narrow(0, sample, 1).unwrap().contiguous().unwrap();
        let row = |it: &Tensor| one(it).squeeze(0).unwrap();
        let alone = whole(&one(&x), &row(&scales), &row(&shifts));
        assert_eq!(error(&one(&all), &alone), 0.0, "sample {sample}");
    }
}

#[test]
fn rejects_mismatched_operands() {
    let part = |shape: &[usize]| Part { tensor: random(1, shape), moments: None };
    let images = &Images::One([part(&[2, 4, 4, 4])]);
    let (weight, bias) = (&random(2, &[3, 4, 3, 3]), &random(3, &[3]));
    let valid = Operands { images, norm: None, weight, bias, added: Added::Nothing };
    assert!(norm_conv(Isa::detect(), &valid, false).is_ok());
    let check = |operands: Operands<'_>, expected: &str| {
        let outcome = norm_conv(Isa::detect(), &operands, false).map(|_| ());
        let message = outcome.unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    };
    let (wide, long, odd) = (random(4, &[3, 5, 3, 3]), random(6, &[4]), random(5, &[2, 4]));
    check(Operands { weight: &wide, ..valid }, "weight [3, 5, 3, 3]");
    check(Operands { bias: &long, ..valid }, "bias [4]");
    check(Operands { added: Added::Channels(&odd), ..valid }, "added channels [2, 4]");
    check(Operands { added: Added::Residual(&odd, 1.0), ..valid }, "residual images [2, 4]");
    let pair = Images::Joined([part(&[2, 2, 4, 4]), part(&[2, 2, 4, 5])]);
    check(Operands { images: &pair, ..valid }, "more than channels");
    for (groups, expected) in [(3, "do not divide"), (0, "do not divide"), (2, "does not fit")] {
        let norm = Norm { weight: bias, bias, groups, eps: EPS, silu: true };
        check(Operands { norm: Some(norm), ..valid }, expected);
    }
}
