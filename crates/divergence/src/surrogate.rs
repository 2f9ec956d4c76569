//! The generator's loss: per sample, with the method's gradient under automatic differentiation.

use candle_core::{Result, Tensor, bail};

use crate::ratio::{to_device, to_host};
use crate::{Distance, Method, Objective, RatioWeights, Weighting};

/// Inputs of the loss of a batch.
///
/// Gradients must reach the generator through `x0`, through `x` (which is `x0 + σ n`), and, unless
/// [`Method::needs_input_gradient`] is false, through both denoisers' *input*; their parameters
/// are frozen.
#[derive(Clone, Copy, Debug)]
pub struct SurrogateInputs<'a> {
    /// The generator's samples, `[B, ...]`, data units.
    pub x0: &'a Tensor,
    /// The noised samples, of the same shape and units.
    pub x: &'a Tensor,
    /// Noise levels, `[B]`, the same units, positive.
    pub sigma: &'a Tensor,
    /// The teacher's denoiser at `(x, sigma)`, the shape of `x`.
    pub teacher: &'a Tensor,
    /// The student's denoiser at `(x, sigma)`, the shape of `x`; `x0` itself under
    /// [`crate::FakeScoreSource::Instance`].
    pub fake: &'a Tensor,
}

/// The loss of each sample, `[B]`. Its gradient is the method's; its value has no meaning.
///
/// With `Δ = D_q - D_p` (fake less teacher), `A = Δ·(D_q - x₀)`, `B = |Δ|²`, sums over a sample's
/// elements, the weights `w = sg(h)`, `κ₁`, `κ₂` of [`RatioWeights`], and a noise level's weight `λ(σ)`
/// of [`Weighting`]:
///
/// ```text
/// Exact      λ w { -A + (1+κ₁)/2 B + sg( clip[((κ₁+κ₂) B - 2 κ₁ A)/(2σ²), ±c] Δ )·x }
/// Sid(α)     λ w { -A + (1-α) B }
/// Integral   λ w sg(Δ)·x₀
/// ```
///
/// **Exact.** Unclipped and with the true log-ratio, the three terms (score matching, squared gap,
/// correction) have, sample by sample, `σ⁴/2` times the gradient of
///
/// ```text
/// (h + h')(u(x)) |δ(x)|² - 2 h(u(x)) δ(x)·(s_q(x) - s_c),    s_c = (x₀ - x)/σ²,
/// ```
///
/// with primes for `d/du` and every function of `x` differentiated. The expectation of that gradient is
/// the gradient of `E_q[h |δ|²]` with respect to the student's parameters, student's density and score included
/// (Uni-Instruct, arXiv:2505.20755, Theorem 3.2, with the cross term `-2 κ₁ A` and the squared-gap
/// term, without which it holds for no divergence but to first order). For weights `h = ρᵃ` only
/// the constants change; reverse KL (κ = 0) needs no ratio and is `Sid(1/2)`.
///
/// **Sid(α).** `α = 1` is score implicit matching, whose distance may be pseudo-Huber: then
/// `Δ/√(|Δ|² + c²)` replaces `Δ` in `A`.
///
/// **Integral.** `E[h Δ·dx₀]/σ²` is the gradient of `D_f(q‖p)` at the noise level, for the same `h`.
///
/// The projection identity behind the first two requires that `λ` depend on σ alone.
/// [`Weighting::PerSample`] satisfies this approximately, and better in higher dimension.
///
/// # Shapes
///
/// - `inputs`: see [`SurrogateInputs`]; `weights`: three of `[B]`
/// - returns: `[B]`
///
/// # Errors
///
/// If shapes or types do not agree: the message names the tensor.
pub fn surrogate(
    method: &Method,
    inputs: &SurrogateInputs<'_>,
    weights: &RatioWeights,
) -> Result<Tensor> {
    check_shapes(inputs, weights)?;
    let RatioWeights { weight, kappa1, kappa2 } = weights.detach();
    let SurrogateInputs { x0, x, sigma, teacher, fake } = *inputs;
    let gap = (fake - teacher)?;
    let loss = match method.objective {
        Objective::Integral => row_dot(&gap.detach(), x0)?,
        Objective::Sid { alpha } => {
            let matching = row_dot(&direction(method.distance, &gap)?, &(fake - x0)?)?;
            ((row_dot(&gap, &gap)? * (1.0 - alpha))? - matching)?
        }
        Objective::Exact { clip } => {
            let matching = row_dot(&gap, &(fake - x0)?)?;
            let squared = row_dot(&gap, &gap)?;
            let coefficient = {
                let grad_gap = ((&kappa1 + &kappa2)? * squared.detach())?;
                let cross = ((&kappa1 * matching.detach())? * 2.0)?;
                let ratio = ((grad_gap - cross)? / (sigma.detach().sqr()? * 2.0)?)?;
                clamp(&ratio, clip)?
            };
            let correction = (coefficient * row_dot(&gap.detach(), x)?)?;
            let fisher = (kappa1.affine(0.5, 0.5)? * squared)?;
            ((fisher - matching)? + correction)?
        }
    };
    (loss * weight)? * level_weight(method, inputs)?
}

/// Size of the gap relative to the noise, `t = |Δ|/σ`, `[B]`, detached.
///
/// The correction of [`Objective::Exact`] is of the order of `t` and `t²` relative to score matching.
/// If `t` is far above 1, neither the correction nor the ratio is reliable.
///
/// # Errors
///
/// If shapes do not agree.
pub fn relative_gap(inputs: &SurrogateInputs<'_>) -> Result<Tensor> {
    let gap = (inputs.fake.detach() - inputs.teacher.detach())?;
    row_dot(&gap, &gap)?.sqrt()? / inputs.sigma.detach()
}

/// Direction on which the score-matching part is projected: half the gradient of the squared
/// distance, or the gradient of the pseudo-Huber distance.
fn direction(distance: Distance, gap: &Tensor) -> Result<Tensor> {
    match distance {
        Distance::Squared => Ok(gap.clone()),
        Distance::PseudoHuber { c } => {
            let norm = row_dot(gap, gap)?.affine(1.0, c * c)?.sqrt()?;
            gap.broadcast_div(&per_row(&norm, gap)?)
        }
    }
}

/// `λ(σ)`: `[B]`, without gradient.
fn level_weight(method: &Method, inputs: &SurrogateInputs<'_>) -> Result<Tensor> {
    let sigma = inputs.sigma.detach();
    match &method.weighting {
        Weighting::PerSample => {
            let error = (inputs.x0.detach() - inputs.teacher.detach())?.abs()?;
            error.flatten_from(1)?.mean(1)?.maximum(SMALLEST_OMEGA)?.recip()
        }
        Weighting::Gaussian { variance } => {
            // 1/ω = √(π/2) √((σ² + v)/(v σ²)) = √(π/2) √(1/v + 1/σ²)
            let inverse = sigma.sqr()?.recip()?.affine(1.0, variance.recip())?;
            inverse.sqrt()? * std::f64::consts::FRAC_PI_2.sqrt()
        }
        Weighting::Uniform => sigma.ones_like(),
        Weighting::Theory => {
            // A noise level at the end of the support may have been rounded beyond it.
            let (low, high) = method.sigma_law.support();
            let weigh = |s: f64| s.powi(-3) / method.sigma_law.density(s.max(low).min(high));
            let weights = to_host(&sigma)?.into_iter().map(weigh).collect();
            to_device(weights, &sigma)
        }
        Weighting::Cumulative(weight) => {
            let weigh = |s: f64| weight.factor(s, &method.sigma_law);
            to_device(to_host(&sigma)?.into_iter().map(weigh).collect(), &sigma)
        }
    }
}

/// Lower bound of the per-sample normalizer (DMD and SiD).
const SMALLEST_OMEGA: f64 = 1e-5;

/// `x` within `±bound`.
fn clamp(x: &Tensor, bound: f64) -> Result<Tensor> {
    if bound.is_finite() { x.clamp(-bound, bound) } else { Ok(x.clone()) }
}

/// `Σ a b` over all but the first dimension: `[B, ...]`, `[B, ...]` to `[B]`.
fn row_dot(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    (a * b)?.flatten_from(1)?.sum(1)
}

/// One value per row, as a tensor that broadcasts over the row: `[B]` to `[B, 1, ...]`.
fn per_row(x: &Tensor, like: &Tensor) -> Result<Tensor> {
    let mut shape = vec![1; like.rank()];
    shape[0] = x.elem_count();
    x.reshape(shape)
}

fn check_shapes(inputs: &SurrogateInputs<'_>, weights: &RatioWeights) -> Result<()> {
    let SurrogateInputs { x0, x, sigma, teacher, fake } = *inputs;
    if x0.rank() < 2 {
        bail!("surrogate: x0 must be [B, ...] with at least two dimensions, not {:?}", x0.shape());
    }
    for (name, other) in [("x", x), ("teacher", teacher), ("fake", fake)] {
        if other.shape() != x0.shape() {
            bail!("surrogate: {name} is {:?}, x0 is {:?}", other.shape(), x0.shape());
        }
    }
    let RatioWeights { weight, kappa1, kappa2 } = weights;
    let rows = [("sigma", sigma), ("weight", weight), ("kappa1", kappa1), ("kappa2", kappa2)];
    for (name, row) in rows {
        if row.dims() != &x0.dims()[..1] {
            bail!("surrogate: {name} is {:?}, it must be [{}]", row.shape(), x0.dims()[0]);
        }
    }
    for (name, other) in [("x", x), ("teacher", teacher), ("fake", fake)].into_iter().chain(rows) {
        if other.dtype() != x0.dtype() {
            bail!("surrogate: {name} is {:?}, x0 is {:?}", other.dtype(), x0.dtype());
        }
    }
    Ok(())
}
