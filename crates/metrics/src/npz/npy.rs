//! One `.npy` array: a magic, a header with the text of a Python dictionary, then the values.
//!
//! Format: NumPy enhancement proposal 1, versions 1.0 to 3.0.

use super::{Array, Values};

/// Largest number of axes of an array; reference statistics have one or two.
pub const MAX_AXES: usize = 4;

const MAGIC: &[u8] = b"\x93NUMPY";

/// Alignment of the values, to which the header is padded.
const ALIGNMENT: usize = 64;

pub(super) fn decode(bytes: &[u8]) -> Result<Array, String> {
    let truncated = || "truncated".to_owned();
    let rest = bytes.strip_prefix(MAGIC).ok_or("not a NumPy array")?;
    let (version, rest) = rest.split_at_checked(2).ok_or_else(truncated)?;
    let width = match version[0] {
        1 => 2,
        2 | 3 => 4,
        other => return Err(format!("format version {other}, only 1 to 3 are read")),
    };
    let (length, rest) = rest.split_at_checked(width).ok_or_else(truncated)?;
    let length = length.iter().rev().fold(0usize, |sum, &byte| sum << 8 | usize::from(byte));
    let (header, data) = rest.split_at_checked(length).ok_or_else(truncated)?;
    let header = std::str::from_utf8(header).map_err(|_| "header is not text")?;

    let shape = shape(header)?;
    let count = shape.iter().try_fold(1usize, |count, &n| count.checked_mul(n));
    let fits = |width| count.and_then(|n| n.checked_mul(width)) == Some(data.len());
    let mismatch = || format!("shape {shape:?} does not fit its {} bytes", data.len());
    let values = match field(header, "descr")?.trim_matches(['\'', '"']) {
        "<f4" if fits(4) => Values::F32(decode_values(data, f32::from_le_bytes)),
        "<f8" if fits(8) => Values::F64(decode_values(data, f64::from_le_bytes)),
        "<f4" | "<f8" => return Err(mismatch()),
        other => return Err(format!("values of type `{other}`, only <f4 and <f8 are read")),
    };
    let values = match (field(header, "fortran_order")?, shape.len(), values) {
        ("False", _, values) | ("True", 0 | 1, values) => values,
        ("True", 2, Values::F32(values)) => Values::F32(transposed(&values, shape[1])),
        ("True", 2, Values::F64(values)) => Values::F64(transposed(&values, shape[1])),
        ("True", ..) => return Err("Fortran order with more than two axes".to_owned()),
        (other, ..) => return Err(format!("fortran_order is `{other}`")),
    };
    Ok(Array { shape, values })
}

pub(super) fn encode(array: &Array) -> Result<Vec<u8>, String> {
    let (descr, count) = match &array.values {
        Values::F32(values) => ("<f4", values.len()),
        Values::F64(values) => ("<f8", values.len()),
    };
    if MAX_AXES < array.shape.len() {
        return Err(format!("{} axes, at most {MAX_AXES}", array.shape.len()));
    }
    if array.shape.iter().try_fold(1usize, |count, &n| count.checked_mul(n)) != Some(count) {
        return Err(format!("shape {:?} does not fit its {count} values", array.shape));
    }
    let axes: String = array.shape.iter().map(|n| format!("{n}, ")).collect();
    let mut header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({axes}), }}");
    let prefix = MAGIC.len() + 4;
    let length = (prefix + header.len() + 1).next_multiple_of(ALIGNMENT) - prefix;
    header.extend(std::iter::repeat_n(' ', length - header.len() - 1));
    header.push('\n');

    let mut bytes = MAGIC.to_vec();
    bytes.extend([1, 0]);
    let length = u16::try_from(length).expect("a header of a few axes is short");
    bytes.extend(length.to_le_bytes());
    bytes.extend(header.as_bytes());
    match &array.values {
        Values::F32(values) => bytes.extend(values.iter().flat_map(|x| x.to_le_bytes())),
        Values::F64(values) => bytes.extend(values.iter().flat_map(|x| x.to_le_bytes())),
    }
    Ok(bytes)
}

/// Finds the text of a value in the header's dictionary, up to the comma that ends it.
fn field<'a>(header: &'a str, key: &str) -> Result<&'a str, String> {
    let missing = || format!("header has no `{key}`");
    let quoted = [format!("'{key}':"), format!("\"{key}\":")];
    let start = quoted.iter().find_map(|key| header.find(key.as_str()).map(|at| at + key.len()));
    let value = header[start.ok_or_else(missing)?..].trim_start();
    let end = if value.starts_with('(') {
        value.find(')').map(|at| at + 1)
    } else {
        value.find([',', '}'])
    };
    Ok(value[..end.ok_or_else(missing)?].trim_end())
}

fn shape(header: &str) -> Result<Vec<usize>, String> {
    let text = field(header, "shape")?;
    let bad = || format!("shape `{text}` is not a tuple of sizes");
    let inner = text.strip_prefix('(').and_then(|text| text.strip_suffix(')')).ok_or_else(bad)?;
    let axes = inner.split(',').map(str::trim).filter(|axis| !axis.is_empty());
    let shape: Vec<usize> =
        axes.map(|axis| axis.parse().map_err(|_| bad())).collect::<Result<_, _>>()?;
    if shape.len() <= MAX_AXES {
        Ok(shape)
    } else {
        Err(format!("{} axes, at most {MAX_AXES}", shape.len()))
    }
}

fn decode_values<T, const W: usize>(data: &[u8], decode: fn([u8; W]) -> T) -> Vec<T> {
    data.as_chunks().0.iter().map(|&bytes| decode(bytes)).collect()
}

/// Converts a matrix with `columns` columns from column-major to row-major order.
fn transposed<T: Copy>(values: &[T], columns: usize) -> Vec<T> {
    let rows = values.len().checked_div(columns).unwrap_or(0);
    (0..rows).flat_map(|row| values.iter().skip(row).step_by(rows).copied()).collect()
}
