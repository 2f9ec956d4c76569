//! Adam with public moments, gradients by name, learning-rate schedules.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Result, Tensor, Var, backprop::GradStore};
use kernels::adam::{self, AdamConfig};
use models::params::ParamSet;
use serde::{Deserialize, Serialize};

use crate::numbers::{Fraction, NonNegative, Positive};

/// How a set of parameters is updated.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OptimizerConfig {
    /// Step size once ramped up.
    pub learning_rate: Positive,
    /// Decay of Adam's first moment.
    pub beta1: Fraction,
    /// Decay of Adam's second moment.
    pub beta2: Fraction,
    /// Added to the root of the second moment.
    pub eps: Positive,
    /// Decoupled weight decay (Loshchilov & Hutter 2019, arXiv:1711.05101).
    pub weight_decay: NonNegative,
    /// Largest size of each number of the gradient; a larger one is set to it, before anything else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip_value: Option<Positive>,
    /// Largest norm of the whole gradient; a longer one is scaled down to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip_norm: Option<Positive>,
    /// The step size grows linearly from zero over this many images.
    pub ramp_images: u64,
    /// Beyond this many images the step size falls as the inverse square root of progress
    /// (Karras et al. 2024, arXiv:2312.02696, Eq. 67).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decay_images: Option<Positive>,
}

impl Default for OptimizerConfig {
    /// SiD's values, which SiDA and Uni-Instruct share (docs/methods.md, "Settings in the papers").
    fn default() -> Self {
        Self {
            learning_rate: Positive::literal(1e-5),
            beta1: Fraction::literal(0.0),
            beta2: Fraction::literal(0.999),
            eps: Positive::literal(1e-8),
            weight_decay: NonNegative::literal(0.0),
            clip_value: None,
            clip_norm: None,
            ramp_images: 0,
            decay_images: None,
        }
    }
}

impl OptimizerConfig {
    /// The step size after `images` images.
    pub fn learning_rate_at(&self, images: u64) -> f64 {
        let images = images as f64;
        let ramp = match self.ramp_images {
            0 => 1.0,
            ramp => (images / ramp as f64).min(1.0),
        };
        let decay = self.decay_images.map_or(1.0, |start| (images / start.get()).max(1.0).sqrt());
        self.learning_rate.get() * ramp / decay
    }
}

/// Parameters that are trained, with everything an update needs.
pub struct Trained {
    /// The parameters.
    pub params: ParamSet,
    /// Adam's first moments, by parameter name.
    pub first: BTreeMap<String, Var>,
    /// Adam's second moments.
    pub second: BTreeMap<String, Var>,
    /// Updates done.
    pub updates: u64,
}

impl Trained {
    /// Parameters before their first update.
    ///
    /// # Errors
    ///
    /// If the device cannot hold the moments.
    pub fn new(params: ParamSet) -> Result<Self> {
        let zeros = || -> Result<BTreeMap<String, Var>> {
            let zero = |var: &Var| Var::from_tensor(&var.zeros_like()?);
            params.vars().iter().map(|(name, var)| Ok((name.clone(), zero(var)?))).collect()
        };
        let (first, second) = (zeros()?, zeros()?);
        Ok(Self { params, first, second, updates: 0 })
    }

    /// One update. The step size is that of `images` images of progress.
    ///
    /// Parameters without a gradient stay as they are, their moments too. Without any gradient
    /// nothing is counted: Adam's corrections for a short past are of the updates that were made.
    ///
    /// # Errors
    ///
    /// If a gradient does not fit its parameter.
    pub fn update(
        &mut self,
        config: &OptimizerConfig,
        gradients: &Gradients,
        images: u64,
    ) -> Result<()> {
        if gradients.0.is_empty() {
            return Ok(());
        }
        self.updates += 1;
        let adam = AdamConfig {
            learning_rate: config.learning_rate_at(images),
            beta1: config.beta1.get(),
            beta2: config.beta2.get(),
            eps: config.eps.get(),
            weight_decay: config.weight_decay.get(),
        };
        let clipped = |gradient: &Tensor| match config.clip_value.map(Positive::get) {
            Some(most) => gradient.clamp(-most, most),
            None => Ok(gradient.clone()),
        };
        let scale = match config.clip_norm {
            Some(limit) => {
                let norm = norm(gradients.0.values().map(clipped))?;
                (limit.get() / norm.max(f64::MIN_POSITIVE)).min(1.0)
            }
            None => 1.0,
        };
        for (name, var) in self.params.vars() {
            let Some(gradient) = gradients.0.get(name) else { continue };
            let gradient = clipped(gradient)?;
            let gradient = if scale < 1.0 { (gradient * scale)? } else { gradient };
            adam::step(&adam, self.updates, var, &self.first[name], &self.second[name], &gradient)?;
        }
        Ok(())
    }
}

/// Gradients by parameter name, in the order of names.
#[derive(Default)]
pub struct Gradients(pub BTreeMap<String, Tensor>);

impl Gradients {
    /// Adds those of one backward pass for `params`.
    ///
    /// # Errors
    ///
    /// If a gradient changed its shape since the last pass.
    pub fn accumulate(&mut self, params: &ParamSet, store: &mut GradStore) -> Result<()> {
        for (name, var) in params.vars() {
            let Some(gradient) = store.remove(var) else { continue };
            match self.0.get_mut(name) {
                Some(sum) => *sum = (&*sum + gradient)?,
                None => {
                    self.0.insert(name.clone(), gradient);
                }
            }
        }
        Ok(())
    }

    /// The Euclidean norm of all gradients together: not finite if one of them is not.
    ///
    /// # Errors
    ///
    /// If a tensor operation fails.
    pub fn norm(&self) -> Result<f64> {
        norm(self.0.values().map(|gradient| Ok(gradient.clone())))
    }
}

/// The Euclidean norm of several tensors together.
fn norm(tensors: impl Iterator<Item = Result<Tensor>>) -> Result<f64> {
    let mut squares = 0.0;
    for tensor in tensors {
        // Not every device has f64.
        let sum = tensor?.sqr()?.sum_all()?.to_device(&Device::Cpu)?;
        squares += sum.to_dtype(DType::F64)?.to_scalar::<f64>()?;
    }
    Ok(squares.sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn step_sizes_ramp_up_and_decay() {
        let config = OptimizerConfig {
            learning_rate: Positive::literal(0.1),
            ramp_images: 100,
            decay_images: Some(Positive::literal(400.0)),
            ..OptimizerConfig::default()
        };
        for (images, expected) in [(0, 0.0), (50, 0.05), (100, 0.1), (400, 0.1), (1600, 0.05)] {
            assert!((config.learning_rate_at(images) - expected).abs() < 1e-12, "{images}");
        }
    }

    /// What one update leaves of `[1, 1, 1]` under a gradient, by Adam's first moments: with its decay
    /// 0, the gradient as it was used.
    fn used(gradient: [f32; 3], config: OptimizerConfig) -> Vec<f32> {
        let tensor = |values: [f32; 3]| Tensor::new(&values, &Device::Cpu).unwrap();
        let params = [("w".to_owned(), tensor([1.0; 3]))].into();
        let mut trained = Trained::new(ParamSet::from_tensors(&params).unwrap()).unwrap();
        let gradients = Gradients([("w".to_owned(), tensor(gradient))].into());
        trained.update(&config, &gradients, 0).unwrap();
        trained.first["w"].to_vec1().unwrap()
    }

    #[test]
    fn gradients_are_clipped_number_by_number_and_then_as_a_whole() {
        let config = |value: Option<f64>, norm: Option<f64>| OptimizerConfig {
            clip_value: value.map(|it| it.try_into().unwrap()),
            clip_norm: norm.map(|it| it.try_into().unwrap()),
            ..OptimizerConfig::default()
        };
        let gradient = [0.5, -4.0, 3.0];
        assert_eq!(used(gradient, config(None, None)), gradient);
        assert_eq!(used(gradient, config(Some(1.0), None)), [0.5, -1.0, 1.0]);
        // Of length 1.5 after the first clip, so two thirds are left of it.
        let both = used(gradient, config(Some(1.0), Some(1.0)));
        for (found, expected) in both.iter().zip([1.0 / 3.0, -2.0 / 3.0, 2.0 / 3.0]) {
            assert!((found - expected).abs() < 1e-6, "{both:?}");
        }
    }

    #[test]
    fn without_gradients_no_update_is_counted() {
        let one = Tensor::ones(3, DType::F32, &candle_core::Device::Cpu).unwrap();
        let params = ParamSet::from_tensors(&[("w".to_owned(), one.clone())].into()).unwrap();
        let mut trained = Trained::new(params).unwrap();
        let config =
            OptimizerConfig { learning_rate: Positive::literal(0.5), ..OptimizerConfig::default() };
        for _ in 0..1000 {
            trained.update(&config, &Gradients::default(), 0).unwrap();
        }
        let gradients = Gradients([("w".to_owned(), one)].into());
        trained.update(&config, &gradients, 0).unwrap();
        // Adam's first step is the step size, in the direction of the sign.
        let weights = trained.params.vars()["w"].to_vec1::<f32>().unwrap();
        assert!(weights.iter().all(|w| (w - 0.5).abs() < 1e-6), "{weights:?}");
    }
}
