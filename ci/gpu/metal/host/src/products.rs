//! candle's matrix-matrix and matrix-vector products.

use std::sync::Arc;

use candle_metal_kernels::metal::{Kernel, Launch};

use crate::values::{Type, Values, bound};

/// Returns the kernel `gemm_<transposed>_<type>_<type>_<tiles>` or `gemv[_t]_<type>_<tiles>`.
pub fn kernel(name: &str) -> Option<Kernel> {
    let words: Vec<&str> = name.split('_').collect();
    Some(match words.as_slice() {
        ["gemm", transposed, ty, ..] => {
            let ty = Type::named(ty)?;
            let (a, b) = (transposed.starts_with('t'), transposed.ends_with('t'));
            Arc::new(move |it: &Launch<'_>| gemm(it, ty, a, b))
        }
        ["gemv", "t", ty, ..] => {
            let ty = Type::named(ty)?;
            Arc::new(move |it: &Launch<'_>| gemv(it, ty, true))
        }
        ["gemv", ty, ..] => {
            let ty = Type::named(ty)?;
            Arc::new(move |it: &Launch<'_>| gemv(it, ty, false))
        }
        _ => return None,
    })
}

fn integer(values: Values, index: usize) -> usize {
    values.get(Type::U32, index) as usize
}

/// Product of matrices.
///
/// Arguments: both factors, unused, product, sizes, unused, number of products, strides between
/// their factors.
fn gemm(
    launch: &Launch<'_>,
    ty: Type,
    a_transposed: bool,
    b_transposed: bool,
) -> Result<(), String> {
    let (a, b, y, sizes) = (bound(launch, 0), bound(launch, 1), bound(launch, 3), bound(launch, 4));
    let [rows, columns, terms] = [0, 1, 2].map(|i| integer(sizes, i));
    let [a_row, b_row] = [3, 4].map(|i| integer(sizes, i));
    let (count, strides) = (integer(bound(launch, 6), 0), bound(launch, 7));
    let entry = |transposed: bool, row: usize, stride: usize, column: usize| {
        if transposed { column * stride + row } else { row * stride + column }
    };
    for product in 0..count {
        let [a_start, b_start] = [0, 1].map(|i| product * strides.size(i));
        for i in 0..rows {
            for j in 0..columns {
                let term = |k: usize| {
                    a.get(ty, a_start + entry(a_transposed, i, a_row, k))
                        * b.get(ty, b_start + entry(b_transposed, k, b_row, j))
                };
                y.set(ty, (product * rows + i) * columns + j, (0..terms).map(term).sum());
            }
        }
    }
    Ok(())
}

/// Product of a matrix and a vector.
///
/// Arguments: matrix, vector, unused, product, terms, rows, row stride, two factors, dimensions,
/// number of products, strides between vectors and between matrices.
fn gemv(launch: &Launch<'_>, ty: Type, transposed: bool) -> Result<(), String> {
    let (matrix, vector, y) = (bound(launch, 0), bound(launch, 1), bound(launch, 3));
    let [terms, rows, stride] = [4, 5, 6].map(|i| integer(bound(launch, i), 0));
    let count = integer(bound(launch, 10), 0);
    let [vectors, matrices] = [11, 12].map(|i| bound(launch, i).size(0));
    for product in 0..count {
        for i in 0..rows {
            let term = |k: usize| {
                let offset = if transposed { k * stride + i } else { i * stride + k };
                matrix.get(ty, product * matrices + offset) * vector.get(ty, product * vectors + k)
            };
            y.set(ty, product * rows + i, (0..terms).map(term).sum());
        }
    }
    Ok(())
}
