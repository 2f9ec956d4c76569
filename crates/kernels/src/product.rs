//! Matrix products on one thread, by the `gemm` crate, on strided views of slices.

use std::mem::MaybeUninit;

use gemm::Parallelism;

/// A matrix within a slice: entry `(i, j)` is at `i · row_stride + j · column_stride`.
#[derive(Clone, Copy)]
pub(super) struct Matrix<'a> {
    numbers: &'a [f32],
    row_stride: usize,
    column_stride: usize,
}

impl<'a> Matrix<'a> {
    /// Rows that begin `stride` numbers apart.
    pub(super) fn rows(numbers: &'a [f32], stride: usize) -> Self {
        Self { numbers, row_stride: stride, column_stride: 1 }
    }

    /// The transpose.
    pub(super) fn t(self) -> Self {
        Self { row_stride: self.column_stride, column_stride: self.row_stride, ..self }
    }

    fn holds(&self, rows: usize, columns: usize) -> bool {
        reach(rows, columns, self.row_stride, self.column_stride) <= self.numbers.len()
    }
}

/// `c = scale · a b` for `a: [m, k]`, `b: [k, n]`; rows of `c` begin `stride` numbers apart.
pub(super) fn product(
    c: &mut [MaybeUninit<f32>],
    stride: usize,
    size: [usize; 3],
    a: Matrix<'_>,
    b: Matrix<'_>,
    scale: f32,
) {
    assert!(reach(size[0], size[1], stride, 1) <= c.len(), "the product's buffer is too small");
    // SAFETY: `c` holds the product by the check above, and is not read.
    unsafe { run(c.as_mut_ptr().cast(), stride, size, a, b, scale, false) }
}

/// `c += a b`, otherwise as [`product`].
pub(super) fn add_product(
    c: &mut [f32],
    stride: usize,
    size: [usize; 3],
    a: Matrix<'_>,
    b: Matrix<'_>,
) {
    assert!(reach(size[0], size[1], stride, 1) <= c.len(), "the product's buffer is too small");
    // SAFETY: `c` holds the product by the check above, and is initialised.
    unsafe { run(c.as_mut_ptr(), stride, size, a, b, 1.0, true) }
}

/// # Safety
///
/// `c` is valid for a matrix `[m, n]` with this stride, and initialised if `add`.
unsafe fn run(
    c: *mut f32,
    stride: usize,
    [m, n, k]: [usize; 3],
    a: Matrix<'_>,
    b: Matrix<'_>,
    scale: f32,
    add: bool,
) {
    /// Terms of a sum at a time where both factors are read along it: `gemm` copies them into
    /// another order first, which takes longer, the further apart their rows are.
    const TERMS: usize = 256;
    assert!(a.holds(m, k) && b.holds(k, n), "a factor is smaller than the product needs");
    let terms = if a.column_stride == 1 && b.row_stride == 1 { TERMS } else { k.max(1) };
    // An empty sum is written, too.
    for first in (0..k.max(1)).step_by(terms) {
        // SAFETY: the factors are within their slices by the check above, `c` by the caller's
        // word, and a unique borrow of it cannot overlap them.
        unsafe {
            gemm::gemm(
                m,
                n,
                terms.min(k - first),
                c,
                1,
                stride as isize,
                add || 0 < first,
                a.numbers.as_ptr().add(first * a.column_stride),
                a.column_stride as isize,
                a.row_stride as isize,
                b.numbers.as_ptr().add(first * b.row_stride),
                b.column_stride as isize,
                b.row_stride as isize,
                1.0,
                scale,
                false,
                false,
                false,
                Parallelism::None,
            );
        }
    }
}

/// Numbers from the first entry of a matrix to its last.
fn reach(rows: usize, columns: usize, row_stride: usize, column_stride: usize) -> usize {
    match (rows.checked_sub(1), columns.checked_sub(1)) {
        (Some(i), Some(j)) => i * row_stride + j * column_stride + 1,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_product_is_written_and_added_to() {
        // [[1, 2], [3, 4], [5, 6]] and its transpose.
        let numbers = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let a = Matrix::rows(&numbers, 2);
        let mut c = [MaybeUninit::new(f32::NAN); 9];
        product(&mut c, 3, [3, 3, 2], a, a.t(), 2.0);
        // SAFETY: the product has written all nine.
        let mut c = c.map(|it| unsafe { it.assume_init() });
        assert_eq!(c, [10.0, 22.0, 34.0, 22.0, 50.0, 78.0, 34.0, 78.0, 122.0]);
        add_product(&mut c, 3, [3, 3, 2], a, a.t());
        assert_eq!(c, [15.0, 33.0, 51.0, 33.0, 75.0, 117.0, 51.0, 117.0, 183.0]);
    }
}
