//! Closed-form toy problems with a differentiable student, and exact expectations of gradients.

use candle_core::{D, Device, Result, Tensor, Var};

use crate::SurrogateInputs;
use crate::mixture::{Component, GaussianMixture};
use crate::quadrature::Grid;

/// A teacher, and a student `x₀ = mₖ + Aₖ z` that takes component `k` with a fixed probability.
#[derive(Clone)]
pub(super) struct ToyProblem {
    pub(super) teacher: GaussianMixture,
    weights: Vec<f64>,
    /// `mₖ` and, row by row, `Aₖ`, of each component.
    pub(super) parameters: Vec<f64>,
}

impl ToyProblem {
    /// Three modes, and a student of two components, on the line.
    pub(super) fn line() -> Self {
        let modes = [(0.35, -1.2, 0.35), (0.25, 0.3, 0.25), (0.40, 1.5, 0.45)];
        Self {
            teacher: GaussianMixture::on_line(&modes).unwrap(),
            weights: vec![0.6, 0.4],
            parameters: vec![-0.5, 0.75, 1.1, 0.55],
        }
    }

    /// The problem of the table in docs/theory.md: a Gaussian student with mean and standard deviation given.
    pub(super) fn gaussian_student(mean: f64, std: f64) -> Self {
        let modes = [(0.35, -1.92, 0.35), (0.25, 0.48, 0.25), (0.40, 2.40, 0.45)];
        Self {
            teacher: GaussianMixture::on_line(&modes).unwrap(),
            weights: vec![1.0],
            parameters: vec![mean, std],
        }
    }

    /// Two components each, in the plane.
    pub(super) fn plane() -> Self {
        let part = |mean: [f64; 2], covariance: [f64; 4]| Component {
            weight: 0.5,
            mean: mean.to_vec(),
            covariance: covariance.to_vec(),
        };
        let teacher = vec![
            part([-0.8, 0.2], [0.5, 0.1, 0.1, 0.4]),
            part([0.9, -0.3], [0.4, -0.08, -0.08, 0.55]),
        ];
        Self {
            teacher: GaussianMixture::new(teacher).unwrap(),
            weights: vec![0.55, 0.45],
            parameters: [-0.5, 0.4, 0.7, 0.1, -0.05, 0.62, 0.7, -0.1, 0.6, 0.0, 0.15, 0.7].to_vec(),
        }
    }

    fn dim(&self) -> usize {
        self.teacher.dim()
    }

    /// Means and factors of the components.
    fn parts(&self) -> impl Iterator<Item = (&[f64], &[f64])> {
        let d = self.dim();
        self.parameters.chunks_exact(d + d * d).map(move |part| part.split_at(d))
    }

    /// The student's distribution.
    pub(super) fn student(&self) -> GaussianMixture {
        let part = |((mean, a), &weight): ((&[f64], &[f64]), &f64)| Component {
            weight,
            mean: mean.to_vec(),
            covariance: product(a, &transpose(a)),
        };
        GaussianMixture::new(self.parts().zip(&self.weights).map(part).collect()).unwrap()
    }

    /// The derivative of `f(problem)` with respect to each parameter, by central differences of order 6; a row
    /// for each of the functions.
    pub(super) fn differences(&self, f: impl Fn(&Self) -> Vec<f64>) -> Vec<Vec<f64>> {
        const STEP: f64 = 0.002;
        const STENCIL: [(f64, f64); 6] =
            [(1.0, 45.0), (-1.0, -45.0), (2.0, -9.0), (-2.0, 9.0), (3.0, 1.0), (-3.0, -1.0)];
        let mut rows = vec![vec![0.0; self.parameters.len()]; f(self).len()];
        for i in 0..self.parameters.len() {
            for (offset, weight) in STENCIL {
                let mut moved = self.clone();
                moved.parameters[i] += offset * STEP;
                for (row, value) in rows.iter_mut().zip(f(&moved)) {
                    row[i] += weight * value / (60.0 * STEP);
                }
            }
        }
        rows
    }

    /// The gradient of `E[loss]` with respect to each parameter, for each of the losses that `losses` makes of
    /// a batch and its true log-ratios, by automatic differentiation through the samples alone.
    ///
    /// The expectation is exact: nodes in `x` by the trapezoid rule, and given `x` nodes of Gauss
    /// and Hermite in `z`, exact since the gradient is of second degree in it.
    pub(super) fn expected_gradients(
        &self,
        sigma: f64,
        losses: impl Fn(&SurrogateInputs<'_>, &Tensor) -> Result<Vec<Tensor>>,
    ) -> Result<Vec<Vec<f64>>> {
        let mut vars = Vec::new();
        let mut totals: Vec<Tensor> = Vec::new();
        for (k, (mean, factor)) in self.parts().enumerate() {
            let d = self.dim();
            let mean = Var::from_tensor(&Tensor::new(mean, &Device::Cpu)?)?;
            let factor = Var::from_tensor(&Tensor::new(factor, &Device::Cpu)?.reshape((d, d))?)?;
            let Nodes { z, noise, weight } = self.nodes(k, sigma)?;
            let x0 = z.matmul(&factor.as_tensor().t()?)?.broadcast_add(&mean)?;
            let x = (&x0 + (noise * sigma)?)?;
            for (i, loss) in self.losses_at(&x0, &x, sigma, &losses)?.into_iter().enumerate() {
                let sum = (loss * &weight)?.sum_all()?;
                match totals.get_mut(i) {
                    Some(total) => *total = (&*total + sum)?,
                    None => totals.push(sum),
                }
            }
            vars.extend([mean, factor]);
        }
        let gradient = |total: &Tensor| {
            let grads = total.backward()?;
            let of = |it: &Var| -> Result<Vec<f64>> {
                grads.get(it).expect("every parameter has a gradient").flatten_all()?.to_vec1()
            };
            Ok(vars.iter().map(of).collect::<Result<Vec<_>>>()?.concat())
        };
        totals.iter().map(gradient).collect()
    }

    /// `E[loss]` and `E|loss|` of each of the losses.
    pub(super) fn expected_values(
        &self,
        sigma: f64,
        losses: impl Fn(&SurrogateInputs<'_>, &Tensor) -> Result<Vec<Tensor>>,
    ) -> Result<Vec<(f64, f64)>> {
        let mut totals: Vec<(f64, f64)> = Vec::new();
        for (k, (mean, factor)) in self.parts().enumerate() {
            let d = self.dim();
            let factor = Tensor::new(factor, &Device::Cpu)?.reshape((d, d))?;
            let Nodes { z, noise, weight } = self.nodes(k, sigma)?;
            let x0 = z.matmul(&factor.t()?)?.broadcast_add(&Tensor::new(mean, &Device::Cpu)?)?;
            let x = (&x0 + (noise * sigma)?)?;
            for (i, loss) in self.losses_at(&x0, &x, sigma, &losses)?.into_iter().enumerate() {
                let value = (&loss * &weight)?.sum_all()?.to_scalar::<f64>()?;
                let size = (loss.abs()? * &weight)?.sum_all()?.to_scalar::<f64>()?;
                match totals.get_mut(i) {
                    Some(total) => *total = (total.0 + value, total.1 + size),
                    None => totals.push((value, size)),
                }
            }
        }
        Ok(totals)
    }

    /// `losses` at samples `x0` noised to `x`, with the closed-form denoisers.
    pub(super) fn losses_at<T>(
        &self,
        x0: &Tensor,
        x: &Tensor,
        sigma: f64,
        losses: impl Fn(&SurrogateInputs<'_>, &Tensor) -> Result<T>,
    ) -> Result<T> {
        let (log_p, score_p) = noised_density(&self.teacher, sigma, x)?;
        let (log_q, score_q) = noised_density(&self.student(), sigma, x)?;
        let denoised = |score: Tensor| x + (score * (sigma * sigma))?;
        let (teacher, fake) = (denoised(score_p)?, denoised(score_q)?);
        let sigma = Tensor::full(sigma, x.dims()[0], x.device())?;
        let inputs = SurrogateInputs { x0, x, sigma: &sigma, teacher: &teacher, fake: &fake };
        losses(&inputs, &(log_p - log_q)?)
    }

    /// Nodes of component `k`.
    fn nodes(&self, k: usize, sigma: f64) -> Result<Nodes> {
        let d = self.dim();
        let (_, a) = self.parts().nth(k).expect("a component of the problem");
        let mut covariance = product(a, &transpose(a));
        (0..d).for_each(|i| covariance[i * d + i] += sigma * sigma);
        let spread = factor(&covariance);
        // z given x is normal: mean K (x - m), covariance 1 - K A.
        let gain = product(&transpose(a), &inverse(&covariance));
        let mut rest: Vec<f64> = product(&gain, a).into_iter().map(|it| -it).collect();
        (0..d).for_each(|i| rest[i * d + i] += 1.0);
        let rest = factor(&rest);

        let grid = if d == 1 { LINE } else { PLANE };
        let (mut z, mut noise, mut weight) = (vec![], vec![], vec![]);
        let spacing = 2.0 * grid.half_width / (grid.points as f64 - 1.0);
        grid.integrate(d, 0, |y, _| {
            let square: f64 = y.iter().map(|y| y * y).sum();
            let normal = (-0.5 * square).exp() / (2.0 * std::f64::consts::PI).powf(0.5 * d as f64);
            let offset = apply(&spread, y);
            for corner in 0..1 << d {
                let sign: Vec<f64> =
                    (0..d).map(|i| f64::from(corner >> i & 1) * 2.0 - 1.0).collect();
                let at: Vec<f64> = apply(&gain, &offset)
                    .iter()
                    .zip(apply(&rest, &sign))
                    .map(|(a, b)| a + b)
                    .collect();
                let image = apply(a, &at);
                noise.extend(offset.iter().zip(image).map(|(x, image)| (x - image) / sigma));
                z.extend(at);
                let share = self.weights[k] / f64::from(1 << d);
                weight.push(share * normal * spacing.powi(d as i32));
            }
        });
        let rows = weight.len();
        Ok(Nodes {
            z: Tensor::from_vec(z, (rows, d), &Device::Cpu)?,
            noise: Tensor::from_vec(noise, (rows, d), &Device::Cpu)?,
            weight: Tensor::from_vec(weight, rows, &Device::Cpu)?,
        })
    }
}

/// Standard deviations of the student's component that the nodes span.
const LINE: Grid = Grid { half_width: 12.0, points: 241 };
const PLANE: Grid = Grid { half_width: 9.0, points: 81 };

/// Nodes `z`, `noise` `[N, d]` and weights `[N]` of an expectation.
struct Nodes {
    z: Tensor,
    noise: Tensor,
    weight: Tensor,
}

/// `ln p_σ(x)`, `[N]`, and `∇ ln p_σ(x)`, `[N, d]`, by tensor operations: differentiable in `x`, and
/// independent of the `f64` code.
fn noised_density(mixture: &GaussianMixture, sigma: f64, x: &Tensor) -> Result<(Tensor, Tensor)> {
    let d = mixture.dim();
    let (mut logs, mut pulls) = (vec![], vec![]);
    for it in mixture.components() {
        let mut covariance = it.covariance.clone();
        (0..d).for_each(|i| covariance[i * d + i] += sigma * sigma);
        let precision = Tensor::new(inverse(&covariance), x.device())?.reshape((d, d))?;
        let centered = x.broadcast_sub(&Tensor::new(it.mean.as_slice(), x.device())?)?;
        let pull = centered.matmul(&precision)?;
        let scale = it.weight.ln()
            - 0.5 * determinant(&covariance).ln()
            - 0.5 * d as f64 * (2.0 * std::f64::consts::PI).ln();
        logs.push((&centered * &pull)?.sum(1)?.affine(-0.5, scale)?);
        pulls.push(pull);
    }
    let logs = Tensor::stack(&logs, 1)?;
    let largest = logs.detach().max_keepdim(1)?;
    let shares = logs.broadcast_sub(&largest)?.exp()?;
    let total = shares.sum_keepdim(1)?;
    let log = (total.log()? + largest)?.squeeze(1)?;
    let shares = shares.broadcast_div(&total)?.unsqueeze(D::Minus1)?;
    let score = shares.broadcast_mul(&Tensor::stack(&pulls, 1)?)?.sum(1)?.neg()?;
    Ok((log, score))
}

// Matrices of one or two dimensions, row by row.

fn product(a: &[f64], b: &[f64]) -> Vec<f64> {
    let d = a.len().isqrt();
    let element = |i: usize| (0..d).map(|k| a[i / d * d + k] * b[k * d + i % d]).sum();
    (0..d * d).map(element).collect()
}

fn transpose(a: &[f64]) -> Vec<f64> {
    let d = a.len().isqrt();
    (0..d * d).map(|i| a[i % d * d + i / d]).collect()
}

fn apply(a: &[f64], x: &[f64]) -> Vec<f64> {
    a.chunks_exact(x.len()).map(|row| row.iter().zip(x).map(|(a, x)| a * x).sum()).collect()
}

fn determinant(a: &[f64]) -> f64 {
    match *a {
        [a] => a,
        [a, b, c, d] => a * d - b * c,
        _ => unreachable!("one or two dimensions"),
    }
}

fn inverse(a: &[f64]) -> Vec<f64> {
    let scale = determinant(a).recip();
    match *a {
        [_] => vec![scale],
        [a, b, c, d] => vec![d * scale, -b * scale, -c * scale, a * scale],
        _ => unreachable!("one or two dimensions"),
    }
}

/// A lower triangular `L` with `L Lᵀ` the matrix.
fn factor(a: &[f64]) -> Vec<f64> {
    match *a {
        [a] => vec![a.sqrt()],
        [a, _, c, d] => {
            let first = a.sqrt();
            vec![first, 0.0, c / first, (d - c * c / a).sqrt()]
        }
        _ => unreachable!("one or two dimensions"),
    }
}
