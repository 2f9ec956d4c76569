//! Distributions that can be sampled, in place of a data set.

use candle_core::{Device, Tensor};
use kernels::noise::NoiseStream;

use crate::{Error, step::RandomInputs};
use models::labels::one_hot;

/// A distribution to sample from, for example a mixture in closed form.
///
/// Real samples then come from code instead of files. A sample must be a pure function of the
/// stream and the position, so that a run does not depend on its split into batches and can be
/// resumed.
pub trait Distribution {
    /// Writes the sample at `position` into `values` and returns its class, which is ignored by
    /// unconditional networks.
    ///
    /// Random numbers come from `noise`, at `position`: element `i` of [`NoiseStream::normal`] and
    /// [`NoiseStream::uniform`] is independent for each `i`, but the two share their bits, so do
    /// not read both at the same element.
    fn sample(&self, noise: &NoiseStream, position: u64, values: &mut [f64]) -> u32;
}

/// Samples `[B, ...]` of a batch, and their classes `[B]`.
pub(super) fn batch(
    distribution: &dyn Distribution,
    noise: &NoiseStream,
    inputs: &RandomInputs<'_>,
) -> Result<(Tensor, Vec<u32>), Error> {
    let size = inputs.sample.iter().product::<usize>();
    let mut values = vec![0.0; inputs.batch * size];
    let positions = inputs.position..;
    let rows = values.chunks_mut(size.max(1)).zip(positions);
    let classes = rows.map(|(row, position)| distribution.sample(noise, position, row)).collect();
    let shape = [&[inputs.batch], inputs.sample].concat();
    // Converted on the CPU, because not every device supports f64.
    let values = Tensor::from_vec(values, shape, &Device::Cpu)?.to_dtype(inputs.dtype)?;
    Ok((values.to_device(inputs.device)?, classes))
}

/// Labels `[B, K]` of classes; `None` for an unconditional network.
pub(super) fn labels(
    classes: &[u32],
    label_dim: usize,
    device: &Device,
) -> Result<Option<Tensor>, Error> {
    Ok(if label_dim == 0 { None } else { Some(one_hot(classes, label_dim, device)?) })
}
