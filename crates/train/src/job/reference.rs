//! Features of the real images, as the reference of a Fréchet distance.

use metrics::{FrechetReference, Matrix, Moments};

use super::{check, engine::Engine, feature_check};
use crate::{Error, state::FeatureQueue};

/// Real images whose features estimate mean and covariance: as many as an evaluation has.
const IMAGES: u64 = 10_000;
/// Images in one forward pass.
const BATCH: usize = 250;

impl Engine {
    /// Prepares what the phases need besides networks and state: the features of the real images, and the
    /// queue for the generator's.
    ///
    /// # Errors
    ///
    /// If the feature network is missing or does not fit, or there are no real images.
    pub(super) fn prepared(mut self) -> Result<Self, Error> {
        check::paths(&self)?;
        feature_check::of_engine(&self)?;
        let phases = self.config.phase.iter();
        let queue = phases.filter_map(|phase| Some(phase.method.frechet?.queue)).max();
        let (Some(queue), Some(network)) = (queue, &self.networks.features) else {
            return Ok(self);
        };
        let mut moments: Option<Moments> = None;
        for position in (0..IMAGES).step_by(BATCH) {
            let random = self.random_inputs(position, BATCH);
            let (images, _) = self.source.real(&random)?;
            let rows = network.features(&images.to_dtype(self.dtype)?)?.detach();
            let dim = rows.dim(1)?;
            let rows = kernels::to_host(&rows.flatten_all()?)?;
            let rows = rows.into_iter().map(|it| it as f32).collect();
            let rows = Matrix::new("features of real images", rows, dim)?;
            moments.get_or_insert_with(|| Moments::new(dim)).add(&rows)?;
        }
        if let Some(moments) = moments {
            self.reference = Some(FrechetReference::new(moments.gaussian()?)?);
            self.state.features = Some(FeatureQueue::new(moments.dim(), queue));
        }
        Ok(self)
    }
}
