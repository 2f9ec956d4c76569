#![doc = include_str!("../README.md")]

mod error;
mod files;

mod bootstrap;
mod classification;
mod cross_entropy;
mod feature_net;
mod features;
mod frechet;
mod inception;
mod kid;
mod matrix;
mod memorization;
mod metadata;
mod moments;
pub mod npz;
mod prdc;
mod reference;
mod report;
mod tiles;

#[cfg(test)]
mod tests;

pub use bootstrap::{Bootstrap, Interval, PrdcIntervals};
pub use classification::{class_accuracy, class_divergence, inception_score};
pub use cross_entropy::cross_entropy;
pub use error::{Error, Result};
pub use feature_net::{FeatureNet, FeatureNetFile, TrainedFeatureNet};
pub use features::{Extracted, ExtractorId, FeatureExtractor, FeatureSet};
pub use frechet::{FrechetGradient, FrechetReference, Gaussian, frechet_distance};
pub use inception::Inception;
pub use kid::{KidSubsets, kid, kid_subsets};
pub use matrix::Matrix;
pub use memorization::{Memorization, NearestPair, memorization};
pub use moments::Moments;
pub use prdc::{NEIGHBORS, Prdc, prdc};
pub use reference::{DatasetId, Origin, ReferenceStats};
pub use report::{EvaluateOptions, Intervals, MetricReport, Reference, evaluate};
