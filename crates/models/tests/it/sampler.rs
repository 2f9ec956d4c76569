//! The sampler against the reference's images, and its bookkeeping.

use std::cell::Cell;

use candle_core::{Result, Tensor};
use kernels::noise::NoiseStream;
use uni_instruct_models::edm::sampler::{Integrator, SamplerConfig, sample, stream_noise};
use uni_instruct_models::{Conditioning, Denoiser, Network};

use crate::golden::{Golden, error, load};

/// Relative to the reference's largest magnitude.
const TOLERANCE: f64 = 1e-4;

/// Counts what it passes on.
struct Counted<'a>(&'a Network, Cell<usize>);

impl Denoiser for Counted<'_> {
    fn denoise(&self, x: &Tensor, sigma: &Tensor, cond: &Conditioning) -> Result<Tensor> {
        self.1.set(self.1.get() + 1);
        self.0.denoise(x, sigma, cond)
    }

    fn sigma_range(&self) -> [f64; 2] {
        self.0.sigma_range()
    }

    fn round_sigma(&self, sigma: f64) -> f64 {
        self.0.round_sigma(sigma)
    }
}

#[test]
fn images_match_the_reference() {
    let golden = Golden::load("edm-ddpmpp-cond-augment");
    let file = load("sampler-edm-ddpmpp-cond-augment");
    let network = golden.network();
    let cond = Conditioning::labels(Some(file.tensors["class_labels"].clone()));
    let churn = SamplerConfig {
        s_churn: 40.0,
        s_min: 0.05,
        s_max: Some(50.0),
        s_noise: 1.003,
        ..SamplerConfig::heun(6)
    };
    let narrow =
        SamplerConfig { sigma_min: 0.01, sigma_max: 20.0, rho: 5.0, ..SamplerConfig::heun(18) };
    let table = [
        ("heun_steps8", SamplerConfig::heun(8)),
        ("heun_steps18_smax20", narrow),
        ("churn_steps6", churn),
    ];
    for (key, config) in table {
        let counted = Counted(&network, Cell::new(0));
        let noise = &file.tensors["churn_noise"];
        let images =
            sample(&counted, &config, &file.tensors["latents"], &cond, &mut |i, _| noise.get(i));
        let error = error(&images.unwrap(), &file.tensors[key]);
        assert!(error <= TOLERANCE, "{key}: {error:.1e}");
        assert_eq!(counted.1.get(), config.evaluations());
    }
}

#[test]
fn euler_takes_one_evaluation_a_step() {
    let golden = Golden::load("edm-ncsnpp-uncond");
    let network = golden.network();
    let config = SamplerConfig { integrator: Integrator::Euler, ..SamplerConfig::heun(3) };
    let counted = Counted(&network, Cell::new(0));
    let latents = golden.get("io.x");
    let cond = Conditioning::default();
    let images = sample(&counted, &config, &latents, &cond, &mut |_, _| unreachable!()).unwrap();
    assert_eq!(images.dims(), latents.dims());
    assert_eq!(counted.1.get(), config.evaluations());
    assert_eq!(config.evaluations(), 3);

    let none = SamplerConfig::heun(0);
    let error = sample(&counted, &none, &latents, &cond, &mut |_, _| unreachable!()).unwrap_err();
    assert!(error.to_string().contains("0 steps"), "{error}");
}

/// Noise of churn belongs to a sample and a step, not to a batch.
#[test]
fn churned_images_do_not_depend_on_the_batch_split() {
    let golden = Golden::load("edm-ncsnpp-uncond");
    let network = golden.network();
    let config = SamplerConfig { s_churn: 40.0, ..SamplerConfig::heun(3) };
    let latents = golden.get("io.x");
    let run = |first: usize, count: usize| {
        let noise = NoiseStream::new(1, 2);
        let mut noise = stream_noise(noise, 50 + first as u64, 1000, latents.device());
        let part = latents.narrow(0, first, count).unwrap();
        sample(&network, &config, &part, &Conditioning::default(), &mut noise).unwrap()
    };
    let whole = run(0, 3);
    let parts = Tensor::cat(&[run(0, 1), run(1, 2)], 0).unwrap();
    assert!(error(&parts, &whole) < 1e-5);
    assert!(error(&run(1, 1), &whole.narrow(0, 0, 1).unwrap()) > 1e-3);
}
