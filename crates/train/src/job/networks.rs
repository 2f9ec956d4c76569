//! The networks of a distillation.

use models::Denoiser;

use crate::step::FakeScoreModel;

/// A network as two views of the same weights: one that is trained, and one that is frozen.
pub struct NetworkViews<T: ?Sized> {
    /// Gradients reach the weights.
    pub tracked: Box<T>,
    /// The weights are constants.
    pub frozen: Box<T>,
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
    /// Standard deviation of the data, for the denoising loss.
    pub sigma_data: f64,
    /// Shape of one sample.
    pub sample: Vec<usize>,
}
