//! Batches of a data set, by index or by position in its stream.

use candle_core::{Device, Tensor};

use crate::byte::from_byte;
use crate::{Dataset, Error, Labels, order};

/// Images ready for a network, with their labels.
#[derive(Clone, Debug)]
pub struct Batch {
    /// `[B, C, H, W]`, f32, data units [-1, 1].
    pub images: Tensor,
    /// One-hot classes or soft labels, `[B, K]`, f32; `None` for a data set without labels.
    pub labels: Option<Tensor>,
    /// Class of each image; `None` without class labels.
    pub classes: Option<Vec<u32>>,
}

impl Dataset {
    /// Returns the images of these indices, in this order; an index may occur more than once.
    ///
    /// # Errors
    ///
    /// If an index is beyond the last image, or the device cannot hold the batch.
    pub fn batch(&self, indices: &[usize], device: &Device) -> Result<Batch, Error> {
        let [channels, height, width] = self.shape();
        let mut images = Vec::with_capacity(indices.len() * self.image_len());
        for &index in indices {
            let pixels = self.image_u8(index)?;
            images.extend(pixels.iter().map(|&byte| from_byte(byte)));
        }
        let images = Tensor::from_vec(images, (indices.len(), channels, height, width), device)?;
        let classes = match self.labels() {
            Labels::Classes { of_image, .. } => {
                Some(indices.iter().map(|&index| of_image[index]).collect())
            }
            Labels::None | Labels::Soft { .. } => None,
        };
        Ok(Batch { images, labels: self.label_rows(indices, device)?, classes })
    }

    /// Labels `[B, K]`. The indices have been checked.
    fn label_rows(&self, indices: &[usize], device: &Device) -> Result<Option<Tensor>, Error> {
        let width = self.classes();
        let rows = match self.labels() {
            Labels::None => return Ok(None),
            Labels::Classes { of_image, .. } => {
                let mut rows = vec![0f32; indices.len() * width];
                for (row, &index) in rows.chunks_exact_mut(width).zip(indices) {
                    row[of_image[index] as usize] = 1.0;
                }
                rows
            }
            Labels::Soft { values, .. } => indices
                .iter()
                .flat_map(|&index| &values[index * width..][..width])
                .copied()
                .collect(),
        };
        Ok(Some(Tensor::from_vec(rows, (indices.len(), width), device)?))
    }
}

/// Endless, shuffled stream of a data set's images: a pure function of seed and position.
#[derive(Clone, Copy, Debug)]
pub struct Stream<'a> {
    /// The data set.
    pub dataset: &'a Dataset,
    /// Seed of the run.
    pub seed: u64,
}

impl Stream<'_> {
    /// Returns the index of the image at `position`: see [`order::index_at`].
    pub fn index_at(&self, position: u64) -> usize {
        order::index_at(self.seed, position, self.dataset.len())
    }

    /// Returns the images at positions `start..start + count`.
    ///
    /// A position has the same image however positions are split into batches or among ranks.
    ///
    /// # Errors
    ///
    /// If the device cannot hold the batch.
    pub fn batch_at(&self, start: u64, count: usize, device: &Device) -> Result<Batch, Error> {
        let indices: Vec<usize> = (start..).take(count).map(|it| self.index_at(it)).collect();
        self.dataset.batch(&indices, device)
    }
}
