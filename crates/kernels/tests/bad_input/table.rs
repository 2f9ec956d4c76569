//! Table of operations: the shapes of their operands as functions of one size, and the call.

use candle_core::{Result, Tensor};
use uni_instruct_kernels::DropoutKey;
use uni_instruct_kernels::Filter;

/// Size from which a row computes its shapes.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    pub batch: usize,
    pub channels: usize,
    pub height: usize,
    pub width: usize,
}

impl Size {
    /// `[B, channels, H, W]`.
    fn image(self, channels: usize) -> Vec<usize> {
        vec![self.batch, channels, self.height, self.width]
    }
}

/// One operation.
pub struct Row {
    pub name: &'static str,
    /// Shapes of the operands.
    pub shapes: fn(Size) -> Vec<Vec<usize>>,
    /// Number of leading operands with one part per sample. The others are shared.
    pub per_sample: usize,
    /// Smallest height and width of an image.
    pub least: usize,
    pub op: fn(&[Tensor]) -> Result<Tensor>,
}

impl Row {
    /// True if images of this size are large enough.
    pub fn takes(&self, size: Size) -> bool {
        self.least <= size.height.min(size.width)
    }
}

/// The divisor of groups of one pixel, which have no variance; large enough for f32.
const EPS: f64 = 1e-3;
const KEY: DropoutKey = DropoutKey { seed: 3, position: 5 };

/// A convolution of `inputs` to `outputs` channels, with bias.
fn conv(size: Size, inputs: usize, outputs: usize, kernel: usize) -> Vec<Vec<usize>> {
    vec![size.image(inputs), vec![outputs, inputs, kernel, kernel], vec![outputs]]
}

fn with_bias(it: &[Tensor]) -> Result<Tensor> {
    uni_instruct_kernels::conv2d(&it[0], &it[1], Some(&it[2]))
}

fn one_image(size: Size) -> Vec<Vec<usize>> {
    vec![size.image(size.channels)]
}

const fn row(
    name: &'static str,
    shapes: fn(Size) -> Vec<Vec<usize>>,
    per_sample: usize,
    op: fn(&[Tensor]) -> Result<Tensor>,
) -> Row {
    Row { name, shapes, per_sample, least: 1, op }
}

/// All rows. Convolutions with 16 channels or more use Winograd's kernels if the size allows it,
/// those with 128 use matrix products, and 5×5 convolutions use the portable kernels.
pub const ROWS: &[Row] = &[
    row("conv2d 1x1", |s| conv(s, s.channels, s.channels + 1, 1), 1, with_bias),
    row("conv2d 1x1 wide", |s| conv(s, 127 + s.channels, 128, 1), 1, with_bias),
    row("conv2d 3x3", |s| conv(s, s.channels, s.channels + 2, 3), 1, with_bias),
    row("conv2d 3x3 wide", |s| conv(s, 15 + s.channels, 17, 3), 1, with_bias),
    row("conv2d 5x5", |s| conv(s, s.channels, 2, 5), 1, with_bias),
    row(
        "conv2d without bias",
        |s| conv(s, s.channels, 3, 3)[..2].to_vec(),
        1,
        |it| uni_instruct_kernels::conv2d(&it[0], &it[1], None),
    ),
    row(
        "conv2d_padded",
        |s| conv(s, s.channels, 3, 3)[..2].to_vec(),
        1,
        |it| uni_instruct_kernels::conv2d_padded(&it[0], &it[1], 2),
    ),
    row(
        "group_norm of one group",
        |s| vec![s.image(s.channels), vec![s.channels], vec![s.channels]],
        1,
        |it| uni_instruct_kernels::group_norm(&it[0], &it[1], &it[2], 1, EPS),
    ),
    row(
        "group_norm_silu",
        |s| vec![s.image(2 * s.channels), vec![2 * s.channels], vec![2 * s.channels]],
        1,
        |it| uni_instruct_kernels::group_norm_silu(&it[0], &it[1], &it[2], 2, EPS),
    ),
    row(
        "group_norm_scale_shift_silu",
        |s| {
            let (sample, shared) = (vec![s.batch, s.channels], vec![s.channels]);
            vec![s.image(s.channels), sample.clone(), sample, shared.clone(), shared]
        },
        3,
        |it| {
            uni_instruct_kernels::group_norm_scale_shift_silu(
                &it[0], &it[3], &it[4], &it[1], &it[2], 1, EPS,
            )
        },
    ),
    row(
        "attention",
        |s| vec![s.image(3 * s.channels)],
        1,
        |it| uni_instruct_kernels::attention(&it[0], 1),
    ),
    row(
        "attention of two heads",
        |s| vec![s.image(6 * s.channels)],
        1,
        |it| uni_instruct_kernels::attention(&it[0], 2),
    ),
    row("upsample2 box", one_image, 1, |it| uni_instruct_kernels::upsample2(&it[0], Filter::Box)),
    row("upsample2 tent", one_image, 1, |it| uni_instruct_kernels::upsample2(&it[0], Filter::Tent)),
    Row {
        least: 2,
        ..row("downsample2 box", one_image, 1, |it| {
            uni_instruct_kernels::downsample2(&it[0], Filter::Box)
        })
    },
    Row {
        least: 2,
        ..row("downsample2 tent", one_image, 1, |it| {
            uni_instruct_kernels::downsample2(&it[0], Filter::Tent)
        })
    },
    Row {
        least: 4,
        ..row("downsample2_valid", one_image, 1, |it| {
            uni_instruct_kernels::downsample2_valid(&it[0], Filter::Tent)
        })
    },
    row(
        "add_scaled",
        |s| vec![s.image(s.channels); 2],
        2,
        |it| uni_instruct_kernels::add_scaled(&it[0], &it[1], 0.7),
    ),
    row(
        "add_channels",
        |s| vec![s.image(s.channels), vec![s.batch, s.channels]],
        2,
        |it| uni_instruct_kernels::add_channels(&it[0], &it[1]),
    ),
    row("silu", one_image, 1, |it| uni_instruct_kernels::silu(&it[0])),
    row("sigmoid", one_image, 1, |it| uni_instruct_kernels::sigmoid(&it[0])),
    row("softplus", one_image, 1, |it| uni_instruct_kernels::softplus(&it[0])),
    row(
        "concat_channels",
        |s| vec![s.image(s.channels), s.image(2 * s.channels + 1)],
        2,
        |it| uni_instruct_kernels::concat_channels(&it[0], &it[1]),
    ),
    row("dropout", one_image, 1, |it| uni_instruct_kernels::dropout(&it[0], 0.3, KEY, 2)),
    row(
        "linear",
        |s| {
            let outputs = s.height * s.width;
            vec![vec![s.batch, s.channels], vec![outputs, s.channels], vec![outputs]]
        },
        1,
        |it| uni_instruct_kernels::linear(&it[0], &it[1], Some(&it[2])),
    ),
];

const fn size([batch, channels, height, width]: [usize; 4]) -> Size {
    Size { batch, channels, height, width }
}

/// One pixel, one channel, one row, one column, and sizes next to the lengths of vectors, 8 and 16.
pub const SIZES: &[Size] = &[
    size([1, 1, 1, 1]),
    size([2, 2, 2, 3]),
    size([3, 1, 1, 7]),
    size([2, 3, 9, 1]),
    size([2, 5, 4, 4]),
    size([1, 4, 5, 6]),
    size([5, 1, 8, 8]),
    size([2, 3, 7, 15]),
    size([2, 2, 6, 17]),
    size([1, 7, 16, 16]),
];

/// A size that every row accepts, with several samples.
pub const ORDINARY: Size = size([3, 4, 6, 9]);
