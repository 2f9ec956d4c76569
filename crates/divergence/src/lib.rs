#![doc = include_str!("../README.md")]

pub mod mixture;
pub mod quadrature;

mod auxiliary;
mod calibration;
mod cumulative;
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
mod ratio_config;
mod scalar;
mod sigma_bins;
mod sigma_distribution;
#[cfg(feature = "tensor")]
mod surrogate;
mod unbounded;
mod written;

#[cfg(all(test, feature = "tensor"))]
mod tests;

pub use auxiliary::{Adversarial, Frechet, Regression, Reward};
pub use calibration::{Calibration, CalibrationFeatures, FEATURES};
pub use cumulative::CumulativeWeight;
pub use error::Error;
pub use family::Divergence;
pub use method::{Distance, FakeScoreSource, FakeWeighting, Method, Objective, Weighting};
pub use names::DivergenceInfo;
pub use presets::{Paper, Preset, preset, presets};
pub use profile::{Profile, Term};
#[cfg(feature = "tensor")]
pub use ratio::{Bin, RatioMonitor, RatioState, RatioWeights, constant_weights};
pub use ratio_config::{PathConfig, RatioConfig, RatioEstimator};
pub use sigma_bins::SigmaBins;
pub use sigma_distribution::SigmaDistribution;
#[cfg(feature = "tensor")]
pub use surrogate::{SurrogateInputs, relative_gap, surrogate};
