//! The networks of a distillation.

use models::{Denoiser, ParamSet, Params};

use crate::{
    state::TrainState,
    step::{FakeScoreModel, FeatureModel},
};

/// A network as two views of the same weights: one that is trained, and one that is frozen.
pub struct NetworkViews<T: ?Sized> {
    /// Gradients reach the weights.
    pub tracked: Box<T>,
    /// The weights are constants.
    pub frozen: Box<T>,
}

impl<T: ?Sized> NetworkViews<T> {
    /// Builds both views of the same parameters.
    ///
    /// # Errors
    ///
    /// If `build` fails.
    pub fn new<E>(
        params: &ParamSet,
        build: impl Fn(&Params) -> Result<Box<T>, E>,
    ) -> Result<Self, E> {
        Ok(Self { tracked: build(&params.trainable())?, frozen: build(&params.frozen())? })
    }
}

/// All networks of a run, over the parameters of its state.
pub struct Networks {
    /// Teacher, frozen.
    pub teacher: Box<dyn Denoiser>,
    /// Generator.
    pub generator: NetworkViews<dyn Denoiser>,
    /// Generator with its averaged weights, which is evaluated and exported.
    pub average: Box<dyn Denoiser>,
    /// Fake score, and the discriminator on it.
    pub fake: NetworkViews<dyn FakeScoreModel>,
    /// The same with averaged weights, frozen, if the state has them. The generator's step evaluates it.
    pub fake_average: Option<Box<dyn FakeScoreModel>>,
    /// Feature network of the terms `frechet` and `reward`, if a method has one.
    pub features: Option<Box<dyn FeatureModel>>,
    /// Standard deviation of the data, for the denoising loss.
    pub sigma_data: f64,
    /// Shape of one sample.
    pub sample: Vec<usize>,
}

impl Networks {
    /// Fake score that the generator's step evaluates: the average, or the weights themselves.
    pub fn evaluated_fake(&self) -> &dyn FakeScoreModel {
        self.fake_average.as_deref().unwrap_or(self.fake.frozen.as_ref())
    }

    /// The same networks with a feature network.
    #[must_use]
    pub fn with_features(self, features: impl FeatureModel + 'static) -> Self {
        Self { features: Some(Box::new(features)), ..self }
    }

    /// Builds the networks over the parameters of `state`, from a constructor of the generator and
    /// one of the fake score. `sample` is the shape of one sample, `sigma_data` the standard deviation
    /// of the data.
    ///
    /// A fake score in closed form ignores its parameters, of which `state` has none.
    ///
    /// # Errors
    ///
    /// If a constructor fails.
    pub fn new<G, F, E>(
        teacher: impl Denoiser + 'static,
        state: &TrainState,
        generator: impl Fn(&Params) -> Result<G, E>,
        fake: impl Fn(&Params) -> Result<F, E>,
        sample: &[usize],
        sigma_data: f64,
    ) -> Result<Self, E>
    where
        G: Denoiser + 'static,
        F: FakeScoreModel + 'static,
    {
        let generator =
            |params: &Params| -> Result<Box<dyn Denoiser>, E> { Ok(Box::new(generator(params)?)) };
        let fake =
            |params: &Params| -> Result<Box<dyn FakeScoreModel>, E> { Ok(Box::new(fake(params)?)) };
        Ok(Self {
            teacher: Box::new(teacher),
            generator: NetworkViews::new(&state.generator.params, generator)?,
            average: generator(&state.ema.frozen())?,
            fake_average: match &state.fake_average {
                Some(average) => Some(fake(&average.network.frozen())?),
                None => None,
            },
            fake: NetworkViews::new(&state.fake.params, fake)?,
            features: None,
            sigma_data,
            sample: sample.to_vec(),
        })
    }
}
