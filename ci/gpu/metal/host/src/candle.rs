//! candle's element-wise kernels, copies and reductions, by name.

use std::sync::Arc;

use candle_metal_kernels::metal::{Kernel, Launch};

use crate::products;
use crate::values::{Type, bound, offsets};

/// Suffixes of the kernels whose operands have strides.
const STRIDED: [&str; 8] =
    ["_scalar", "_sc", "_cs", "_rss", "_lss", "_rstrided", "_lstrided", "_strided"];

/// Returns the kernel of this name, if it is implemented here.
pub fn kernel(name: &str) -> Option<Kernel> {
    if let Some(product) = products::kernel(name) {
        return Some(product);
    }
    let (stem, strided) = match STRIDED.iter().find_map(|it| name.strip_suffix(it)) {
        Some(stem) => (stem, true),
        None => (name, false),
    };
    if let Some(types) = stem.strip_prefix("cast_") {
        let (from, to) = types.split_once('_')?;
        return Some(map(Type::named(from)?, Type::named(to)?, strided, |x| x));
    }
    let (operation, ty) = stem.rsplit_once('_')?;
    let ty = Type::named(ty)?;
    if let Some(f) = function(operation) {
        return Some(map(ty, ty, strided, f));
    }
    if let Some(f) = operator(operation) {
        return Some(zip(ty, ty, strided, f));
    }
    if let Some(f) = comparison(operation) {
        return Some(zip(ty, Type::U8, strided, f));
    }
    Some(match (operation, strided) {
        ("const_set", false) => Arc::new(move |it: &Launch<'_>| fill(it, ty)),
        ("affine", _) => Arc::new(move |it: &Launch<'_>| affine(it, ty, strided)),
        ("fast_sum", _) => reduce(ty, strided, 0.0, |a, b| a + b),
        ("fast_max", _) => reduce(ty, strided, f64::NEG_INFINITY, f64::max),
        ("copy2d", false) => Arc::new(move |it: &Launch<'_>| copy2d(it, ty)),
        _ => return None,
    })
}

fn function(name: &str) -> Option<fn(f64) -> f64> {
    Some(match name {
        "copy" => |x| x,
        "cos" => f64::cos,
        "sin" => f64::sin,
        "exp" => f64::exp,
        "log" => f64::ln,
        "neg" => |x| -x,
        "abs" => f64::abs,
        "sqr" => |x| x * x,
        "sqrt" => f64::sqrt,
        "recip" => f64::recip,
        "tanh" => f64::tanh,
        "relu" => |x| x.max(0.0),
        "silu" => |x| x / (1.0 + (-x).exp()),
        _ => return None,
    })
}

fn operator(name: &str) -> Option<fn(f64, f64) -> f64> {
    Some(match name {
        "badd" | "add" => |a, b| a + b,
        "bsub" | "sub" => |a, b| a - b,
        "bmul" | "mul" => |a, b| a * b,
        "bdiv" | "div" => |a, b| a / b,
        "bmaximum" => f64::max,
        "bminimum" => f64::min,
        _ => return None,
    })
}

fn comparison(name: &str) -> Option<fn(f64, f64) -> f64> {
    Some(match name {
        "eq" => |a, b| f64::from(u8::from(a == b)),
        "ge" => |a, b| f64::from(u8::from(a >= b)),
        "gt" => |a, b| f64::from(u8::from(a > b)),
        "le" => |a, b| f64::from(u8::from(a <= b)),
        "lt" => |a, b| f64::from(u8::from(a < b)),
        _ => return None,
    })
}

/// Returns the sizes bound at `index`; index 1 holds their number.
fn sizes(launch: &Launch<'_>, index: usize) -> Vec<usize> {
    (0..bound(launch, 1).size(0)).map(|i| bound(launch, index).size(i)).collect()
}

/// Element-wise function of one input.
///
/// Arguments: length, (dimensions, shape, strides,) input, output.
fn map(from: Type, to: Type, strided: bool, f: fn(f64) -> f64) -> Kernel {
    Arc::new(move |launch: &Launch<'_>| {
        let length = bound(launch, 0).size(0);
        let (first, offsets) = if strided {
            (4, offsets(&sizes(launch, 2), &sizes(launch, 3)))
        } else {
            (1, (0..length).collect())
        };
        let (x, y) = (bound(launch, first), bound(launch, first + 1));
        for (i, offset) in offsets.iter().enumerate() {
            y.set(to, i, f(x.get(from, *offset)));
        }
        Ok(())
    })
}

/// Element-wise function of two inputs.
///
/// Arguments: length, (dimensions, shape, both strides,) both inputs, output.
fn zip(from: Type, to: Type, strided: bool, f: fn(f64, f64) -> f64) -> Kernel {
    Arc::new(move |launch: &Launch<'_>| {
        let length = bound(launch, 0).size(0);
        let contiguous: Vec<usize> = (0..length).collect();
        let (first, left, right) = if strided {
            let offsets = |index| offsets(&sizes(launch, 2), &sizes(launch, index));
            (5, offsets(3), offsets(4))
        } else {
            (1, contiguous.clone(), contiguous)
        };
        let [a, b, y] = [0, 1, 2].map(|i| bound(launch, first + i));
        for (i, (left, right)) in left.iter().zip(&right).enumerate() {
            y.set(to, i, f(a.get(from, *left), b.get(from, *right)));
        }
        Ok(())
    })
}

/// Constant output.
///
/// Arguments: length, value, output.
fn fill(launch: &Launch<'_>, ty: Type) -> Result<(), String> {
    let [length, value, y] = [0, 1, 2].map(|i| bound(launch, i));
    (0..length.size(0)).for_each(|i| y.set(ty, i, value.get(ty, 0)));
    Ok(())
}

/// Product with a factor plus a summand.
///
/// Arguments: length, (dimensions, shape, strides,) factor, summand, input, output.
fn affine(launch: &Launch<'_>, ty: Type, strided: bool) -> Result<(), String> {
    let (first, offsets) = if strided {
        (4, offsets(&sizes(launch, 2), &sizes(launch, 3)))
    } else {
        (1, (0..bound(launch, 0).size(0)).collect())
    };
    let [factor, summand, x, y] = [0, 1, 2, 3].map(|i| bound(launch, first + i));
    let (factor, summand) = (factor.get(Type::F32, 0), summand.get(Type::F32, 0));
    for (i, offset) in offsets.iter().enumerate() {
        y.set(ty, i, factor * x.get(ty, *offset) + summand);
    }
    Ok(())
}

/// Reduction of rows.
///
/// Arguments: length, dimensions, shape, (strides,) terms of a result, input, output. The sizes
/// have 32 bits.
fn reduce(ty: Type, strided: bool, start: f64, f: fn(f64, f64) -> f64) -> Kernel {
    Arc::new(move |launch: &Launch<'_>| {
        let size = |index: usize, i: usize| bound(launch, index).get(Type::U32, i) as usize;
        let (length, dims) = (size(0, 0), size(1, 0));
        let all = |index: usize| (0..dims).map(|i| size(index, i)).collect::<Vec<_>>();
        let (first, offsets) =
            if strided { (4, offsets(&all(2), &all(3))) } else { (3, (0..length).collect()) };
        let (x, y) = (bound(launch, first + 1), bound(launch, first + 2));
        for (i, row) in offsets.chunks(size(first, 0).max(1)).enumerate() {
            y.set(ty, i, row.iter().fold(start, |sum, offset| f(sum, x.get(ty, *offset))));
        }
        Ok(())
    })
}

/// Copy of a matrix.
///
/// Arguments: rows, columns, row strides of the source and the target, source, target.
fn copy2d(launch: &Launch<'_>, ty: Type) -> Result<(), String> {
    let [rows, columns, source, target] = [0, 1, 2, 3].map(|i| bound(launch, i).size(0));
    let (x, y) = (bound(launch, 4), bound(launch, 5));
    for i in 0..rows {
        for j in 0..columns {
            y.set(ty, i * target + j, x.get(ty, i * source + j));
        }
    }
    Ok(())
}
