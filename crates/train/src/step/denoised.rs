//! Teacher and fake score at the same noised sample.

use candle_core::{Result, Tensor};
use divergence::{FakeScoreSource as FakeSource, Method};
use models::Conditioning;

use super::{Noised, StepNetworks};

/// Both denoisers at `(x, σ)`, each of the shape of `x`, and the log-ratio there.
#[derive(Clone, Debug)]
pub struct DenoisedPair {
    /// Teacher, `D_p`.
    pub teacher: Tensor,
    /// Fake score, `D_q`: the denoiser of the student's distribution.
    pub fake: Tensor,
    /// ln(teacher/student), `[B]`, if the method needs it.
    pub log_ratio: Option<Tensor>,
}

impl DenoisedPair {
    /// Evaluates both denoisers at `noised`. Gradients reach `noised.x` if the method needs them.
    ///
    /// Integral objectives need no such gradient (docs/theory.md, "The gradient at one noise
    /// level"), so they run no backward pass here. If the student is a single point, its denoiser
    /// is that point.
    ///
    /// # Errors
    ///
    /// If a network fails.
    pub fn at(
        noised: &Noised,
        networks: &StepNetworks<'_>,
        cond: &Conditioning,
        method: &Method,
    ) -> Result<Self> {
        let (fake, sigma) = (networks.fake, &noised.sigma);
        let detached = noised.x.detach();
        let x = if method.needs_input_gradient() { &noised.x } else { &detached };
        let teacher = networks.teacher.denoise(x, sigma, cond)?;
        // The adversarial term is differentiated through the discriminator, whatever the objective.
        let input = if method.adversarial.is_some() { &noised.x } else { x };
        let (fake, log_ratio) = match (method.fake_score, method.needs_discriminator()) {
            (FakeSource::Trained, false) => (fake.denoise(x, sigma, cond)?, None),
            (FakeSource::Trained, true) => {
                let (denoised, log_ratio) = fake.denoise_and_log_ratio(input, sigma, cond)?;
                (denoised, Some(log_ratio))
            }
            (FakeSource::Instance, false) => (noised.x0.clone(), None),
            (FakeSource::Instance, true) => {
                (noised.x0.clone(), Some(fake.log_ratio(input, sigma, cond)?))
            }
        };
        Ok(Self { teacher, fake, log_ratio })
    }
}
