//! The surrogate's terms: its equivalent forms, special cases, weightings and distances.

use candle_core::{DType, Device, Result, Tensor, Var};

use super::gradient::true_weights;
use super::toy::ToyProblem;
use super::{assert_close, family, relative_error};
use crate::{
    Distance, Divergence, Method, Objective, RatioWeights, SigmaDistribution, SurrogateInputs,
    Weighting, constant_weights, relative_gap, surrogate,
};

const SIGMA: f64 = 0.6;

/// The exact objective without its clip.
pub(super) const EXACT: Objective = Objective::Exact { clip: f64::INFINITY };

fn exact(divergence: Divergence) -> Method {
    Method { objective: EXACT, divergence, weighting: Weighting::Uniform, ..Method::default() }
}

fn sid(alpha: f64, distance: Distance, weighting: Weighting) -> Method {
    let objective = Objective::Sid { alpha };
    Method {
        objective,
        divergence: Divergence::ReverseKl,
        distance,
        weighting,
        ..Method::default()
    }
}

/// Samples `[7, 2]` and noise, scattered over the plane without chance.
fn samples() -> (Var, Tensor) {
    let scatter = |i: usize, a: f64| 1.6 * (a * (i as f64 + 1.0)).sin();
    let tensor = |a: f64| {
        let numbers: Vec<f64> = (0..14).map(|i| scatter(i, a)).collect();
        Tensor::from_vec(numbers, (7, 2), &Device::Cpu).unwrap()
    };
    (Var::from_tensor(&tensor(2.3)).unwrap(), tensor(1.7))
}

/// The gradient of a loss with respect to the samples, noise fixed, in the closed-form plane.
fn gradient(loss: impl Fn(&SurrogateInputs<'_>, &Tensor) -> Result<Tensor>) -> Vec<f64> {
    let (x0, noise) = samples();
    let x = (x0.as_tensor() + (noise * SIGMA).unwrap()).unwrap();
    let loss = ToyProblem::plane().losses_at(&x0, &x, SIGMA, loss).unwrap();
    let grads = loss.sum_all().unwrap().backward().unwrap();
    grads.get(&x0).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

fn dot(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    (a * b)?.sum(1)
}

/// `δ` and `e = s_q - s_c`.
fn scores(inputs: &SurrogateInputs<'_>) -> Result<(Tensor, Tensor)> {
    let scale = SIGMA.powi(-2);
    Ok((((inputs.fake - inputs.teacher)? * scale)?, ((inputs.fake - inputs.x0)? * scale)?))
}

/// `(h + h')(u(x)) |δ|² - 2 h(u(x)) δ·e`, differentiated through everything.
fn form_1(divergence: &Divergence, inputs: &SurrogateInputs<'_>, l: &Tensor) -> Result<Tensor> {
    let (delta, e) = scores(inputs)?;
    let RatioWeights { weight: h, kappa1, .. } = true_weights(divergence, l)?;
    let fisher = ((&h * kappa1.affine(1.0, 1.0)?)? * dot(&delta, &delta)?)?;
    fisher - (h * (dot(&delta, &e)? * 2.0)?)?
}

/// Stop-gradient weights of the three parts, from the derivatives of the profile.
fn form_2(divergence: &Divergence, inputs: &SurrogateInputs<'_>, l: &Tensor) -> Result<Tensor> {
    let (delta, e) = scores(inputs)?;
    let h = divergence.profile();
    let (slope, curvature) = (h.derivative(), h.derivative().derivative());
    let l: Vec<f64> = l.detach().to_vec1()?;
    // d/du = -d/dl.
    let weight = |f: &dyn Fn(f64) -> f64| {
        Tensor::new(l.iter().map(|&l| f(l)).collect::<Vec<_>>(), &Device::Cpu)
    };
    let sim = weight(&|l| h.eval(l))?;
    let fgm = weight(&|l| h.eval(l) - slope.eval(l))?;
    let squared = weight(&|l| curvature.eval(l) - slope.eval(l))?;
    let cross = weight(&|l| 2.0 * slope.eval(l))?;
    let (a, gap) = (dot(&delta, &e)?, dot(&delta, &delta)?);
    let di = ((squared * gap.detach())? + (cross * a.detach())?)?;
    let parts = [(sim * (a * -2.0)?)?, (fgm * gap)?, (di * dot(&delta.detach(), inputs.x)?)?];
    (&parts[0] + &parts[1])? + &parts[2]
}

/// SiD with an alpha that depends on the ratio, in denoisers.
fn form_3(divergence: &Divergence, inputs: &SurrogateInputs<'_>, l: &Tensor) -> Result<Tensor> {
    let RatioWeights { weight: h, kappa1, .. } = true_weights(divergence, l)?;
    let alpha = kappa1.affine(-0.5, 0.5)?.unsqueeze(1)?;
    let gap = (inputs.teacher - inputs.fake)?;
    let inner = ((inputs.teacher - inputs.x0)? - alpha.broadcast_mul(&gap)?)?;
    (h * dot(&gap, &inner)?)? * (2.0 * SIGMA.powi(-4))
}

#[test]
fn three_forms_and_the_surrogate_agree_sample_by_sample() {
    for divergence in family() {
        let method = exact(divergence.clone());
        let got = gradient(|inputs, l| {
            surrogate(&method, inputs, &true_weights(&divergence, l)?)? * (2.0 * SIGMA.powi(-4))
        });
        for form in [form_1, form_2, form_3] {
            let want = gradient(|inputs, l| form(&divergence, inputs, l));
            let error = relative_error(&got, &want);
            assert!(error < 1e-11, "{divergence}: {error:.1e}");
        }
    }
}

fn constant(inputs: &SurrogateInputs<'_>) -> Result<RatioWeights> {
    constant_weights(inputs.x0.dims()[0], inputs.x0.device(), inputs.x0.dtype())
}

#[test]
fn reverse_kl_is_sid_with_alpha_one_half() {
    let half = sid(0.5, Distance::Squared, Weighting::PerSample);
    let whole = Method { objective: EXACT, ..half.clone() };
    let of = |method: &Method| gradient(|inputs, _| surrogate(method, inputs, &constant(inputs)?));
    assert!(relative_error(&of(&whole), &of(&half)) < 1e-14);
}

#[test]
fn sid_with_alpha_one_is_minus_a_over_omega() {
    let method = sid(1.0, Distance::Squared, Weighting::PerSample);
    let (x0, noise) = samples();
    let x = (x0.as_tensor() + (noise * SIGMA).unwrap()).unwrap();
    let [got, want] = ToyProblem::plane()
        .losses_at(&x0, &x, SIGMA, |inputs, _| {
            let got = surrogate(&method, inputs, &constant(inputs)?)?;
            let omega = (inputs.x0 - inputs.teacher)?.abs()?.mean(1)?;
            let a = dot(&(inputs.fake - inputs.teacher)?, &(inputs.fake - inputs.x0)?)?;
            Ok([got.to_vec1::<f64>()?, (a.neg()? / omega)?.to_vec1::<f64>()?])
        })
        .unwrap();
    assert!(relative_error(&got, &want) < 1e-14);
}

/// A batch of made-up images `[2, 1, 2, 2]` with constant denoisers: what is left is the explicit
/// dependence on the sample.
struct Made {
    x0: Var,
    x: Var,
    sigma: Tensor,
    teacher: Tensor,
    fake: Tensor,
}

fn made(dtype: DType) -> Made {
    let tensor = |numbers: [f64; 8]| {
        Tensor::new(&numbers, &Device::Cpu)
            .unwrap()
            .reshape((2, 1, 2, 2))
            .unwrap()
            .to_dtype(dtype)
            .unwrap()
    };
    let var = |numbers| Var::from_tensor(&tensor(numbers)).unwrap();
    Made {
        x0: var([0.5, -0.25, 1.0, 0.75, -1.0, 0.125, 0.25, 0.5]),
        x: var([1.5, -0.5, 1.25, 0.0, -2.0, 1.0, 0.5, -0.75]),
        sigma: Tensor::new(&[0.5, 2.0], &Device::Cpu).unwrap().to_dtype(dtype).unwrap(),
        teacher: tensor([0.25, 0.0, 0.5, 0.5, -0.5, 0.25, 0.0, 1.0]),
        fake: tensor([0.5, 0.25, 0.75, 0.0, -0.75, 0.5, -0.5, 1.5]),
    }
}

impl Made {
    fn inputs(&self) -> SurrogateInputs<'_> {
        let Self { x0, x, sigma, teacher, fake } = self;
        SurrogateInputs { x0, x, sigma, teacher, fake }
    }

    /// Gradients with respect to `x0` and `x`, zero if there is no path.
    fn gradients(&self, method: &Method, weights: &RatioWeights) -> [Vec<f64>; 2] {
        let loss = surrogate(method, &self.inputs(), weights).unwrap();
        let grads = loss.sum_all().unwrap().backward().unwrap();
        [&self.x0, &self.x].map(|var| {
            let zeros = var.zeros_like().unwrap();
            let grad = grads.get(var).unwrap_or(&zeros).to_dtype(DType::F64).unwrap();
            grad.flatten_all().unwrap().to_vec1().unwrap()
        })
    }
}

fn numbers(x: &Tensor) -> Vec<f64> {
    x.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

fn weights(weight: [f64; 2], kappa1: [f64; 2], kappa2: [f64; 2], dtype: DType) -> RatioWeights {
    let [weight, kappa1, kappa2] = [weight, kappa1, kappa2]
        .map(|it| Tensor::new(&it, &Device::Cpu).unwrap().to_dtype(dtype).unwrap());
    RatioWeights { weight, kappa1, kappa2 }
}

/// `-A` holds `+Δ·x₀`: the sample must not be detached there. And the correction holds
/// `coefficient Δ·x`, clipped.
#[test]
fn exact_gradients_reach_the_sample_and_the_noised_sample() {
    for dtype in [DType::F32, DType::F64] {
        let made = made(dtype);
        let gap = numbers(&(&made.fake - &made.teacher).unwrap());
        let error = numbers(&(&made.fake - made.x0.as_tensor()).unwrap());
        let weights = weights([2.0, 3.0], [-0.5, -1.0], [0.25, 1.0], dtype);
        for (clip, within) in [(f64::INFINITY, false), (0.05, true)] {
            let mut method = exact(Divergence::ForwardKl);
            method.objective = Objective::Exact { clip };
            let [from_x0, from_x] = made.gradients(&method, &weights);
            for row in 0..2 {
                let [h, k1, k2] = [[2.0, -0.5, 0.25], [3.0, -1.0, 1.0]][row];
                let sigma = [0.5, 2.0][row];
                let at = 4 * row..4 * row + 4;
                let b: f64 = gap[at.clone()].iter().map(|g| g * g).sum();
                let a: f64 = at.clone().map(|i| gap[i] * error[i]).sum();
                let whole: f64 = ((k1 + k2) * b - 2.0 * k1 * a) / (2.0 * sigma * sigma);
                assert!(!within || 0.05 < whole.abs(), "the clip must bite: {whole}");
                for i in at {
                    assert_close(from_x0[i], h * gap[i], 1e-6);
                    assert_close(from_x[i], h * whole.clamp(-clip, clip) * gap[i], 1e-6);
                }
            }
        }
    }
}

#[test]
fn integral_gradient_is_the_detached_gap() {
    let made = made(DType::F32);
    let method = Method {
        objective: Objective::Integral,
        weighting: Weighting::PerSample,
        ..Method::default()
    };
    let [from_x0, from_x] =
        made.gradients(&method, &weights([2.0, 3.0], [0.0; 2], [0.0; 2], DType::F32));
    let gap = numbers(&(&made.fake - &made.teacher).unwrap());
    let off = numbers(&(made.x0.as_tensor() - &made.teacher).unwrap());
    for (i, got) in from_x0.into_iter().enumerate() {
        let row = i / 4;
        let omega: f64 = off[4 * row..4 * row + 4].iter().map(|it| it.abs()).sum::<f64>() / 4.0;
        assert_close(got, [2.0, 3.0][row] * gap[i] / omega, 1e-6);
    }
    assert_eq!(from_x, [0.0; 8]);
}

#[test]
fn weightings_match_their_formulas() {
    let made = made(DType::F64);
    let base = sid(1.0, Distance::Squared, Weighting::Uniform);
    let ones = constant_weights(2, &Device::Cpu, DType::F64).unwrap();
    let value = |weighting| {
        let method = Method { weighting, ..base.clone() };
        numbers(&surrogate(&method, &made.inputs(), &ones).unwrap())
    };
    let uniform = value(Weighting::Uniform);
    let gaussian = value(Weighting::Gaussian { variance: 1.5 });
    let theory = value(Weighting::Theory);
    for (row, sigma) in [0.5, 2.0_f64].into_iter().enumerate() {
        let omega =
            (2.0 / std::f64::consts::PI * 1.5 * sigma * sigma / (sigma * sigma + 1.5)).sqrt();
        assert_close(gaussian[row], uniform[row] / omega, 1e-14);
        let density = base.sigma_law.density(sigma);
        assert_close(theory[row], uniform[row] / (sigma.powi(3) * density), 1e-14);
    }
    // If the teacher returns the sample, the per-sample normalizer stops at 1e-5.
    let teacher = made.x0.as_tensor().clone();
    let inputs = SurrogateInputs { teacher: &teacher, ..made.inputs() };
    let method = |weighting| Method { weighting, ..base.clone() };
    let clipped = surrogate(&method(Weighting::PerSample), &inputs, &ones).unwrap();
    let plain = surrogate(&method(Weighting::Uniform), &inputs, &ones).unwrap();
    assert!(relative_error(&numbers(&clipped), &numbers(&(plain * 1e5).unwrap())) < 1e-12);
}

#[test]
fn theory_weights_stay_finite_at_rounded_noise_levels() {
    let made = made(DType::F32);
    let ones = constant_weights(2, &Device::Cpu, DType::F32).unwrap();
    let (low, high) = (0.3000001, 2.9999999);
    let mut method = sid(1.0, Distance::Squared, Weighting::Theory);
    method.sigma_law = SigmaDistribution::LogUniform { min: low, max: high };
    let sigma = Tensor::new(&[low as f32, high as f32], &Device::Cpu).unwrap();
    assert!(sigma.to_vec1::<f32>().unwrap().iter().any(|&s| !(low..=high).contains(&s.into())));
    let inputs = SurrogateInputs { sigma: &sigma, ..made.inputs() };
    let loss = numbers(&surrogate(&method, &inputs, &ones).unwrap());
    assert!(loss.iter().all(|it| it.is_finite()), "{loss:?}");
}

/// `E[v(x)·(D_q - x₀)] = 0` for every `v`: so score matching has mean 0 for any distance, and the
/// pseudo-Huber distance turns into the squared one, over `c`, as `c` grows.
#[test]
fn projection_identity_and_the_limit_of_pseudo_huber() {
    let huber = |c| sid(1.0, Distance::PseudoHuber { c }, Weighting::Uniform);
    let methods = [huber(0.3), huber(1e6), sid(1.0, Distance::Squared, Weighting::Uniform)];
    let losses = |inputs: &SurrogateInputs<'_>, _: &Tensor| {
        methods.iter().map(|it| surrogate(it, inputs, &constant(inputs)?)).collect()
    };
    for (problem, sigma) in [(ToyProblem::line(), 0.5), (ToyProblem::plane(), 0.7)] {
        for (value, size) in problem.expected_values(sigma, losses).unwrap() {
            assert!(value.abs() < 1e-12 * size, "{value} of {size}");
        }
        let gradients = problem.expected_gradients(sigma, losses).unwrap();
        let scaled: Vec<f64> = gradients[1].iter().map(|it| 1e6 * it).collect();
        assert!(relative_error(&scaled, &gradients[2]) < 1e-9);
        assert!(0.1 < relative_error(&gradients[0], &gradients[2]));
    }
}

#[test]
fn relative_gap_is_the_gap_over_the_noise() {
    let made = made(DType::F32);
    let got = numbers(&relative_gap(&made.inputs()).unwrap());
    let gap = numbers(&(&made.fake - &made.teacher).unwrap());
    for (row, sigma) in [0.5, 2.0].into_iter().enumerate() {
        let norm = gap[4 * row..4 * row + 4].iter().map(|g| g * g).sum::<f64>().sqrt();
        assert_close(got[row], norm / sigma, 1e-6);
    }
}

#[test]
fn rejects_mismatched_tensors() {
    let made = made(DType::F32);
    let method = Method::default();
    let ones = constant_weights(2, &Device::Cpu, DType::F32).unwrap();
    let other = made.x.as_tensor().narrow(2, 0, 1).unwrap();
    let double = made.teacher.to_dtype(DType::F64).unwrap();
    let three = constant_weights(3, &Device::Cpu, DType::F32).unwrap();
    let flat = made.sigma.clone();
    let fault = |inputs: SurrogateInputs<'_>, weights: &RatioWeights| {
        surrogate(&method, &inputs, weights).unwrap_err().to_string()
    };
    let inputs = made.inputs();
    assert!(fault(SurrogateInputs { x: &other, ..inputs }, &ones).contains("surrogate: x is"));
    assert!(fault(SurrogateInputs { fake: &other, ..inputs }, &ones).contains("fake is"));
    assert!(
        fault(SurrogateInputs { teacher: &double, ..inputs }, &ones).contains("teacher is F64")
    );
    assert!(fault(SurrogateInputs { x0: &flat, ..inputs }, &ones).contains("at least two dim"));
    assert!(fault(inputs, &three).contains("weight is [3]"));
    assert!(fault(SurrogateInputs { sigma: &other, ..inputs }, &ones).contains("sigma is"));
}
