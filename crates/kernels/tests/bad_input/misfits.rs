//! Invalid operands: an error that names the operation and the operand.

use std::panic::{AssertUnwindSafe, catch_unwind};

use candle_core::{DType, Error, Result, Tensor};
use uni_instruct_kernels::DropoutKey;
use uni_instruct_kernels::Filter;

use crate::run::{normal, operands};
use crate::table::{ORDINARY, ROWS};

/// The message of the error that `f` must return. A panic fails the test.
#[track_caller]
fn message(what: &str, f: impl FnOnce() -> Result<Tensor>) -> String {
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(Err(error)) => first_line(&error),
        Ok(Ok(y)) => panic!("{what}: no error, but {:?}", y.shape()),
        Err(_) => panic!("{what}: a panic instead of an error"),
    }
}

/// The text without the backtrace that candle may append, which also contains names of functions.
pub fn first_line(error: &Error) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

/// The word before the first blank: the name of the function.
fn function(name: &str) -> &str {
    name.split(' ').next().unwrap_or(name)
}

#[test]
fn mixed_types_are_errors_that_name_the_operand() {
    for row in ROWS {
        let operands = operands(row, ORDINARY);
        for (at, other) in (1..operands.len()).zip([DType::F64, DType::F16, DType::U32, DType::F64])
        {
            let mut mixed = operands.clone();
            mixed[at] = mixed[at].to_dtype(other).unwrap();
            let what = format!("{}, operand {at} in {other:?}", row.name);
            let message = message(&what, || (row.op)(&mixed));
            let type_name = format!("{other:?}");
            assert!(message.contains(&type_name) && message.contains("F32"), "{what}: {message}");
        }
    }
}

#[test]
fn rejects_integers() {
    for row in ROWS {
        for dtype in [DType::U8, DType::U32, DType::I64] {
            let whole: Vec<_> =
                operands(row, ORDINARY).iter().map(|it| it.to_dtype(dtype).unwrap()).collect();
            let what = format!("{} in {dtype:?}", row.name);
            let message = message(&what, || (row.op)(&whole));
            assert!(message.contains(&format!("{dtype:?}")), "{what}: {message}");
        }
    }
}

/// Each operand with one more dimension, with one fewer, and with one more element along each axis.
#[test]
fn rejects_invalid_shapes() {
    for row in ROWS.iter().filter(|it| 1 < (it.shapes)(ORDINARY).len()) {
        let operands = operands(row, ORDINARY);
        for at in 0..operands.len() {
            let shape = operands[at].dims().to_vec();
            let longer = |axis: usize| {
                let mut shape = shape.clone();
                shape[axis] += 1;
                shape
            };
            let mut shapes: Vec<Vec<usize>> = (0..shape.len()).map(longer).collect();
            shapes.push([&shape[..], &[1]].concat());
            shapes.push(shape[1..].to_vec());
            shapes.push(Vec::new());
            for shape in shapes {
                let mut misfit = operands.clone();
                misfit[at] = normal(at as u32, &shape);
                if is_fine(row.name, at, &shape) {
                    continue;
                }
                let what = format!("{}, operand {at} as {shape:?}", row.name);
                let message = message(&what, || (row.op)(&misfit));
                let name = function(row.name);
                let named = message.contains(name) || message.contains(&format!("{shape:?}"));
                assert!(named, "{what}: {message}");
            }
        }
    }
}

/// True if the changed shape of one operand is also valid.
fn is_fine(name: &str, at: usize, shape: &[usize]) -> bool {
    let alone_in_axis = |axes: &[usize], dims: &[usize]| {
        shape.len() == dims.len()
            && shape.iter().zip(dims).enumerate().all(|(i, (a, b))| a == b || axes.contains(&i))
    };
    let rows = ROWS.iter().find(|it| it.name == name).unwrap();
    let dims = &(rows.shapes)(ORDINARY)[at];
    match (function(name), at) {
        // Any batch and any size of image.
        ("conv2d" | "conv2d_padded" | "group_norm" | "group_norm_silu", 0) => {
            alone_in_axis(&[0, 2, 3], dims)
        }
        ("group_norm_scale_shift_silu" | "add_channels", 0) => alone_in_axis(&[2, 3], dims),
        ("linear", 0) => alone_in_axis(&[0], dims),
        ("concat_channels", _) => alone_in_axis(&[1], dims),
        // Without a bias to disagree, any number of outputs.
        ("conv2d_padded", 1) => alone_in_axis(&[0], dims),
        ("conv2d", 1) if name.ends_with("without bias") => alone_in_axis(&[0], dims),
        _ => false,
    }
}

/// A call that must fail.
type Call<'a> = Box<dyn Fn() -> Result<Tensor> + 'a>;

#[test]
fn rejects_invalid_options() {
    let x = normal(1, &[2, 6, 5, 4]);
    let (weight, bias) = (normal(2, &[6]), normal(3, &[6]));
    let even = normal(2, &[6, 6, 2, 2]);
    let kernel = normal(2, &[6, 6, 3, 3]);
    let key = DropoutKey { seed: 1, position: 0 };
    let last = DropoutKey { seed: 1, position: u64::MAX };
    let flat = normal(1, &[2, 6]);
    #[rustfmt::skip]
    let table: Vec<(&str, &str, Call<'_>)> = vec![
        ("even kernel", "conv2d: weight", Box::new(|| uni_instruct_kernels::conv2d(&x, &even, None))),
        ("no padding", "padding 0", Box::new(|| uni_instruct_kernels::conv2d_padded(&x, &kernel, 0))),
        ("endless padding", "padding", Box::new(|| uni_instruct_kernels::conv2d_padded(&x, &kernel, usize::MAX / 2))),
        ("no groups", "0 groups", Box::new(|| uni_instruct_kernels::group_norm(&x, &weight, &bias, 0, 1e-5))),
        ("groups that do not divide", "4 groups", Box::new(|| uni_instruct_kernels::group_norm_silu(&x, &weight, &bias, 4, 1e-5))),
        ("no heads", "0 heads", Box::new(|| uni_instruct_kernels::attention(&x, 0))),
        ("heads that do not divide", "4 heads", Box::new(|| uni_instruct_kernels::attention(&x, 4))),
        ("endless heads", "heads", Box::new(|| uni_instruct_kernels::attention(&x, usize::MAX))),
        ("probability 1", "probability 1", Box::new(|| uni_instruct_kernels::dropout(&x, 1.0, key, 0))),
        ("probability below 0", "probability -0.1", Box::new(|| uni_instruct_kernels::dropout(&x, -0.1, key, 0))),
        ("probability NaN", "probability NaN", Box::new(|| uni_instruct_kernels::dropout(&x, f64::NAN, key, 0))),
        ("layer beyond the streams", "layer", Box::new(|| uni_instruct_kernels::dropout(&x, 0.5, key, u32::MAX))),
        ("position beyond the last", "position", Box::new(|| uni_instruct_kernels::dropout(&x, 0.5, last, 0))),
        ("flat image", "[2, 6]", Box::new(|| uni_instruct_kernels::upsample2(&flat, Filter::Box))),
        ("flat image", "[2, 6]", Box::new(|| uni_instruct_kernels::downsample2(&flat, Filter::Box))),
        ("flat image", "[2, 6]", Box::new(|| uni_instruct_kernels::downsample2_valid(&flat, Filter::Tent))),
        ("flat image", "[2, 6]", Box::new(|| uni_instruct_kernels::attention(&flat, 1))),
    ];
    for (what, expected, f) in table {
        let message = message(what, f);
        assert!(message.contains(expected), "{what}: {message}");
    }
}

/// No channels or no pixels: an error if the operation is undefined, else an empty result.
#[test]
fn empty_axes_never_panic() {
    for row in ROWS {
        for axis in 0..3 {
            let mut size = ORDINARY;
            [&mut size.channels, &mut size.height, &mut size.width][axis].clone_from(&0);
            let operands = operands(row, size);
            for dtype in [DType::F32, DType::F64] {
                let cast: Vec<_> = operands.iter().map(|it| it.to_dtype(dtype).unwrap()).collect();
                let what = format!("{}, {size:?}, {dtype:?}", row.name);
                match catch_unwind(AssertUnwindSafe(|| (row.op)(&cast))) {
                    Err(_) => panic!("{what}: a panic"),
                    Ok(Ok(y)) => {
                        let is_empty = |it: &Tensor| it.elem_count() == 0;
                        let from_none = !is_empty(&y) && operands.iter().any(is_empty);
                        let fine = has_numbers_from_none(row.name);
                        assert!(!from_none || fine, "{what}: {:?}", y.shape());
                    }
                    Ok(Err(error)) => {
                        let (text, name) = (first_line(&error), function(row.name));
                        assert!(text.contains(name) || text.contains('0'), "{what}: {text}");
                    }
                }
            }
        }
    }
}

/// True for operations with a non-empty result: concatenation with another operand, and a sum
/// without terms, which is the bias.
fn has_numbers_from_none(name: &str) -> bool {
    ["concat_channels", "linear"].contains(&name)
}
