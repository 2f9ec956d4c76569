//! Values and signs of the terms next to the surrogate. A wrong sign in one of them still trains.

use candle_core::{Device, Result, Tensor, Var};
use divergence::{Adversarial, FakeWeighting, Frechet, Regression};
use metrics::{FrechetReference, Matrix, Moments};
use models::{Conditioning, Denoiser, LogRatio};

use super::{
    Discrimination, FrechetInputs, Inputs, KnownRatio, LogRatioEstimate, RealBatch,
    RegressionPairs,
    adversarial::{discriminator_loss, generator_term},
    denoising_loss, fake_terms,
    features::frechet_term,
    regression,
};
use crate::state::FeatureQueue;

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
fn a_discriminator_is_regressed_where_there_is_an_estimate() {
    let fake = KnownRatio { denoiser: Half, ratio: Sum };
    let column = |values: &[f64]| tensor(values).reshape((2, 1)).unwrap();
    let inputs = Inputs {
        z: column(&[0.0, 0.0]),
        sigma: tensor(&[1.0, 1.0]),
        noise: column(&[0.0, 0.0]),
        cond: Conditioning::default(),
        seed: 0,
        position: 0,
        update: 0,
        steps: super::StepInputs::default(),
    };
    let cond = Conditioning::default();
    let real = RealBatch { images: column(&[1.0, 3.0]), noise: column(&[0.0, 0.0]), cond };
    let target = |values: &[f64], ran: [bool; 2]| LogRatioEstimate {
        values: tensor(values),
        estimated: ran.into(),
    };
    let targets = [target(&[-1.0, 0.0], [true, false]), target(&[0.5, 5.0], [true, true])];
    let discriminator = |targets| {
        let discrimination = Discrimination { real: &real, adversarial: None, targets };
        let x0 = column(&[-0.5, 2.0]);
        let terms =
            fake_terms(&fake, x0, &inputs, FakeWeighting::Edm, 0.5, Some(discrimination)).unwrap();
        values(&terms.discriminator.unwrap())
    };
    let (with, without) = (discriminator(Some(&targets)), discriminator(None));
    // Halves of squares of (-0.5 + 1) and (1 - 0.5), then of (3 - 5), at weight 0.03.
    let expected = [0.03 * (0.125 + 0.125), 0.03 * 2.0];
    assert_close(&[with[0] - without[0], with[1] - without[1]], &expected);
}

#[test]
fn the_gradient_of_the_frechet_term_is_that_of_the_population() {
    const ROWS: usize = 30;
    const BATCH: usize = 4;
    const DIM: usize = 3;
    let wave = |count: usize, phase: f64| -> Vec<f64> {
        (0..count).map(|i| (1.7 * i as f64 + phase).sin() + 0.1 * phase).collect()
    };
    let moments = |values: &[f64]| {
        let rows = values.iter().map(|&it| it as f32).collect();
        Moments::of(&Matrix::new("rows", rows, DIM).unwrap()).gaussian().unwrap()
    };
    let reference = FrechetReference::new(moments(&wave(60 * DIM, 2.0))).unwrap();
    let queued = wave(ROWS * DIM, 0.0);
    let mut queue = FeatureQueue::new(DIM, ROWS);
    queue.push(&tensor(&queued).reshape((ROWS, DIM)).unwrap()).unwrap();
    let own = wave(BATCH * DIM, 5.0);
    let term = Frechet { weight: 2.0, queue: ROWS };
    let features = Var::from_tensor(&tensor(&own).reshape((BATCH, DIM)).unwrap()).unwrap();
    let inputs = FrechetInputs { reference: &reference, queue: &queue };
    let loss = frechet_term(&term, features.as_tensor(), inputs).unwrap();
    let distance = |own: &[f64]| reference.distance(&moments(&[&queued, own].concat())).unwrap();
    for value in values(&loss) {
        assert!((value - 2.0 * distance(&own)).abs() < 1e-5);
    }
    let grads = loss.mean_all().unwrap().backward().unwrap();
    let found = values(grads.get(&features).unwrap());
    // The batch stands for the whole population.
    let scale = 2.0 * (ROWS + BATCH) as f64 / BATCH as f64;
    for i in 0..own.len() {
        let moved = |by: f64| {
            let mut own = own.clone();
            own[i] += by;
            distance(&own)
        };
        let expected = scale * (moved(0.02) - moved(-0.02)) / 0.04;
        assert!((found[i] - expected).abs() < 2e-3, "{i}: {}, expected {expected}", found[i]);
    }
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
