//! Every operation at the shapes of the three recipes: the small DDPM++ (32×32), CIFAR-10's DDPM++
//! and ImageNet-64's ADM. Timed by `cargo bench`, and compared with f64 by [`crate::accuracy`].

use candle_core::{Device, Result, Tensor};
use kernels::Filter;
use kernels::noise::NoiseStream;
use models::DropoutKey;

/// Seed of all operands.
const SEED: u64 = 5;
/// Value that EDM's norms add to the variance.
const EPS: f64 = 1e-6;
const KEY: DropoutKey = DropoutKey { seed: SEED, position: 0 };

/// Function of the operands.
pub type Op = fn(&[Tensor]) -> Result<Tensor>;

/// One operation at one shape.
#[derive(Clone, Copy)]
pub struct Operation {
    /// Recipe whose network has the operation.
    pub recipe: &'static str,
    /// Name in tables.
    pub name: &'static str,
    /// Shapes of the operands.
    pub shapes: &'static [&'static [usize]],
    /// Number of operands, from the first, whose first axis is the batch.
    pub per_sample: usize,
    /// The call.
    pub op: Op,
}

const fn row(
    recipe: &'static str,
    name: &'static str,
    shapes: &'static [&'static [usize]],
    per_sample: usize,
    op: Op,
) -> Operation {
    Operation { recipe, name, shapes, per_sample, op }
}

/// All operations by recipe, at the batch size of the recipe's network.
#[rustfmt::skip]
pub const OPERATIONS: &[Operation] = &[
    row("small", "conv2d 3x3, first", &[&[32, 3, 32, 32], &[32, 3, 3, 3], &[32]], 1, conv),
    row("small", "conv2d 3x3, full", &[&[32, 32, 32, 32], &[32, 32, 3, 3], &[32]], 1, conv),
    row("small", "conv2d 3x3, half", &[&[32, 64, 16, 16], &[64, 64, 3, 3], &[64]], 1, conv),
    row("small", "conv2d 3x3, quarter", &[&[32, 64, 8, 8], &[64, 64, 3, 3], &[64]], 1, conv),
    row("small", "conv2d 1x1, qkv", &[&[32, 64, 16, 16], &[192, 64, 1, 1], &[192]], 1, conv),
    row("small", "group_norm_silu", &[&[32, 32, 32, 32], &[32], &[32]], 1, |it| norm(it, 8)),
    row("small", "attention", &[&[32, 192, 16, 16]], 1, |it| kernels::attention(&it[0], 1)),
    row("small", "upsample2", &[&[32, 64, 16, 16]], 1, |it| kernels::upsample2(&it[0], Filter::Box)),
    row("small", "downsample2", &[&[32, 32, 32, 32]], 1, |it| kernels::downsample2(&it[0], Filter::Box)),
    row("small", "concat_channels", &[&[32, 32, 32, 32], &[32, 64, 32, 32]], 2, concat),
    row("small", "add_scaled", &[&[32, 32, 32, 32], &[32, 32, 32, 32]], 2, add_scaled),
    row("small", "add_channels", &[&[32, 32, 32, 32], &[32, 32]], 2, add_channels),
    row("small", "dropout", &[&[32, 32, 32, 32]], 1, dropout),
    row("small", "silu", &[&[32, 128]], 1, |it| kernels::silu(&it[0])),
    row("small", "linear", &[&[32, 128], &[128, 128], &[128]], 1, linear),
    row("cifar10", "conv2d 3x3, full", &[&[4, 256, 32, 32], &[256, 256, 3, 3], &[256]], 1, conv),
    row("cifar10", "conv2d 3x3, decoder", &[&[4, 512, 16, 16], &[256, 512, 3, 3], &[256]], 1, conv),
    row("cifar10", "conv2d 3x3, quarter", &[&[4, 256, 8, 8], &[256, 256, 3, 3], &[256]], 1, conv),
    row("cifar10", "conv2d 1x1, qkv", &[&[4, 256, 16, 16], &[768, 256, 1, 1], &[768]], 1, conv),
    row("cifar10", "group_norm_silu", &[&[4, 256, 32, 32], &[256], &[256]], 1, |it| norm(it, 32)),
    row("cifar10", "attention", &[&[4, 768, 16, 16]], 1, |it| kernels::attention(&it[0], 1)),
    row("cifar10", "upsample2", &[&[4, 256, 16, 16]], 1, |it| kernels::upsample2(&it[0], Filter::Box)),
    row("cifar10", "upsample2, NCSN++", &[&[4, 256, 16, 16]], 1, |it| kernels::upsample2(&it[0], Filter::Tent)),
    row("cifar10", "downsample2", &[&[4, 256, 32, 32]], 1, |it| kernels::downsample2(&it[0], Filter::Box)),
    row("cifar10", "downsample2, NCSN++", &[&[4, 256, 32, 32]], 1, |it| kernels::downsample2(&it[0], Filter::Tent)),
    row("cifar10", "concat_channels", &[&[4, 256, 32, 32], &[4, 256, 32, 32]], 2, concat),
    row("cifar10", "add_scaled", &[&[4, 256, 32, 32], &[4, 256, 32, 32]], 2, add_scaled),
    row("cifar10", "add_channels", &[&[4, 256, 32, 32], &[4, 256]], 2, add_channels),
    row("cifar10", "dropout", &[&[4, 256, 32, 32]], 1, dropout),
    row("cifar10", "silu", &[&[4, 512]], 1, |it| kernels::silu(&it[0])),
    row("cifar10", "linear", &[&[4, 512], &[256, 512], &[256]], 1, linear),
    row("imagenet64", "conv2d 3x3, full", &[&[2, 192, 64, 64], &[192, 192, 3, 3], &[192]], 1, conv),
    row("imagenet64", "conv2d 3x3, half", &[&[2, 384, 32, 32], &[384, 384, 3, 3], &[384]], 1, conv),
    row("imagenet64", "conv2d 3x3, last", &[&[2, 768, 8, 8], &[768, 768, 3, 3], &[768]], 1, conv),
    row("imagenet64", "conv2d 1x1, qkv", &[&[2, 384, 32, 32], &[1152, 384, 1, 1], &[1152]], 1, conv),
    row("imagenet64", "group_norm_scale_shift_silu", &[&[2, 192, 64, 64], &[2, 192], &[2, 192], &[192], &[192]], 3, modulated),
    row("imagenet64", "attention", &[&[2, 1152, 32, 32]], 1, |it| kernels::attention(&it[0], 6)),
    row("imagenet64", "upsample2", &[&[2, 384, 32, 32]], 1, |it| kernels::upsample2(&it[0], Filter::Box)),
    row("imagenet64", "downsample2", &[&[2, 192, 64, 64]], 1, |it| kernels::downsample2(&it[0], Filter::Box)),
    row("imagenet64", "concat_channels", &[&[2, 384, 64, 64], &[2, 192, 64, 64]], 2, concat),
    row("imagenet64", "add_scaled", &[&[2, 192, 64, 64], &[2, 192, 64, 64]], 2, add_scaled),
    row("imagenet64", "dropout", &[&[2, 384, 32, 32]], 1, dropout),
    row("imagenet64", "silu", &[&[2, 768]], 1, |it| kernels::silu(&it[0])),
    row("imagenet64", "linear", &[&[2, 768], &[768, 768], &[768]], 1, linear),
];

/// Number of elements of each recipe's largest weight, which one call of the optimizer updates.
pub const WEIGHTS: [(&str, usize); 3] =
    [("small", 64 * 128 * 9), ("cifar10", 256 * 512 * 9), ("imagenet64", 768 * 1536 * 9)];

/// Shape of each recipe's noise, `[B, C, H, W]`.
pub const NOISES: [(&str, [usize; 4]); 3] =
    [("small", [32, 3, 32, 32]), ("cifar10", [4, 3, 32, 32]), ("imagenet64", [2, 3, 64, 64])];

fn conv(it: &[Tensor]) -> Result<Tensor> {
    kernels::conv2d(&it[0], &it[1], Some(&it[2]))
}

fn norm(it: &[Tensor], groups: usize) -> Result<Tensor> {
    kernels::group_norm_silu(&it[0], &it[1], &it[2], groups, EPS)
}

/// ADM has 32 groups at any number of channels.
fn modulated(it: &[Tensor]) -> Result<Tensor> {
    kernels::group_norm_scale_shift_silu(&it[0], &it[3], &it[4], &it[1], &it[2], 32, EPS)
}

fn concat(it: &[Tensor]) -> Result<Tensor> {
    kernels::concat_channels(&it[0], &it[1])
}

fn add_scaled(it: &[Tensor]) -> Result<Tensor> {
    kernels::add_scaled(&it[0], &it[1], std::f64::consts::FRAC_1_SQRT_2)
}

fn add_channels(it: &[Tensor]) -> Result<Tensor> {
    kernels::add_channels(&it[0], &it[1])
}

fn dropout(it: &[Tensor]) -> Result<Tensor> {
    kernels::dropout(&it[0], 0.13, KEY, 0)
}

fn linear(it: &[Tensor]) -> Result<Tensor> {
    kernels::linear(&it[0], &it[1], Some(&it[2]))
}

impl Operation {
    /// Makes standard normal operands in f32, with at most `batch` samples.
    ///
    /// # Errors
    ///
    /// If a tensor operation fails.
    pub fn operands(&self, batch: usize) -> Result<Vec<Tensor>> {
        let operand = |(index, shape): (usize, &&[usize])| {
            let mut shape = shape.to_vec();
            if index < self.per_sample {
                shape[0] = shape[0].min(batch);
            }
            normal(index as u32, &shape)
        };
        self.shapes.iter().enumerate().map(operand).collect()
    }

    /// Counts multiplications and additions of the forward pass of convolutions, linear maps and
    /// attention; `None` for other operations.
    pub fn flop(&self) -> Option<usize> {
        let product = |shape: &[usize]| shape.iter().product::<usize>();
        match (self.name.split([' ', ',']).next(), self.shapes) {
            (Some("conv2d"), [[batch, _, height, width], weight, ..]) => {
                Some(2 * batch * height * width * product(weight))
            }
            (Some("linear"), [[batch, _], weight, ..]) => Some(2 * batch * product(weight)),
            (Some("attention"), [[batch, packed, height, width]]) => {
                Some(4 * batch * packed / 3 * (height * width).pow(2))
            }
            _ => None,
        }
    }

    /// Counts the bytes of the operands in f32.
    pub fn bytes(&self) -> usize {
        size_of::<f32>() * self.shapes.iter().map(|it| it.iter().product::<usize>()).sum::<usize>()
    }
}

/// Makes a tensor of standard normal values.
///
/// # Errors
///
/// If a tensor operation fails.
pub fn normal(stream: u32, shape: &[usize]) -> Result<Tensor> {
    NoiseStream::new(SEED, stream).normal_tensor(0, shape, &Device::Cpu)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_operation_runs_and_has_a_unique_name() {
        let mut names = BTreeSet::new();
        for row in OPERATIONS {
            let name = format!("{}/{}", row.recipe, row.name);
            let y = (row.op)(&row.operands(1).unwrap()).unwrap_or_else(|it| panic!("{name}: {it}"));
            assert_eq!(y.dims()[0], 1, "{name}");
            assert!(names.insert(name.clone()), "{name} twice");
        }
    }

    #[test]
    fn flop_counts_convolutions_linear_maps_and_attention() {
        let flop = |recipe, name| {
            let row = OPERATIONS.iter().find(|it| it.recipe == recipe && it.name == name);
            row.unwrap().flop()
        };
        assert_eq!(flop("small", "conv2d 3x3, full"), Some(2 * 32 * 32 * 32 * 9 * 1024 * 32 / 32));
        assert_eq!(flop("imagenet64", "attention"), Some(4 * 2 * 384 * 1024 * 1024));
        assert_eq!(flop("small", "linear"), Some(2 * 32 * 128 * 128));
        assert_eq!(flop("small", "dropout"), None);
    }
}
