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
//! This crate trains nothing, prints nothing and draws no image. Files are touched only for
//! reference statistics and feature networks.

mod error;
mod files;

pub mod rows;

mod classification;
mod frechet;
mod kid;
mod moments;
pub mod npz;
mod prdc;
mod tiles;

#[cfg(test)]
mod tests;

pub use classification::{class_accuracy, inception_score};
pub use error::{Error, Result};
pub use frechet::{FrechetReference, Gaussian, frechet_distance};
pub use kid::{KidSubsets, kid, kid_subsets};
pub use moments::Moments;
pub use prdc::{Prdc, prdc};
pub use rows::Rows;
