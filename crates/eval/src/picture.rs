//! Pictures of evaluated images, as PNG files.

use candle_core::{Device, Tensor};
use data::{
    Dataset,
    png::{self, GridStyle},
};
use metrics::MetricReport;
use models::sampling::{SampleSpec, Sampler};

use crate::{Plan, Result, Subject};

/// Images of each sampler in a grid.
const SHOWN: usize = 20;
/// Columns of a grid.
const COLUMNS: usize = 10;

/// A grid of real images and of each sampler's images of the same classes, in alternating rows.
///
/// # Errors
///
/// If a network fails, or the sizes of the images differ.
pub fn grid(real: &Dataset, spec: &SampleSpec, samplers: &[Sampler<'_>]) -> Result<Vec<u8>> {
    let spec = SampleSpec { count: SHOWN, ..spec.clone() };
    let classes = spec.classes();
    let mut next = vec![0; classes.iter().max().map_or(1, |&class| class as usize + 1)];
    let pick = |i: usize| {
        let Some(&class) = classes.get(i) else { return i % real.len() };
        let start = next[class as usize];
        let found = (start..real.len()).find(|&at| real.label(at) == Some(class));
        let found = found.unwrap_or(i % real.len());
        next[class as usize] = found + 1;
        found
    };
    let indices: Vec<usize> = (0..SHOWN).map(pick).collect();
    let mut sets = vec![real.batch(&indices, &spec.device)?.images];
    for sampler in samplers {
        sets.push(spec.images(*sampler, 0, SHOWN)?);
    }
    let mut rows = Vec::new();
    for start in (0..SHOWN).step_by(COLUMNS) {
        for set in &sets {
            rows.push(set.narrow(0, start, COLUMNS)?);
        }
    }
    let style = GridStyle { columns: COLUMNS, upscale: 2, padding: 2, background: 96 };
    Ok(png::grid_with(&Tensor::cat(&rows, 0)?, &style)?)
}

impl Plan<'_> {
    /// The evaluated images that are nearest to a training image, in a row above those training
    /// images. `None` if the report has no such pairs. Samples the images of the first sampler again.
    ///
    /// # Errors
    ///
    /// If the network fails.
    pub fn nearest_pairs(&self, report: &MetricReport) -> Result<Option<Vec<u8>>> {
        let pairs = report.memorization.as_ref().map_or(&[][..], |it| &it.nearest);
        let (Some(training), false) = (&self.training, pairs.is_empty()) else { return Ok(None) };
        let device = &Device::Cpu;
        let indices: Vec<usize> = pairs.iter().map(|it| it.training).collect();
        let below = training.batch(&indices, device)?.images;
        let above = match &self.subject {
            Subject::Images(dataset) => {
                let indices: Vec<usize> = pairs.iter().map(|it| it.generated).collect();
                dataset.batch(&indices, device)?.images
            }
            Subject::Samplers { samplers, spec } => {
                let Some((_, sampler)) = samplers.first() else { return Ok(None) };
                let again = pairs.iter().map(|pair| -> Result<Tensor> {
                    let at = pair.generated;
                    Ok(spec.images(*sampler, at, at + 1)?.to_device(device)?)
                });
                Tensor::cat(&again.collect::<Result<Vec<_>>>()?, 0)?
            }
        };
        Ok(Some(png::grid(&Tensor::cat(&[above, below], 0)?, pairs.len())?))
    }
}
