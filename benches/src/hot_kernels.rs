//! The hot kernels at one shape each, small enough for counting instructions.
//!
//! The shapes occur in the small DDPM++ with a batch of two. Forward kernels run on frozen
//! operands; the others run forward and backward with tracked operands.

use std::hint::black_box;

use candle_core::{Device, Result, Tensor, Var};
use kernels::Filter;
use kernels::adam::{self, AdamConfig};
use kernels::noise::NoiseStream;

use crate::pass::discard;
use crate::prepare::Iteration;

/// Images in a batch.
const BATCH: usize = 2;
const GROUPS: usize = 8;
const EPS: f64 = 1e-6;
/// Seed of all operands.
const SEED: u64 = 5;

/// Operands for which gradients are computed.
#[derive(Clone, Copy)]
enum Gradients {
    /// No operand.
    None,
    /// All operands.
    All,
    /// The first operand alone: a frozen layer.
    First,
}

type Op = fn(&[Tensor]) -> Result<Tensor>;

/// A row: name, shapes of the operands, operation, gradients.
type Row = (&'static str, &'static [&'static [usize]], Op, Gradients);

#[rustfmt::skip]
const ROWS: &[Row] = &[
    ("conv3-first", &[&[BATCH, 3, 32, 32], &[32, 3, 3, 3], &[32]], conv, Gradients::None),
    ("conv3-32", &[&[BATCH, 32, 32, 32], &[32, 32, 3, 3], &[32]], conv, Gradients::None),
    ("conv3-32-input", &[&[BATCH, 32, 32, 32], &[32, 32, 3, 3], &[32]], conv, Gradients::First),
    ("conv3-32-all", &[&[BATCH, 32, 32, 32], &[32, 32, 3, 3], &[32]], conv, Gradients::All),
    ("conv3-64-all", &[&[BATCH, 64, 8, 8], &[64, 64, 3, 3], &[64]], conv, Gradients::All),
    ("conv1-192-all", &[&[BATCH, 64, 16, 16], &[192, 64, 1, 1], &[192]], conv, Gradients::All),
    ("group-norm-silu", &[&[BATCH, 32, 32, 32], &[32], &[32]], norm, Gradients::None),
    ("group-norm-silu-all", &[&[BATCH, 32, 32, 32], &[32], &[32]], norm, Gradients::All),
    ("attention", &[&[BATCH, 192, 16, 16]], attention, Gradients::None),
    ("attention-all", &[&[BATCH, 192, 16, 16]], attention, Gradients::All),
    ("upsample-all", &[&[BATCH, 64, 16, 16]], |it| kernels::upsample2(&it[0], Filter::Box), Gradients::All),
    ("downsample-all", &[&[BATCH, 64, 32, 32]], |it| kernels::downsample2(&it[0], Filter::Box), Gradients::All),
    ("add-scaled-all", &[&[BATCH, 64, 32, 32], &[BATCH, 64, 32, 32]], |it| kernels::add_scaled(&it[0], &it[1], 0.5), Gradients::All),
    ("concat-all", &[&[BATCH, 64, 32, 32], &[BATCH, 32, 32, 32]], |it| kernels::concat_channels(&it[0], &it[1]), Gradients::All),
];

/// Name and size of the optimizer's row. It changes its operands, so it is not an [`Op`].
const ADAM: (&str, usize) = ("adam", 1 << 16);

fn conv(it: &[Tensor]) -> Result<Tensor> {
    kernels::conv2d(&it[0], &it[1], Some(&it[2]))
}

fn norm(it: &[Tensor]) -> Result<Tensor> {
    kernels::group_norm_silu(&it[0], &it[1], &it[2], GROUPS, EPS)
}

fn attention(it: &[Tensor]) -> Result<Tensor> {
    kernels::attention(&it[0], 1)
}

/// Lists all names, in the order of the table.
pub fn names() -> Vec<&'static str> {
    ROWS.iter().map(|row| row.0).chain([ADAM.0]).collect()
}

/// Prepares the kernel with this name and its operands.
///
/// # Errors
///
/// If no kernel has this name.
pub fn prepare(name: &str) -> crate::Result<Iteration> {
    if name == ADAM.0 {
        return adam();
    }
    let Some(&(_, shapes, op, gradients)) = ROWS.iter().find(|row| row.0 == name) else {
        return Err(format!("no kernel `{name}`; there are: {}", names().join(", ")).into());
    };
    let mut operands = shapes
        .iter()
        .zip(0..)
        .map(|(shape, stream)| normal(stream, shape))
        .collect::<Result<Vec<_>>>()?;
    let tracked = match gradients {
        Gradients::None => 0,
        Gradients::First => 1,
        Gradients::All => operands.len(),
    };
    for operand in &mut operands[..tracked] {
        *operand = Var::from_tensor(operand)?.into_inner();
    }
    Ok(Box::new(move || {
        let y = op(black_box(&operands))?;
        Ok(match gradients {
            Gradients::None => discard(Ok(y)),
            Gradients::First | Gradients::All => discard(y.backward()),
        }?)
    }))
}

fn normal(stream: u32, shape: &[usize]) -> Result<Tensor> {
    NoiseStream::new(SEED, stream).normal_tensor(0, shape, &Device::Cpu)
}

fn adam() -> crate::Result<Iteration> {
    let (config, shape) = (AdamConfig::default(), [1, ADAM.1]);
    let var = |stream| Var::from_tensor(&normal(stream, &shape)?);
    let (param, first) = (var(0)?, var(1)?);
    // Second moments are not negative.
    let second = Var::from_tensor(&normal(2, &shape)?.sqr()?)?;
    let gradient = normal(3, &shape)?;
    Ok(Box::new(move || Ok(adam::step(&config, 1, &param, &first, &second, &gradient)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kernel_runs() {
        for name in names() {
            prepare(name).unwrap()().unwrap_or_else(|error| panic!("{name}: {error}"));
        }
        assert!(prepare("conv9").err().unwrap().to_string().contains("conv3-32"));
    }
}
