//! Estimators of the log-ratio that path integrals train, in the fake score's step.

use candle_core::{Result, Tensor};
use divergence::{Method, RatioEstimator, RatioState};

use super::engine::Engine;
use crate::{
    config::streams::{Use, derived_seed},
    step::{Inputs, LogRatioEstimate, Noised, PathPoints, RealBatch},
};

impl Engine {
    /// Tests for a method whose path integrals are calibrated.
    pub(super) fn calibrates(&self, method: &Method) -> bool {
        method.needs_ratio() && method.ratio.estimator == RatioEstimator::PathCalibrated
    }

    /// Path integrals at the student's samples and at real images, on which a discriminator is regressed;
    /// `None` if the method's estimator is another.
    ///
    /// # Errors
    ///
    /// If a network fails.
    pub(super) fn path_targets(
        &self,
        method: &Method,
        x0: &Tensor,
        inputs: &Inputs,
        real: &RealBatch,
    ) -> Result<Option<[LogRatioEstimate; 2]>> {
        if !method.needs_ratio() || method.ratio.estimator != RatioEstimator::Regressed {
            return Ok(None);
        }
        let noised = noised_pair(x0, inputs, real)?;
        let [fake, real] = self.path_points(&noised, inputs, real);
        let config = &method.ratio.path;
        Ok(Some([fake.estimate(config)?, real.estimate(config)?]))
    }

    /// Updates the calibration with the student's samples and as many real images.
    ///
    /// # Errors
    ///
    /// If a network fails.
    pub(super) fn calibrate(
        &self,
        method: &Method,
        x0: &Tensor,
        inputs: &Inputs,
        real: &RealBatch,
        ratio: &mut RatioState,
    ) -> Result<()> {
        let noised = noised_pair(x0, inputs, real)?;
        let mut samples = Vec::new();
        for (points, is_real) in self.path_points(&noised, inputs, real).iter().zip([false, true]) {
            let estimate = points.estimate(&method.ratio.path)?;
            let features = points.features(&estimate)?;
            samples.extend(features.into_iter().map(|(sigma, it)| (sigma, it, is_real)));
        }
        ratio.calibrate(method, &samples);
        Ok(())
    }

    fn path_points<'a>(
        &'a self,
        noised: &'a [Noised; 2],
        inputs: &'a Inputs,
        real: &'a RealBatch,
    ) -> [PathPoints<'a>; 2] {
        let [on_fake, on_real] = noised;
        let points = |noised: &'a Noised, cond, of| PathPoints {
            teacher: self.networks.teacher.as_ref(),
            fake: self.networks.evaluated_fake(),
            x: &noised.x,
            sigma: &noised.sigma,
            cond,
            seed: derived_seed(inputs.seed, of),
            position: inputs.position,
            update: inputs.update,
        };
        [points(on_fake, &inputs.cond, Use::FakePath), points(on_real, &real.cond, Use::RealPath)]
    }
}

/// The student's samples and the real images, noised as the discriminator gets them.
fn noised_pair(x0: &Tensor, inputs: &Inputs, real: &RealBatch) -> Result<[Noised; 2]> {
    let sigma = &inputs.sigma;
    Ok([
        Noised::new(x0.detach(), sigma, &inputs.noise)?,
        Noised::new(real.images.detach(), sigma, &real.noise)?,
    ])
}
