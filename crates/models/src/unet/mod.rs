//! EDM's two U-Nets: DDPM++/NCSN++ (`song`) and ADM (`dhariwal`), by their options ([`config`]).
//!
//! Both map the preconditioned image and the noise embedding's input to the raw output `F`
//! (Karras et al. 2022, arXiv:2206.00364, Eq. 7); [`crate::edm::precond`] turns it into a denoiser.
//! They are built and called through [`crate::NetworkConfig::build`] and [`crate::Network`]. Tensor
//! names are EDM's own, so that its weights map one to one. Weights, images and
//! noise levels share one precision, which nothing here chooses.

mod attention;
mod block;
mod conditioning;
pub mod config;
pub(crate) mod conv;
pub(crate) mod dhariwal;
pub(crate) mod embedding;
pub(crate) mod song;
mod style;

use kernels::tape::Value;

/// Outputs of one pass through a U-Net.
pub(crate) struct UNetOutput {
    /// The raw output `F`: `[B, C, H, W]`.
    pub raw: Value,
    /// The activation of the last encoder block: `[B, C', h, w]`.
    pub bottleneck: Value,
}

/// Sizes that both architectures need in addition to their own options.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    pub resolution: usize,
    pub in_channels: usize,
    pub out_channels: usize,
    pub label_dim: usize,
    pub augment_dim: usize,
}
