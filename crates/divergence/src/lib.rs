//! The mathematics of one-step diffusion distillation: f-divergences, their weights, and losses
//! whose gradients are exact.
//!
//! # Setting and letters
//!
//! A student makes `x₀ = g(z)`; noise is added, `x = x₀ + σ n` with standard normal `n`. At the
//! level σ the student's density is `q`, the teacher's is `p`, and
//!
//! ```text
//! r = q/p,  ρ = p/q,  l = ln ρ = log_ratio,  u = -l = ln r,  δ = ∇ₓ u = ∇ ln q - ∇ ln p
//! D_q, D_p  denoisers E[x₀ | x] of student ("fake") and teacher,  gap Δ = D_q - D_p = σ² δ
//! ```
//!
//! Every `D_f(q‖p) = E_p[f(r)]` expands along the diffusion into weighted Fisher divergences
//! (Uni-Instruct, arXiv:2505.20755, Theorem 3.1, here for `x = x₀ + σ n`):
//!
//! ```text
//! D_f(q₀‖p₀) = D_f(q_S‖p_S) + ∫₀ˢ σ E_q[ h(l) |δ|² ] dσ,      h = r f''(r) = ρ² F''(ρ)
//! ```
//!
//! so the one function `h` of the log-ratio says all that a method needs of a divergence.
//!
//! # Why log-ratios
//!
//! Ratios span dozens of orders of magnitude, and the discriminator that estimates them puts out
//! a logit, which already is `l`. So `l` is the only form in which a ratio crosses a function
//! boundary; neither `r` nor `ρ` is ever stored.
//!
//! # Why profiles instead of a trait
//!
//! The exact gradient needs `h` and its first two derivatives; a trait would ask each divergence
//! for three formulas derived by hand, and a mistake in one still trains. A [`Profile`] is a short
//! sum of terms that is closed under `d/dl`: a divergence states `h` once and the rest follows by
//! algebra, in `f64` and on tensors from the same list of terms.
//!
//! # Map
//!
//! - [`Divergence`]: which divergence; its generators and its [`Profile`].
//! - [`Method`]: a distillation method as data; [`presets`]: the published ones.
//! - [`surrogate`]: the loss, `[B]`, whose autodiff gradient is the method's gradient.
//! - [`RatioState`]: from a discriminator's logits to the weights of the surrogate.
//! - [`mixture`], [`quadrature`]: worlds in which all of this is known in closed form.
//!
//! This crate knows no network, file or kernel. Without the feature `tensor` it is pure `f64`.

pub mod mixture;
pub mod quadrature;

mod custom;
mod error;
mod family;
mod method;
mod names;
mod normal;
mod presets;
mod profile;
#[cfg(feature = "tensor")]
mod profile_tensor;
#[cfg(feature = "tensor")]
mod ratio;
mod scalar;
mod sigma_distribution;
#[cfg(feature = "tensor")]
mod surrogate;
mod unbounded;
mod written;

#[cfg(all(test, feature = "tensor"))]
mod tests;

pub use error::Error;
pub use family::Divergence;
pub use method::{
    Adversarial, Distance, FakeScoreSource, FakeWeighting, Method, Objective, RatioConfig, Regression,
    Weighting,
};
pub use names::DivergenceInfo;
pub use presets::{Paper, Preset, preset, presets};
pub use profile::{Profile, Term};
#[cfg(feature = "tensor")]
pub use ratio::{Bin, RatioMonitor, RatioState, RatioWeights, constant_weights};
pub use sigma_distribution::SigmaDistribution;
#[cfg(feature = "tensor")]
pub use surrogate::{SurrogateInputs, relative_gap, surrogate};
