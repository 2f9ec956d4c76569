//! Features of the generator's latest images.

use std::collections::VecDeque;

use candle_core::{Device, Tensor};

/// A queue of feature rows: the newest replace the oldest.
#[derive(Clone, Debug, PartialEq)]
pub struct FeatureQueue {
    dim: usize,
    capacity: usize,
    values: VecDeque<f32>,
}

impl FeatureQueue {
    /// An empty queue for `capacity` rows of `dim` features.
    pub fn new(dim: usize, capacity: usize) -> Self {
        Self { dim, capacity, values: VecDeque::new() }
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.values.len() / self.dim.max(1)
    }

    /// Tests for a queue without rows.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The latest `count` rows, oldest first, or `None` if there are fewer.
    pub fn latest(&self, count: usize) -> Option<Vec<f32>> {
        let skipped = self.len().checked_sub(count)?;
        Some(self.values.iter().skip(skipped * self.dim).copied().collect())
    }

    /// Appends rows `[B, D]`.
    ///
    /// # Errors
    ///
    /// If they have another dimension.
    pub(crate) fn push(&mut self, rows: &Tensor) -> candle_core::Result<()> {
        if rows.dims2()?.1 != self.dim {
            candle_core::bail!("a queue of {} features was given rows {:?}", self.dim, rows.dims());
        }
        let rows = rows.detach().to_device(&Device::Cpu)?.to_dtype(candle_core::DType::F32)?;
        self.values.extend(rows.flatten_all()?.to_vec1::<f32>()?);
        let surplus = self.len().saturating_sub(self.capacity) * self.dim;
        self.values.drain(..surplus);
        Ok(())
    }

    /// The rows as a tensor `[N, D]`; `None` of an empty queue.
    pub(crate) fn tensor(&self) -> candle_core::Result<Option<Tensor>> {
        if self.is_empty() {
            return Ok(None);
        }
        let values: Vec<f32> = self.values.iter().copied().collect();
        Tensor::from_vec(values, (self.len(), self.dim), &Device::Cpu).map(Some)
    }

    /// Replaces the rows by the rows of a tensor; `None` empties the queue.
    ///
    /// # Errors
    ///
    /// If they have another dimension, or are more than the queue holds.
    pub(crate) fn set(&mut self, rows: Option<&Tensor>) -> candle_core::Result<()> {
        self.values.clear();
        let Some(rows) = rows else { return Ok(()) };
        if self.capacity < rows.dim(0)? {
            candle_core::bail!("{:?} are more rows than the {} of the queue", rows, self.capacity);
        }
        self.push(rows)
    }
}
