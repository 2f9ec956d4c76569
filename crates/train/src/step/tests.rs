//! Values and signs of the terms next to the surrogate. A wrong sign in one of them still trains.

use candle_core::{Device, Result, Tensor, Var};
use divergence::{Adversarial, FakeWeighting, Regression};
use models::{Conditioning, Denoiser, LogRatio};

use super::{
    Discrimination, Inputs, KnownRatio, RealBatch, RegressionPairs,
    adversarial::{discriminator_loss, generator_term},
    denoising_loss, fake_terms, regression,
};

fn tensor(values: &[f64]) -> Tensor {
    Tensor::new(values, &Device::Cpu).unwrap()
}

fn values(tensor: &Tensor) -> Vec<f64> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

#[track_caller]
fn assert_close(found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() < 1e-12, "{found}, not {expected}");
    }
}

fn softplus(x: f64) -> f64 {
    x.exp().ln_1p()
}

/// Denoiser that halves its input.
struct Half;

impl Denoiser for Half {
    fn denoise(&self, x: &Tensor, _: &Tensor, _: &Conditioning) -> Result<Tensor> {
        x * 0.5
    }

    fn sigma_range(&self) -> [f64; 2] {
        [0.0, f64::INFINITY]
    }

    fn round_sigma(&self, sigma: f64) -> f64 {
        sigma
    }
}

/// Log-ratio that is the sum of a sample.
struct Sum;

impl LogRatio for Sum {
    fn log_ratio(&self, x: &Tensor, _: &Tensor, _: &Conditioning) -> Result<Tensor> {
        x.flatten_from(1)?.sum(1)
    }
}

#[test]
fn the_discriminator_labels_real_images_one() {
    let loss = discriminator_loss(&tensor(&[-2.0, 0.5]), &tensor(&[1.0, -3.0])).unwrap();
    let expected = [softplus(-2.0) + softplus(-1.0), softplus(0.5) + softplus(3.0)];
    assert_close(&values(&loss), &expected);
}

#[test]
fn the_adversarial_term_raises_the_logit() {
    let term = Adversarial { generator_weight: 0.25, discriminator_weight: 1.0 };
    let logit = Var::from_tensor(&tensor(&[-1.0, 2.0])).unwrap();
    let loss = generator_term(&term, logit.as_tensor(), 8).unwrap();
    assert_close(&values(&loss), &[2.0 * softplus(1.0), 2.0 * softplus(-2.0)]);
    let grad = loss.sum_all().unwrap().backward().unwrap();
    // d softplus(-l)/dl = -1/(1 + e^l).
    let slope = |l: f64| -2.0 / (1.0 + l.exp());
    assert_close(&values(grad.get(&logit).unwrap()), &[slope(-1.0), slope(2.0)]);
}

#[test]
fn real_images_are_noised_with_their_own_noise() {
    let fake = KnownRatio { denoiser: Half, ratio: Sum };
    let column = |values: &[f64]| tensor(values).reshape((2, 1)).unwrap();
    let inputs = Inputs {
        z: column(&[0.0, 0.0]),
        sigma: tensor(&[0.5, 2.0]),
        noise: column(&[1.0, -1.0]),
        cond: Conditioning::default(),
        seed: 0,
        position: 0,
        update: 0,
        steps: super::StepInputs::default(),
    };
    let cond = Conditioning::default();
    let real = RealBatch { images: column(&[3.0, 1.0]), noise: column(&[2.0, 0.5]), cond };
    let weighted = |weighting, adversarial: Option<&Adversarial>| {
        let discrimination = Some(Discrimination { real: &real, adversarial, targets: None });
        fake_terms(&fake, column(&[-1.0, 0.5]), &inputs, weighting, 0.5, discrimination).unwrap()
    };
    let terms = |adversarial| weighted(FakeWeighting::Edm, adversarial);
    // x = x0 + σ n: (-0.5, -1.5) for the student, (4, 2) for real images.
    let (on_fake, on_real) = ([-0.5, -1.5], [4.0, 2.0]);
    let entropy = |i: usize| softplus(on_fake[i]) + softplus(-on_real[i]);
    let adversarial = Adversarial { generator_weight: 1.0, discriminator_weight: 3.0 };
    let found = terms(Some(&adversarial));
    let logits = found.logits.as_ref().unwrap();
    assert_close(&values(&logits.0), &on_fake);
    assert_close(&values(&logits.1), &on_real);
    let discriminator = [3.0 * entropy(0), 3.0 * entropy(1)];
    assert_close(&values(found.discriminator.as_ref().unwrap()), &discriminator);
    // D = x/2, λ = (σ² + ¼)/(σ/2)².
    let denoising = [8.0 * 0.75f64.powi(2), 4.25 * 1.25f64.powi(2)];
    assert_close(&values(&found.denoising), &denoising);
    let total = [denoising[0] + discriminator[0], denoising[1] + discriminator[1]];
    assert_close(&values(&found.total().unwrap()), &total);
    // Without weight: |x/2 - x0|².
    let uniform = weighted(FakeWeighting::Uniform, Some(&adversarial));
    assert_close(&values(&uniform.denoising), &[0.75f64.powi(2), 1.25f64.powi(2)]);
    assert_close(&values(uniform.discriminator.as_ref().unwrap()), &discriminator);
    // If it serves the ratio alone, it has SiDA's weight.
    let alone = terms(None).discriminator.unwrap();
    assert_close(&values(&alone), &[0.03 * entropy(0), 0.03 * entropy(1)]);
}

#[test]
fn the_denoising_loss_has_the_weight_of_edm() {
    let x0 = tensor(&[1.0, 2.0, 0.0, -1.0]).reshape((2, 2)).unwrap();
    let denoised = tensor(&[0.0, 4.0, 1.0, -1.0]).reshape((2, 2)).unwrap();
    let loss = denoising_loss(&denoised, &x0, &tensor(&[1.0, 0.5]), 0.5).unwrap();
    // λ(1) = 1.25/0.25 = 5 and λ(0.5) = 0.5/0.0625 = 8.
    assert_close(&values(&loss), &[5.0 * 5.0, 8.0 * 1.0]);
}

#[test]
fn the_regression_term_is_the_distance_from_the_teachers_image() {
    let z = tensor(&[1.0, -2.0]).reshape((1, 2)).unwrap();
    // The generator is called at σ_init z, and halves it.
    let images = tensor(&[2.0, -3.0]).reshape((1, 2)).unwrap();
    let distance = |images: Tensor| {
        let pairs = RegressionPairs { z: z.clone(), images, cond: Conditioning::default() };
        values(&regression::term(&Regression { weight: 0.25 }, &Half, Some(&pairs), 4.0).unwrap())
    };
    assert_close(&distance(images), &[0.25]);
    assert_close(&distance((&z * 2.0).unwrap()), &[0.0]);
}
