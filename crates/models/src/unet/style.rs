//! Options that all blocks of a network share.

use super::conv::Start;
use kernels::Filter;

/// Options of every block, in addition to its position.
#[derive(Clone, Debug)]
pub(crate) struct Style {
    /// Width of the conditioning vector.
    pub emb_channels: usize,
    /// Probability of dropping an activation.
    pub dropout: f64,
    /// Factor on the sum of the residual path and the convolutions.
    pub skip_scale: f64,
    /// Added to the variance in group norms.
    pub eps: f64,
    /// Filter of up- and downsampling.
    pub filter: Filter,
    /// Adds a 1×1 convolution to a resampled skip path even if channels stay the same.
    pub resample_proj: bool,
    /// True if the conditioning vector scales and shifts the norm, false if it is added before it.
    pub adaptive_scale: bool,
    /// Initialization of most layers.
    pub start: Start,
    /// Initialization of the layers that end a residual path.
    pub start_zero: Start,
    /// Initialization of the packed query, key and value.
    pub start_attention: Start,
}
