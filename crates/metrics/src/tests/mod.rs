//! Tests of the statistics: other tools' figures, closed forms, invariances, bad input.

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

use crate::{Result, Rows};

#[track_caller]
fn assert_close(got: f64, want: f64, tolerance: f64) {
    let error = (got - want).abs();
    assert!(error <= tolerance, "got {got}, want {want}, error {error:.1e} over {tolerance:.0e}");
}

/// The message of an error with all its sources.
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

/// `count` rows of `dim` standard normal numbers.
fn normal_rows(stream: u32, count: usize, dim: usize) -> Rows {
    let mut values = vec![0.0; count * dim];
    let noise = NoiseStream::new(1, stream);
    values.chunks_mut(dim).enumerate().for_each(|(i, row)| noise.fill_normal(i as u64, row));
    rows(values, dim)
}

fn rows(values: Vec<f32>, dim: usize) -> Rows {
    Rows::new("test", values, dim).unwrap()
}

/// The rows with `f` applied to each.
fn map_rows(x: &Rows, f: impl Fn(&[f32]) -> Vec<f32>) -> Rows {
    rows(x.iter().flat_map(f).collect(), x.dim())
}
