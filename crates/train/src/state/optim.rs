//! Adam with public moments; gradients keyed by parameter name.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Result, Tensor, Var, backprop::GradStore};
use kernels::adam::{self, AdamConfig};
use models::params::ParamSet;

use crate::config::{OptimizerConfig, Positive};

/// Parameters in training, with Adam's moments and the number of updates.
pub struct TrainedParams {
    /// The parameters.
    pub params: ParamSet,
    /// Adam's first moments, by parameter name.
    pub first: BTreeMap<String, Var>,
    /// Adam's second moments.
    pub second: BTreeMap<String, Var>,
    /// Number of updates so far.
    pub updates: u64,
}

impl TrainedParams {
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

    /// Updates the parameters with the step size after `images` images.
    ///
    /// A parameter without a gradient keeps its value and moments. Without any gradient, no update is
    /// counted, because Adam's bias correction depends on the number of updates made.
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

/// Gradients keyed by parameter name, in the order of the names.
#[derive(Default)]
pub struct Gradients(pub BTreeMap<String, Tensor>);

impl Gradients {
    /// Adds the gradients of one backward pass with respect to `params`, and removes them from `store`.
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

    /// Euclidean norm of all gradients together; not finite if one of them is not.
    ///
    /// # Errors
    ///
    /// If a tensor operation fails.
    pub fn norm(&self) -> Result<f64> {
        norm(self.0.values().map(|gradient| Ok(gradient.clone())))
    }
}

/// Euclidean norm of several tensors together.
fn norm(tensors: impl Iterator<Item = Result<Tensor>>) -> Result<f64> {
    let mut squares = 0.0;
    for tensor in tensors {
        // Summed on the CPU, because not every device supports f64.
        let sum = tensor?.sqr()?.sum_all()?.to_device(&Device::Cpu)?;
        squares += sum.to_dtype(DType::F64)?.to_scalar::<f64>()?;
    }
    Ok(squares.sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The gradient that an update applies, after clipping: Adam's first moment without decay.
    fn applied(gradient: [f32; 3], config: OptimizerConfig) -> Vec<f32> {
        let tensor = |values: [f32; 3]| Tensor::new(&values, &Device::Cpu).unwrap();
        let params = [("w".to_owned(), tensor([1.0; 3]))].into();
        let mut trained = TrainedParams::new(ParamSet::from_tensors(&params).unwrap()).unwrap();
        let gradients = Gradients([("w".to_owned(), tensor(gradient))].into());
        trained.update(&config, &gradients, 0).unwrap();
        trained.first["w"].to_vec1().unwrap()
    }

    #[test]
    fn gradients_are_clipped_by_value_and_then_by_norm() {
        let config = |value: Option<f64>, norm: Option<f64>| OptimizerConfig {
            clip_value: value.map(|it| it.try_into().unwrap()),
            clip_norm: norm.map(|it| it.try_into().unwrap()),
            ..OptimizerConfig::default()
        };
        let gradient = [0.5, -4.0, 3.0];
        assert_eq!(applied(gradient, config(None, None)), gradient);
        assert_eq!(applied(gradient, config(Some(1.0), None)), [0.5, -1.0, 1.0]);
        // Of length 1.5 after the first clip, so two thirds are left of it.
        let both = applied(gradient, config(Some(1.0), Some(1.0)));
        for (found, expected) in both.iter().zip([1.0 / 3.0, -2.0 / 3.0, 2.0 / 3.0]) {
            assert!((found - expected).abs() < 1e-6, "{both:?}");
        }
    }

    #[test]
    fn an_update_without_gradients_is_not_counted() {
        let one = Tensor::ones(3, DType::F32, &candle_core::Device::Cpu).unwrap();
        let params = ParamSet::from_tensors(&[("w".to_owned(), one.clone())].into()).unwrap();
        let mut trained = TrainedParams::new(params).unwrap();
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
