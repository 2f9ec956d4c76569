//! What all blocks of a network share.

use super::conv::Start;
use kernels::Filter;

/// Options of every block, beside its place.
#[derive(Clone, Debug)]
pub(crate) struct Style {
    /// Width of the conditioning vector.
    pub emb_channels: usize,
    /// Probability of dropping an activation.
    pub dropout: f64,
    /// Factor on the sum of a residual path and what it goes around.
    pub skip_scale: f64,
    /// Added to the variance in group norms.
    pub eps: f64,
    /// Filter of up- and downsampling.
    pub filter: Filter,
    /// Whether a resampled skip path has a 1×1 convolution even where channels stay the same.
    pub resample_proj: bool,
    /// Whether the conditioning vector scales and shifts the norm, or is added before it.
    pub adaptive_scale: bool,
    /// Start of most layers.
    pub start: Start,
    /// Start of the layers that end a residual path.
    pub start_zero: Start,
    /// Start of the packed query, key and value.
    pub start_attention: Start,
}
