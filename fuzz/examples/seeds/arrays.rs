//! NumPy's archives and arrays.

use metrics::npz::{Array, Arrays, Values, to_bytes};
use zip::CompressionMethod;

use crate::Seed;
use crate::archives::{overlapping, zip};

/// Encodes an array with this header.
fn npy(header: &str, data: &[u8]) -> Vec<u8> {
    let length = (header.len() as u16).to_le_bytes();
    [b"\x93NUMPY\x01\x00".as_slice(), &length, header.as_bytes(), data].concat()
}

fn header(dtype: &str, order: &str, shape: &str) -> String {
    format!("{{'descr': '{dtype}', 'fortran_order': {order}, 'shape': {shape}, }}\n")
}

pub fn seeds() -> Vec<Seed> {
    use CompressionMethod::{Deflated, Stored};
    let array = |shape: &[usize], values| Array { shape: shape.to_vec(), values };
    let arrays = Arrays::from([
        ("mu".to_owned(), array(&[2], Values::F64(vec![1.0, f64::NAN]))),
        ("sigma".to_owned(), array(&[2, 2], Values::F32(vec![0.0, 1.0, 2.0, 3.0]))),
        ("one".to_owned(), array(&[], Values::F32(vec![7.0]))),
        ("none".to_owned(), array(&[0, 4], Values::F64(vec![]))),
    ]);
    let statistics = to_bytes("seed", &arrays).expect("shapes that fit");
    let torn = statistics[..statistics.len() - 1].to_vec();
    let six = npy(&header("<f4", "True", "(2, 3)"), &[1; 24]);
    let wide =
        b"\x93NUMPY\x02\x00\x32\x00\x00\x00{'descr':'<f8','fortran_order':False,'shape':(1,)} ";
    let named = |name: &str| zip(&[(name, &six)], Stored);
    vec![
        ("statistics", statistics),
        ("fortran-npy", six.clone()),
        ("fortran", named("x.npy")),
        ("scalar-npy", npy(&header("<f8", "False", "()"), &[0; 8])),
        ("second-version-npy", [&wide[..], &[0; 8]].concat()),
        ("hostile-object-npy", npy(&header("|O", "False", "(1,)"), b"\x80\x02cos\nsystem\n.")),
        ("hostile-dtype-npy", npy(&header(">f4", "False", "(1,)"), &[0; 4])),
        ("hostile-product-npy", npy(&header("<f4", "False", "(4294967296, 4294967296)"), &[0; 4])),
        ("hostile-empty-npy", npy(&header("<f8", "True", "(0, 18446744073709551615)"), &[])),
        ("hostile-axes-npy", npy(&header("<f4", "False", "(1, 1, 1, 1, 1)"), &[0; 4])),
        ("hostile-deflated", zip(&[("x.npy", &[0; 500])], Deflated)),
        ("hostile-up", named("../../x.npy")),
        (
            "hostile-overlap",
            overlapping("0.npy", &npy(&header("<f4", "False", "(150,)"), &[0; 600])),
        ),
        ("torn", torn),
    ]
}
