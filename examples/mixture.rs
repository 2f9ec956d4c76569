//! Distills a mixture of two Gaussians, given by your own `Denoiser`, into a one-step generator.
//!
//! The student is Gaussian, so its denoiser and the log-ratio are known in closed form, and only the
//! generator is trained. Forward KL matches the moments of the mixture; reverse KL does not.
//!
//! Usage: `mixture [DIVERGENCE] [UPDATES]`, for example `mixture reverse-kl 400`.

use candle_core::{DType, Device, Result, Tensor};
use divergence::{Method, Objective, Weighting};
use models::analytic::{AffineDenoiser, AffineGenerator, Density, DensityRatio};
use models::{Conditioning, Denoiser, ParamSet, Params};
use train::config::{Config, Phase, Positive};
use train::{Engine, Networks, Source, TrainState, step::KnownRatio};

/// Teacher: two modes of equal weight at `±CENTER`, each of this variance.
struct Mixture;
const CENTER: [f64; 2] = [1.0, 0.5];
const VARIANCE: f64 = 0.25;

impl Denoiser for Mixture {
    fn denoise(&self, x: &Tensor, sigma: &Tensor, _: &Conditioning) -> Result<Tensor> {
        let variance = (sigma.sqr()? + VARIANCE)?.unsqueeze(1)?;
        let center = Tensor::new(&[CENTER], x.device())?;
        let mode = (x.matmul(&center.t()?)? / &variance)?.tanh()?.matmul(&center)?;
        let share = (variance.recip()? * VARIANCE)?;
        x.broadcast_mul(&share)? + mode.broadcast_mul(&share.affine(-1.0, 1.0)?)?
    }

    fn sigma_range(&self) -> [f64; 2] {
        [0.0, f64::INFINITY]
    }

    fn round_sigma(&self, sigma: f64) -> f64 {
        sigma
    }
}

impl Density for Mixture {
    fn log_density(&self, x: &Tensor, sigma: &Tensor) -> Result<Tensor> {
        let variance = (sigma.sqr()? + VARIANCE)?;
        let mode = |sign: f64| {
            let offset = x.broadcast_sub(&Tensor::new(&CENTER.map(|c| sign * c), x.device())?)?;
            (offset.sqr()?.sum(1)? / &variance)? * -0.5
        };
        let (plus, minus) = (mode(1.0)?, mode(-1.0)?);
        let log_sum = (&plus + kernels::softplus(&(minus - &plus)?)?)?;
        log_sum - (variance * (2.0 * std::f64::consts::TAU))?.log()?
    }
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let divergence = args.next().as_deref().unwrap_or("forward-kl").parse()?;
    let updates: u64 = args.next().as_deref().unwrap_or("1000").parse()?;
    let (objective, weighting) = (Objective::Integral, Weighting::Uniform);
    let method = Method { divergence, objective, weighting, ..Method::default() };
    let phase = vec![Phase { images: 256 * updates, train_generator: true, method }];
    let mut config = Config { batch: 256.try_into()?, phase, ..Config::default() };
    config.generator.learning_rate = Positive::literal(0.02);
    let params = AffineGenerator::init(&[0.5, 0.0], &[0.5, 0.5], DType::F64)?;
    let state = TrainState::new(params, ParamSet::default(), None)?;
    let fake = |_: &Params| -> models::Result<_> {
        let denoiser = AffineDenoiser::build(&state.generator.params.frozen(), 2)?;
        let ratio = DensityRatio { teacher: Mixture, student: denoiser.clone() };
        Ok(KnownRatio { denoiser, ratio })
    };
    let generator = |params: &Params| AffineGenerator::build(params, 2);
    let networks = Networks::new(Mixture, &state, generator, fake, &[2], 1.0)?;
    let mut engine = Engine::new(config, networks, state, Source::none(), Device::Cpu)?;
    while engine.state.progress.images < engine.config.images() {
        engine.update()?;
    }
    let value = |name: &str| engine.state.ema.vars()[name].to_vec1::<f64>();
    println!("student: mean {:.3?}, standard deviation {:.3?}", value("mu")?, value("s")?);
    let deviation = CENTER.map(|c| (c * c + VARIANCE).sqrt());
    println!("teacher: mean [0.000, 0.000], standard deviation {deviation:.3?}");
    Ok(())
}
