//! One update: each arrow of the data flow is one function in one file.
//!
//! ```text
//! fake step       x0 = generator(z) ; x = x0 + sigma n ; denoising loss + BCE(real, fake)
//! generator step  x0 = generator(z) ; Noised { x0, x, sigma } ; DenoisedPair { teacher, fake }
//!                 l = estimate(x, sigma) -> weights -> surrogate [B] + auxiliary terms [B]
//! ```
//!
//! Losses stay per sample, `[B]`, until [`crate::Engine`] takes their mean.

pub(crate) mod adversarial;
mod denoised;
pub(crate) mod fake;
mod fake_score;
mod features;
mod generator;
mod inputs;
mod log_ratio;
mod monitors;
mod noised;
pub(crate) mod regression;
mod student;

#[cfg(test)]
mod tests;

use models::Denoiser;

pub use crate::config::streams::Use;
pub use denoised::DenoisedPair;
pub use fake::{Discrimination, FakeTerms, RealBatch, denoising_loss, fake_terms};
pub use fake_score::{FakeScoreModel, KnownRatio, NoRatio, SharedBackbone};
pub use features::{FeatureModel, FrechetInputs};
pub use generator::{AuxiliaryInputs, GeneratorTerms, generator_terms};
pub use inputs::{Inputs, RandomInputs};
pub use log_ratio::LogRatioEstimate;
pub use monitors::{BinMonitor, DenoiserErrors, Monitors};
pub use noised::Noised;
pub use regression::RegressionPairs;
pub use student::{StepInputs, student_samples};

pub(crate) use log_ratio::PathPoints;
pub(crate) use student::schedule;

/// Networks of one generator step: trained ones are tracked, the others frozen.
#[derive(Clone, Copy)]
pub struct StepNetworks<'a> {
    /// Generator: called at `(σ_init z, σ_init)` it returns its sample.
    pub generator: &'a dyn Denoiser,
    /// The same, frozen: the steps before the last of a generator of several.
    pub frozen_generator: &'a dyn Denoiser,
    /// Denoiser of the teacher, frozen.
    pub teacher: &'a dyn Denoiser,
    /// Denoiser of the student's distribution, and the estimate of ln(teacher/student).
    pub fake: &'a dyn FakeScoreModel,
    /// Feature network of the auxiliary terms, if the method has one.
    pub features: Option<&'a dyn FeatureModel>,
}
