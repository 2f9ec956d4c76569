//! Adam and the moving average of weights, in place.

mod cpu;
#[cfg(feature = "cuda")]
mod cuda;
mod kernel;
#[cfg(feature = "metal")]
mod metal;
#[cfg(test)]
mod tests;

use candle_core::{Result, Tensor, Var, bail};

use self::cpu::{Average, Update};
use super::gpu::on_gpu;
use super::isa::Isa;
use super::operand::{check_kind, share_memory};
use super::storage::has_kernel;

/// Settings of one Adam update (Kingma and Ba 2015, arXiv:1412.6980, Algorithm 1), with decoupled
/// weight decay (Loshchilov and Hutter 2019, arXiv:1711.05101, Algorithm 2).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamConfig {
    /// Step size.
    pub learning_rate: f64,
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub eps: f64,
    /// Weight decay: each update subtracts this share of the weight, times the step size. 0 is
    /// plain Adam.
    pub weight_decay: f64,
}

impl AdamConfig {
    /// Checks that the settings are valid: others would write NaN.
    fn check(&self) -> Result<()> {
        let Self { learning_rate, beta1, beta2, eps, weight_decay } = *self;
        let share = 0.0..1.0;
        #[rustfmt::skip]
        let rules = [
            ("learning_rate", learning_rate, learning_rate.is_finite(), "finite"),
            ("beta1", beta1, share.contains(&beta1), "in [0, 1)"),
            ("beta2", beta2, share.contains(&beta2), "in [0, 1)"),
            ("eps", eps, 0.0 <= eps && eps.is_finite(), "finite and not negative"),
            ("weight_decay", weight_decay, weight_decay.is_finite(), "finite"),
        ];
        match rules.iter().find(|it| !it.2) {
            Some((name, value, _, rule)) => bail!("adam: {name} {value} is not {rule}"),
            None => Ok(()),
        }
    }
}

impl Default for AdamConfig {
    fn default() -> Self {
        Self { learning_rate: 1e-3, beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.0 }
    }
}

/// One Adam update of `param` and its moments `m` and `v`, in place.
///
/// ```text
/// m ← β₁ m + (1 − β₁) g,    v ← β₂ v + (1 − β₂) g²
/// θ ← θ − η (m / (1 − β₁ᵗ) / (√(v / (1 − β₂ᵗ)) + ε) + λ θ)
/// ```
///
/// `t` counts updates from 1, this one included. Moments start at zero.
///
/// # Shapes
///
/// - `param`, `m`, `v`, `grad`: the same
///
/// # Errors
///
/// If shapes, types or devices differ, two operands share memory, a setting is out of range, or `t`
/// is 0. Nothing is changed then.
pub fn step(
    config: &AdamConfig,
    t: u64,
    param: &Var,
    m: &Var,
    v: &Var,
    grad: &Tensor,
) -> Result<()> {
    if t == 0 {
        bail!("adam: t is 0; count updates from 1");
    }
    for (name, tensor) in [("m", m.as_tensor()), ("v", v.as_tensor()), ("grad", grad)] {
        if tensor.dims() != param.dims() {
            bail!("adam: {name} {:?} does not fit {:?}", tensor.shape(), param.shape());
        }
    }
    let named =
        [("param", param.as_tensor()), ("m", m.as_tensor()), ("v", v.as_tensor()), ("grad", grad)];
    check_kind("adam", &named)?;
    config.check()?;
    // The gradient is read before the parameter is written, so these two may share memory.
    for [i, j] in [[1, 0], [2, 0], [2, 1], [3, 1], [3, 2]] {
        if share_memory(named[i].1, named[j].1) {
            bail!("adam: {} and {} share memory; pass separate tensors", named[i].0, named[j].0);
        }
    }
    if param.elem_count() == 0 {
        return Ok(());
    }
    let grad = grad.detach();
    let operands = [param.as_tensor(), m.as_tensor(), v.as_tensor(), &grad];
    let in_place = operands[..3].iter().all(|it| it.is_contiguous());
    if in_place {
        on_gpu!(holds(&operands) => step(config, t, param, m, v, &grad));
    }
    if has_kernel(&operands) && in_place {
        fused(Isa::detect(), config, t, param, m, v, &grad.contiguous()?)
    } else {
        composed(config, t, param, m, v, &grad)
    }
}

/// Moves `ema` toward `param`, in place: `ema ← β ema + (1 − β) param`.
///
/// # Errors
///
/// If shapes, types or devices differ, `param` is `ema` itself, or `beta` is not in `[0, 1]`.
/// Nothing is changed then.
pub fn ema_update(ema: &Var, param: &Tensor, beta: f64) -> Result<()> {
    if ema.dims() != param.dims() {
        bail!("ema: {:?} and {:?} differ", ema.shape(), param.shape());
    }
    check_kind("ema", &[("ema", ema.as_tensor()), ("param", param)])?;
    if share_memory(ema.as_tensor(), param) {
        bail!("ema: ema and param share memory; pass separate tensors");
    }
    if !(0.0..=1.0).contains(&beta) {
        bail!("ema: beta {beta} is not in [0, 1]");
    }
    if param.elem_count() == 0 {
        return Ok(());
    }
    if ema.is_contiguous() {
        on_gpu!(holds(&[ema.as_tensor(), param]) => average(ema, &param.detach(), beta));
    }
    if has_kernel(&[ema.as_tensor(), param]) && ema.is_contiguous() {
        let (keep, add) = (beta as f32, (1.0 - beta) as f32);
        let op = Average { isa: Isa::detect(), keep, add, squared: false };
        return ema.inplace_op2(&param.detach().contiguous()?, &op);
    }
    ema.set(&((ema.as_detached_tensor() * beta)? + (param.detach() * (1.0 - beta))?)?)
}

/// [`step`] with the kernels of this crate, on the CPU in f32.
fn fused(
    isa: Isa,
    config: &AdamConfig,
    t: u64,
    param: &Var,
    m: &Var,
    v: &Var,
    grad: &Tensor,
) -> Result<()> {
    let AdamConfig { learning_rate, beta1, beta2, eps, weight_decay } = *config;
    let average = |beta: f64, squared: bool| Average {
        isa,
        keep: beta as f32,
        add: (1.0 - beta) as f32,
        squared,
    };
    m.inplace_op2(grad, &average(beta1, false))?;
    v.inplace_op2(grad, &average(beta2, true))?;
    let t = t as f64;
    let factors = kernel::Factors {
        keep: (1.0 - learning_rate * weight_decay) as f32,
        rate: (learning_rate / (1.0 - beta1.powf(t))) as f32,
        scale: (1.0 / (1.0 - beta2.powf(t))) as f32,
        eps: eps as f32,
    };
    param.inplace_op3(m, v, &Update { isa, factors })
}

/// [`step`] with candle's operations, for any device and type.
fn composed(
    config: &AdamConfig,
    t: u64,
    param: &Var,
    m: &Var,
    v: &Var,
    grad: &Tensor,
) -> Result<()> {
    let AdamConfig { learning_rate, beta1, beta2, eps, weight_decay } = *config;
    let first = ((m.as_detached_tensor() * beta1)? + (grad * (1.0 - beta1))?)?;
    let second = ((v.as_detached_tensor() * beta2)? + (grad.sqr()? * (1.0 - beta2))?)?;
    let t = t as f64;
    let mean = (&first / (1.0 - beta1.powf(t)))?;
    let root = (&second / (1.0 - beta2.powf(t)))?.sqrt()?;
    let decayed = (param.as_detached_tensor() * (1.0 - learning_rate * weight_decay))?;
    param.set(&(decayed - ((mean / (root + eps)?)? * learning_rate)?)?)?;
    m.set(&first)?;
    v.set(&second)
}
