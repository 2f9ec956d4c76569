//! Numbers from samples: how near a set of generated images comes to a set of references.
//!
//! # Why from features and not from images
//!
//! Every figure here is a statistic of rows of numbers, [`Rows`]; which network made them is the
//! business of a [`FeatureExtractor`]. So a statistic can be tested against other people's numbers
//! without a network, and one pass over the images serves all figures. The extractor's name and
//! hash travel with its features, for figures of different extractors must never be compared.
//!
//! # Why f64
//!
//! The Fréchet distance subtracts traces that agree in most of their digits, and KID sums of
//! millions of cubes. Features come in f32, every statistic of them is formed in f64.
//!
//! # Map
//!
//! - [`FeatureExtractor`], [`FeatureSet`]: from images to rows; [`FeatureNet`] for Fashion-MNIST.
//!   [`Inception`] is the network that makes a Fréchet distance the field's FID.
//! - [`evaluate`]: all figures of a set, and how far they could move ([`Bootstrap`]).
//! - [`frechet_distance`], [`kid()`], [`prdc()`], [`class_accuracy`], [`inception_score`]: each alone.
//! - [`memorization()`]: whether training images are repeated.
//! - [`ReferenceStats`], [`npz`]: what is kept of a reference set, and what other tools exchange.
//!
//! This crate trains nothing, prints nothing and draws no image. Files are touched only for
//! reference statistics and feature networks.

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
mod memorization;
mod metadata;
mod moments;
pub mod npz;
mod prdc;
mod reference;
mod report;
mod rows;
mod tiles;

#[cfg(test)]
mod tests;

pub use bootstrap::{Bootstrap, Interval, PrdcIntervals};
pub use classification::{class_accuracy, inception_score};
pub use cross_entropy::cross_entropy;
pub use error::{Error, Result};
pub use feature_net::{FeatureNet, FeatureNetFile, TrainedFeatureNet};
pub use features::{Extracted, ExtractorId, FeatureExtractor, FeatureSet};
pub use frechet::{FrechetReference, Gaussian, frechet_distance};
pub use inception::Inception;
pub use kid::{KidSubsets, kid, kid_subsets};
pub use memorization::{Memorization, NearestPair, memorization};
pub use moments::Moments;
pub use prdc::{Prdc, prdc};
pub use reference::{DatasetId, Origin, ReferenceStats};
pub use report::{Intervals, NEIGHBORS, Reference, Report, Wanted, evaluate};
pub use rows::Rows;
