//! One update, straight down: each arrow of the data flow is one function in one file.
//!
//! ```text
//! fake step       x0 = generator(z) ; x = x0 + sigma n ; denoising loss + BCE(real, fake)
//! generator step  x0 = generator(z) ; Noised { x0, x, sigma } ; Denoised { teacher, fake }
//!                 l = log_ratio(x, sigma) -> weights -> surrogate [B] + auxiliary terms [B]
//! ```
//!
//! Everything stays per sample, `[B]`, until [`crate::engine`] takes the mean.

pub mod adversarial;
pub mod denoised;
pub mod fake;
pub mod fake_score;
pub mod generator;
pub mod inputs;
pub mod noised;
pub mod regression;

#[cfg(test)]
mod tests;

pub use denoised::Denoised;
pub use fake_score::FakeScore;
pub use generator::{GeneratorTerms, generator_terms};
pub use inputs::{Draw, Inputs};
pub use noised::Noised;

use models::Denoiser;

/// The networks as one update sees them: what is trained is tracked, the rest is frozen.
#[derive(Clone, Copy)]
pub struct Players<'a> {
    /// The one-step generator: called at `(σ_init z, σ_init)` it returns its sample.
    pub generator: &'a dyn Denoiser,
    /// The teacher's denoiser, frozen.
    pub teacher: &'a dyn Denoiser,
    /// The denoiser of the student's law, and the estimate of ln(teacher/student).
    pub fake: &'a dyn FakeScore,
}
