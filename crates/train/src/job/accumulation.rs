//! Gradients and statistics of one update, accumulated over its passes.

use candle_core::{DType, Device, Tensor};

use crate::{
    Error,
    state::{Gradients, Stats},
};

/// Gradients and statistics of one update.
pub(super) struct Accumulation {
    /// Gradients of the network.
    pub gradients: Gradients,
    /// Gradients of the discriminator's head.
    pub head: Gradients,
    /// Statistics.
    pub stats: Stats,
}

impl Accumulation {
    pub fn new() -> Self {
        Self { gradients: Gradients::default(), head: Gradients::default(), stats: Stats::new() }
    }

    /// Records the mean of `[B]` values. The last of several passes counts.
    pub fn mean(&mut self, name: &'static str, values: &Tensor) -> Result<(), Error> {
        // Converted on the CPU, because not every device supports f64.
        let mean = values.detach().mean_all()?.to_device(&Device::Cpu)?;
        self.add(name, mean.to_dtype(DType::F64)?.to_scalar::<f64>()?);
        Ok(())
    }

    /// Records a quantity. A non-finite one is never overwritten.
    pub fn add(&mut self, name: &'static str, value: f64) {
        let slot = self.stats.entry(name).or_insert(value);
        if slot.is_finite() {
            *slot = value;
        }
    }

    /// Records the norm of all gradients.
    pub fn norm(&mut self, name: &'static str) -> Result<(), Error> {
        self.add(name, self.gradients.norm()?.hypot(self.head.norm()?));
        Ok(())
    }

    /// The first non-finite quantity, if any.
    pub fn non_finite(&self) -> Option<&'static str> {
        self.stats.iter().find(|(_, value)| !value.is_finite()).map(|(name, _)| *name)
    }
}
