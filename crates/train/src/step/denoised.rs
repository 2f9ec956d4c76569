//! Teacher and fake score at the same noised sample.

use candle_core::{Result, Tensor};
use divergence::{FakeScoreSource, Method};
use models::Conditioning;

use super::{Noised, Players};

/// Both denoisers at `(x, σ)`, each of the shape of `x`, and the log-ratio there.
#[derive(Clone, Debug)]
pub struct Denoised {
    /// `D_p`: the teacher.
    pub teacher: Tensor,
    /// `D_q`: the denoiser of the student's law.
    pub fake: Tensor,
    /// ln(teacher/student), `[B]`, where the method asks for it.
    pub log_ratio: Option<Tensor>,
}

impl Denoised {
    /// Evaluates all at `noised`; gradients reach `noised.x` where the method needs them.
    ///
    /// Integral objectives need no such gradient (docs/theory.md, "The gradient at one noise
    /// level"), so they run no backward pass here. If the student is one point, its denoiser is
    /// that point.
    ///
    /// # Errors
    ///
    /// If a network fails.
    pub fn at(
        noised: &Noised,
        players: &Players<'_>,
        cond: &Conditioning,
        method: &Method,
    ) -> Result<Self> {
        let (fake, sigma) = (players.fake, &noised.sigma);
        let still = noised.x.detach();
        let x = if method.needs_input_gradient() { &noised.x } else { &still };
        let teacher = players.teacher.denoise(x, sigma, cond)?;
        // The adversarial term is differentiated through the discriminator, whatever the objective.
        let seen = if method.adversarial.is_some() { &noised.x } else { x };
        let (fake, log_ratio) = match (method.fake_score, method.needs_discriminator()) {
            (FakeScoreSource::Trained, false) => (fake.denoise(x, sigma, cond)?, None),
            (FakeScoreSource::Trained, true) => {
                let (denoised, log_ratio) = fake.denoise_and_log_ratio(seen, sigma, cond)?;
                (denoised, Some(log_ratio))
            }
            (FakeScoreSource::Instance, false) => (noised.x0.clone(), None),
            (FakeScoreSource::Instance, true) => {
                (noised.x0.clone(), Some(fake.log_ratio(seen, sigma, cond)?))
            }
        };
        Ok(Self { teacher, fake, log_ratio })
    }
}
