//! Operations on images, on ragged shapes.

use candle_core::{DType, Device, Tensor, Var};
use kernels::{DropoutKey, Filter};

use crate::comparing::{assert_agrees, assert_takes_views, device, error, normal};

/// Batch, input channels, output channels, height, width, kernel.
const CONVOLUTIONS: [[usize; 6]; 8] = [
    [2, 3, 5, 7, 6, 3],
    [1, 1, 1, 1, 1, 3],
    [3, 17, 70, 5, 4, 3],
    [2, 66, 65, 4, 4, 1],
    [1, 5, 3, 9, 11, 5],
    [1, 130, 6, 3, 5, 3],
    // Enough pixels for large tiles.
    [4, 2, 66, 64, 64, 1],
    [2, 65, 3, 16, 16, 3],
];

#[test]
fn convolution_agrees() {
    for sizes @ [batch, inputs, outputs, height, width, kernel] in CONVOLUTIONS {
        let x = normal(1, &[batch, inputs, height, width]);
        let scale = 1.0 / ((inputs * kernel * kernel) as f64).sqrt();
        let weight = (normal(2, &[outputs, inputs, kernel, kernel]) * scale).unwrap();
        let args = [x, weight, normal(3, &[outputs])];
        let what = format!("convolution {sizes:?}");
        assert_agrees(&what, &args, |it| kernels::conv2d(&it[0], &it[1], Some(&it[2])));
        assert_agrees(&what, &args[..2], |it| kernels::conv2d(&it[0], &it[1], None));
    }
}

#[test]
fn padded_convolution_agrees() {
    let args = [normal(1, &[2, 3, 6, 5]), normal(2, &[4, 3, 3, 3])];
    assert_agrees("padded", &args, |it| kernels::conv2d_padded(&it[0], &it[1], 3));
}

/// Batch, channels, height, width, groups.
const NORMS: [[usize; 5]; 5] =
    [[2, 8, 4, 4, 4], [1, 6, 5, 7, 1], [3, 12, 3, 1, 12], [1, 48, 9, 9, 4], [2, 64, 2, 2, 32]];

#[test]
fn group_norm_agrees() {
    for sizes @ [batch, channels, height, width, groups] in NORMS {
        let x = (normal(1, &[batch, channels, height, width]) + 0.5).unwrap();
        let args = [x, normal(2, &[channels]), normal(3, &[channels])];
        let what = format!("group norm {sizes:?}");
        assert_agrees(&what, &args, |it| kernels::group_norm(&it[0], &it[1], &it[2], groups, 1e-3));
        assert_agrees(&what, &args, |it| {
            kernels::group_norm_silu(&it[0], &it[1], &it[2], groups, 1e-3)
        });
        let modulation = [4, 5].map(|seed| normal(seed, &[batch, channels]));
        let args = [args.as_slice(), &modulation].concat();
        assert_agrees(&what, &args, |it| {
            let [x, weight, bias, scale, shift] = it else { unreachable!("five arguments") };
            kernels::group_norm_scale_shift_silu(x, weight, bias, scale, shift, groups, 1e-3)
        });
    }
}

#[test]
fn attention_agrees() {
    // Batch, heads, channels of a head, height, width.
    for sizes in
        [[1, 1, 4, 2, 2], [2, 1, 70, 9, 8], [3, 2, 8, 5, 7], [1, 4, 3, 1, 9], [1, 1, 1, 1, 1]]
    {
        let [batch, heads, channels, height, width] = sizes;
        let qkv = normal(1, &[batch, 3 * heads * channels, height, width]);
        assert_agrees(&format!("attention {sizes:?}"), &[qkv], |it| {
            kernels::attention(&it[0], heads)
        });
    }
}

#[test]
fn large_logits_get_all_the_weight() {
    let qkv = (normal(1, &[1, 6, 3, 3]) * 1e4).unwrap();
    let got = kernels::attention(&qkv.to_device(&device()).unwrap(), 1).unwrap();
    let expected = kernels::attention(&qkv.to_dtype(DType::F64).unwrap(), 1).unwrap();
    assert!(error(&got, &expected) < 1e-5);
}

#[test]
fn resampling_agrees() {
    for filter in [Filter::Box, Filter::Tent] {
        for [batch, channels, height, width] in [[2, 3, 8, 6], [1, 1, 4, 5], [1, 2, 7, 9]] {
            let args = [normal(1, &[batch, channels, height, width])];
            let what = format!("resampling {filter:?}, {height} x {width}");
            assert_agrees(&what, &args, |it| kernels::downsample2(&it[0], filter));
            assert_agrees(&what, &args, |it| kernels::downsample2_valid(&it[0], filter));
            assert_agrees(&what, &args, |it| kernels::upsample2(&it[0], filter));
        }
    }
}

#[test]
fn element_wise_operations_agree() {
    for shape in [[2, 3, 5, 7], [1, 1, 1, 1], [1, 5, 33, 31]] {
        let (a, b) = (normal(1, &shape), normal(2, &shape));
        let c = normal(3, &shape[..2]);
        let wide = (&a * 6.0).unwrap();
        let one = std::slice::from_ref(&wide);
        assert_agrees("silu", one, |it| kernels::silu(&it[0]));
        assert_agrees("sigmoid", one, |it| kernels::sigmoid(&it[0]));
        assert_agrees("softplus", one, |it| kernels::softplus(&it[0]));
        let two = [a.clone(), b];
        assert_agrees("add_scaled", &two, |it| kernels::add_scaled(&it[0], &it[1], 0.7));
        assert_agrees("add_channels", &[a, c], |it| kernels::add_channels(&it[0], &it[1]));
    }
}

#[test]
fn extreme_values_are_right() {
    let x = Tensor::new(&[f32::NEG_INFINITY, -1e4, 0.0, 1e4, f32::INFINITY, f32::NAN], &device());
    let x = x.unwrap();
    let on =
        |f: fn(&Tensor) -> candle_core::Result<Tensor>| f(&x).unwrap().to_vec1::<f32>().unwrap();
    let (sigmoid, softplus) = (on(kernels::sigmoid), on(kernels::softplus));
    assert_eq!(sigmoid[..5], [0.0, 0.0, 0.5, 1.0, 1.0]);
    assert_eq!(softplus[..2], [0.0, 0.0]);
    assert_eq!(softplus[3..5], [1e4, f32::INFINITY]);
    assert!(sigmoid[5].is_nan() && softplus[5].is_nan());
}

#[test]
fn concatenation_agrees() {
    for [batch, a, b, height, width] in [[2, 3, 5, 4, 3], [1, 1, 1, 1, 1], [3, 7, 2, 5, 5]] {
        let args = [normal(1, &[batch, a, height, width]), normal(2, &[batch, b, height, width])];
        assert_agrees("concatenation", &args, |it| kernels::concat_channels(&it[0], &it[1]));
    }
}

#[test]
fn linear_maps_agree() {
    let args = [normal(1, &[3, 4]), normal(2, &[5, 4]), normal(3, &[5])];
    assert_agrees("linear", &args, |it| kernels::linear(&it[0], &it[1], Some(&it[2])));
}

#[test]
fn dropout_agrees_and_drops_the_same_elements() {
    let key = DropoutKey { seed: 5, position: (1 << 33) + 1 };
    for shape in [&[3, 2, 5, 7][..], &[1, 1, 1, 1], &[2, 129]] {
        let args = [normal(1, shape)];
        assert_agrees("dropout", &args, |it| kernels::dropout(&it[0], 0.3, key, 3));
        let ones = Tensor::ones(shape, DType::F32, &Device::Cpu).unwrap();
        let expected = kernels::dropout(&ones, 0.3, key, 3).unwrap();
        let got = kernels::dropout(&ones.to_device(&device()).unwrap(), 0.3, key, 3).unwrap();
        assert_eq!(error(&got, &expected), 0.0);
    }
}

#[test]
fn views_give_the_same_as_copies() {
    let x = normal(1, &[2, 6, 4, 5]);
    let on_device = |seed: u64, shape: &[usize]| normal(seed, shape).to_device(&device()).unwrap();
    let (weight, bias) = (on_device(2, &[3, 6, 3, 3]), on_device(3, &[6]));
    let (other, row) = (on_device(4, &[2, 6, 4, 5]), on_device(5, &[2, 6]));
    let key = DropoutKey { seed: 5, position: 0 };
    assert_takes_views("convolution", &x, |it| kernels::conv2d(it, &weight, None));
    assert_takes_views("norm", &x, |it| kernels::group_norm_silu(it, &bias, &bias, 2, 1e-5));
    assert_takes_views("attention", &x, |it| kernels::attention(it, 2));
    assert_takes_views("down", &x, |it| kernels::downsample2(it, Filter::Tent));
    assert_takes_views("up", &x, |it| kernels::upsample2(it, Filter::Tent));
    assert_takes_views("silu", &x, kernels::silu);
    assert_takes_views("add_scaled", &x, |it| kernels::add_scaled(&other, it, 0.5));
    assert_takes_views("add_channels", &x, |it| kernels::add_channels(it, &row));
    assert_takes_views("concatenation", &x, |it| kernels::concat_channels(&other, it));
    assert_takes_views("dropout", &x, |it| kernels::dropout(it, 0.4, key, 0));
}

#[test]
fn a_frozen_operand_gets_no_gradient() {
    let var = |seed: u64, shape: &[usize]| {
        Var::from_tensor(&normal(seed, shape).to_device(&device()).unwrap()).unwrap()
    };
    let (x, weight, bias) = (var(1, &[2, 4, 3, 3]), var(2, &[4, 4, 3, 3]), var(3, &[4]));
    let (frozen, fixed) = (weight.as_detached_tensor(), bias.as_detached_tensor());
    let y = kernels::conv2d(&x, &frozen, Some(&fixed)).unwrap();
    let y = kernels::group_norm_silu(&y, &fixed, &bias, 2, 1e-5).unwrap();
    let grads = y.sqr().unwrap().sum_all().unwrap().backward().unwrap();
    assert!(grads.get(&x).is_some() && grads.get(&bias).is_some());
    assert!(grads.get(&frozen).is_none() && grads.get(&fixed).is_none());
    assert!(!kernels::conv2d(&x.as_detached_tensor(), &frozen, None).unwrap().track_op());
}
