//! Tests of the metrics: other tools' values, closed forms, invariances, bad input.

mod bootstrap;
mod classification;
mod distances;
mod feature_net;
mod golden;
mod memorization;
mod neighbors;
mod npz;
mod sets;

use std::path::PathBuf;

use kernels::noise::NoiseStream;

use crate::{Matrix, Result};

#[track_caller]
fn assert_close(got: f64, expected: f64, tolerance: f64) {
    let error = (got - expected).abs();
    assert!(error <= tolerance, "{got}, expected {expected}, error {error:.1e} > {tolerance:.0e}");
}

/// Formats an error with all its sources.
#[track_caller]
fn message<T>(result: Result<T>) -> String {
    let Err(error) = result else { panic!("no error") };
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

fn testdata(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../testdata/metrics").join(name)
}

/// Makes `count` rows of `dim` standard normal values.
fn normal_rows(stream: u32, count: usize, dim: usize) -> Matrix {
    let mut values = vec![0.0; count * dim];
    let noise = NoiseStream::new(1, stream);
    values.chunks_mut(dim).enumerate().for_each(|(i, row)| noise.fill_normal(i as u64, row));
    rows(values, dim)
}

fn rows(values: Vec<f32>, dim: usize) -> Matrix {
    Matrix::new("test", values, dim).unwrap()
}

/// Applies `f` to each row.
fn map_rows(x: &Matrix, f: impl Fn(&[f32]) -> Vec<f32>) -> Matrix {
    rows(x.iter().flat_map(f).collect(), x.dim())
}
