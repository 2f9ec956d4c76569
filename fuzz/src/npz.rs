//! NumPy's archives of arrays.

use metrics::npz::{Arrays, Values, from_bytes, to_bytes};

use crate::around::zip;

/// Target for `.npz` files, and for `.npy` arrays in an `.npz` file.
///
/// Properties of an accepted file: the number of values of each array matches its shape, all arrays
/// together have at most the bytes of the file, and they are the same after they are written and
/// read again.
pub fn npz(data: &[u8]) {
    check(data);
    check(&zip(&[("array.npy", data)]));
}

fn check(bytes: &[u8]) {
    let Ok(arrays) = from_bytes("input", bytes) else { return };
    let mut total = 0;
    for array in arrays.values() {
        let (count, width) = match &array.values {
            Values::F32(values) => (values.len(), size_of::<f32>()),
            Values::F64(values) => (values.len(), size_of::<f64>()),
        };
        assert_eq!(array.shape.iter().product::<usize>(), count);
        total += count * width;
    }
    assert!(total <= bytes.len(), "{total} bytes of arrays in a file of {}", bytes.len());
    let written = to_bytes("written", &arrays).expect("what was read can be written");
    let read = from_bytes("written", &written).expect("we wrote it");
    assert_eq!(bits(&read), bits(&arrays));
}

/// Lists names, shapes and bits, because NaN is not equal to itself.
fn bits(arrays: &Arrays) -> Vec<(&str, &[usize], Vec<u64>)> {
    let parts = arrays.iter().map(|(name, array)| {
        let bits = match &array.values {
            Values::F32(values) => values.iter().map(|it| it.to_bits().into()).collect(),
            Values::F64(values) => values.iter().map(|it| it.to_bits()).collect(),
        };
        (name.as_str(), array.shape.as_slice(), bits)
    });
    parts.collect()
}
