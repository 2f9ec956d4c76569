#![doc = include_str!("../README.md")]
// Some helpers serve only the kernels for x86-64.
#![cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]

pub mod adam;
pub mod device;
pub mod noise;
pub mod runtime;
pub mod tape;

mod buffer;
mod channels;
mod gpu;
mod isa;
mod math;
mod operand;
mod product;
mod reduce;
mod shape;
mod storage;
#[cfg(test)]
mod testing;

mod attention;
mod concat;
mod conv2d;
mod dropout;
mod group_norm;
mod linear;
mod norm_conv;
mod pointwise;
mod resample;
mod window;

pub use adam::ema_update;
pub use attention::attention;
pub use concat::concat_channels;
pub use conv2d::{conv2d, conv2d_padded};
pub use dropout::{DROPOUT_STREAM_BASE, DropoutKey, dropout};
pub use group_norm::{group_norm, group_norm_scale_shift_silu, group_norm_silu};
pub use linear::linear;
pub use pointwise::{add_channels, add_scaled, sigmoid, silu, softplus};
pub use resample::{Filter, downsample2, downsample2_valid, upsample2};
pub use shape::{from_host, per_sample, to_host};
pub use tape::backward;
pub use window::{ConvRelu, Joined, Window, mean_pixels};
