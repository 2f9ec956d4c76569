//! Profiles on tensors: the same list of terms, elementwise, differentiable in the log-ratio.

use candle_core::{Result, Tensor};

use crate::{Profile, Term};

impl Profile {
    /// `ln h(l)`, elementwise, of a profile with positive coefficients.
    ///
    /// # Shapes
    ///
    /// - `log_ratio`: any, `f32` or `f64`
    /// - returns: the same
    ///
    /// # Errors
    ///
    /// If the tensor is not of floating point.
    pub fn log_weight(&self, log_ratio: &Tensor) -> Result<Tensor> {
        Ok(self.parts(log_ratio)?.log_sum)
    }

    /// `κ₁ = (dh/du)/h` and `κ₂ = (d²h/du²)/h`, elementwise: see [`Profile`].
    ///
    /// # Shapes
    ///
    /// - `log_ratio`: any, `f32` or `f64`
    /// - returns: twice the same
    ///
    /// # Errors
    ///
    /// If the tensor is not of floating point.
    pub fn kappas(&self, log_ratio: &Tensor) -> Result<(Tensor, Tensor)> {
        let Parts { logs, log_sum, minus_log_s, minus_log_rest } = self.parts(log_ratio)?;
        let s = minus_log_s.neg()?.exp()?;
        let rest = minus_log_rest.neg()?.exp()?;
        let mut kappa1 = log_ratio.zeros_like()?;
        let mut kappa2 = log_ratio.zeros_like()?;
        for (term, log) in self.terms().iter().zip(&logs) {
            let share = (log - &log_sum)?.exp()?;
            let (m, n) = (f64::from(term.s_power), f64::from(term.rest_power));
            let slope = ((&rest * m)? - (&s * n)?)?.affine(1.0, term.ratio_power)?;
            let curvature = ((&s * &rest)? * -(m + n))?;
            kappa1 = (kappa1 - (&share * &slope)?)?;
            kappa2 = (kappa2 + (share * (slope.sqr()? + curvature)?)?)?;
        }
        Ok((kappa1, kappa2))
    }

    fn parts(&self, l: &Tensor) -> Result<Parts> {
        let minus_log_s = softplus(&l.neg()?)?;
        let minus_log_rest = softplus(l)?;
        let log = |it: &Term| -> Result<Tensor> {
            let power = l.affine(it.ratio_power, it.coefficient.ln())?;
            let s = (&minus_log_s * f64::from(it.s_power))?;
            let rest = (&minus_log_rest * f64::from(it.rest_power))?;
            (power - s)? - rest
        };
        let logs = self.terms().iter().map(log).collect::<Result<Vec<_>>>()?;
        let log_sum = log_sum_exp(&logs, l)?;
        Ok(Parts { logs, log_sum, minus_log_s, minus_log_rest })
    }
}

/// What `ln h` and its slopes are made of.
struct Parts {
    /// `ln` of each term.
    logs: Vec<Tensor>,
    /// `ln h`.
    log_sum: Tensor,
    /// `-ln s`.
    minus_log_s: Tensor,
    /// `-ln(1-s)`.
    minus_log_rest: Tensor,
}

/// `ln(1 + eˡ)` = `m + ln(e^{-m} + e^{l-m})` with `m = sg(max(l, 0))`: the maximum is a constant to
/// the gradient, which so has no kink at 0.
fn softplus(l: &Tensor) -> Result<Tensor> {
    let m = l.detach().relu()?;
    (m.neg()?.exp()? + (l - &m)?.exp()?)?.log()? + m
}

/// `ln Σ exp` over the list, elementwise; of the shape of `like`, -∞ if the list is empty.
fn log_sum_exp(logs: &[Tensor], like: &Tensor) -> Result<Tensor> {
    let mut largest = like.zeros_like()?.affine(0.0, f64::NEG_INFINITY)?;
    for log in logs {
        largest = largest.maximum(&log.detach())?;
    }
    let mut sum = like.zeros_like()?;
    for log in logs {
        sum = (sum + (log - &largest)?.exp()?)?;
    }
    sum.log()? + largest
}
