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
    /// A matrix whose rows are at distances of `stride` elements.
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

/// `c = scale · a b` for `a: [m, k]`, `b: [k, n]`; rows of `c` are at distances of `stride`
/// elements.
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
    // SAFETY: `c` holds the product by the check above, and is initialized.
    unsafe { run(c.as_mut_ptr(), stride, size, a, b, 1.0, true) }
}

/// # Safety
///
/// `c` is valid for a matrix `[m, n]` with this stride, and initialized if `add`.
unsafe fn run(
    c: *mut f32,
    stride: usize,
    [m, n, k]: [usize; 3],
    a: Matrix<'_>,
    b: Matrix<'_>,
    scale: f32,
    add: bool,
) {
    /// Terms of a sum at a time if both factors are contiguous along the sum. `gemm` reorders them
    /// first, which takes longer for larger distances of their rows.
    const TERMS: usize = 256;
    assert!(a.holds(m, k) && b.holds(k, n), "a factor is smaller than the product needs");
    let terms = if a.column_stride == 1 && b.row_stride == 1 { TERMS } else { k.max(1) };
    // An empty sum is written as well.
    for first in (0..k.max(1)).step_by(terms) {
        // SAFETY: the factors are within their slices by the check above. The caller guarantees the
        // size of `c`, and its unique borrow cannot overlap the factors.
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

/// Number of elements from the first entry of a matrix to its last.
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
