//! Kernels whose threads share memory, one small case each, for the thread sanitizer, which runs a
//! block as hundreds of threads of the operating system. Sums are longer than the depth of a tile,
//! so every tile is rewritten after it was read.

use candle_core::{Result, Tensor};

use crate::comparing::{TYPES, assert_agrees_in, normal};

#[track_caller]
fn check(what: &str, args: &[Tensor], f: impl Fn(&[Tensor]) -> Result<Tensor>) {
    assert_agrees_in(&TYPES[..1], what, args, f);
}

#[test]
fn convolutions_share_tiles() {
    // Too few terms, or too few channels, for cuBLAS.
    for (kernel, inputs, outputs) in [(1, 20, 18), (3, 13, 12)] {
        let weight = (normal(2, &[outputs, inputs, kernel, kernel]) * 0.1).unwrap();
        let args = [normal(1, &[2, inputs, 4, 5]), weight, normal(3, &[outputs])];
        check("convolution", &args, |it| kernels::conv2d(&it[0], &it[1], Some(&it[2])));
    }
}

#[test]
fn norms_share_sums() {
    let affine = [normal(2, &[4]), normal(3, &[4])];
    let args = [[normal(1, &[2, 4, 12, 12])].as_slice(), &affine].concat();
    check("group norm", &args, |it| kernels::group_norm(&it[0], &it[1], &it[2], 2, 1e-3));
    check("group norm and silu", &args, |it| {
        kernels::group_norm_silu(&it[0], &it[1], &it[2], 2, 1e-3)
    });
}

#[test]
fn attention_shares_tiles_and_sums() {
    let qkv = normal(1, &[1, 60, 4, 5]);
    check("attention", &[qkv], |it| kernels::attention(&it[0], 1));
}

#[test]
fn sums_of_rows_are_shared() {
    let args = [normal(1, &[1, 2, 9, 11]), normal(2, &[1, 2])];
    check("add_channels", &args, |it| kernels::add_channels(&it[0], &it[1]));
}
