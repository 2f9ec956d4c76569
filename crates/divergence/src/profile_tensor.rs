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
        let ScaledTerms { sum, largest, .. } = self.scaled_terms(log_ratio)?;
        sum.log()? + largest
    }

    /// `κ₁ = (dh/du)/h` and `κ₂ = (d²h/du²)/h`, elementwise: see [`Profile`].
    ///
    /// # Shapes
    ///
    /// - `log_ratio`: any, `f32` or `f64`
    /// - returns: two tensors of the same shape and type
    ///
    /// # Errors
    ///
    /// If the tensor is not of floating point.
    pub fn kappas(&self, log_ratio: &Tensor) -> Result<(Tensor, Tensor)> {
        let ScaledTerms { scaled, sum, minus_log_s, minus_log_rest, .. } =
            self.scaled_terms(log_ratio)?;
        let s = minus_log_s.neg()?.exp()?;
        let rest = minus_log_rest.neg()?.exp()?;
        let mut kappa1 = log_ratio.zeros_like()?;
        let mut kappa2 = log_ratio.zeros_like()?;
        for (term, scaled) in self.terms().iter().zip(scaled) {
            let share = (scaled / &sum)?;
            let (m, n) = (f64::from(term.s_power), f64::from(term.rest_power));
            let slope = ((&rest * m)? - (&s * n)?)?.affine(1.0, term.ratio_power)?;
            let curvature = ((&s * &rest)? * -(m + n))?;
            kappa1 = (kappa1 - (&share * &slope)?)?;
            kappa2 = (kappa2 + (share * (slope.sqr()? + curvature)?)?)?;
        }
        Ok((kappa1, kappa2))
    }

    fn scaled_terms(&self, l: &Tensor) -> Result<ScaledTerms> {
        let minus_log_s = softplus(&l.neg()?)?;
        let minus_log_rest = softplus(l)?;
        let log = |it: &Term| -> Result<Tensor> {
            let power = l.affine(it.ratio_power, it.coefficient.ln())?;
            let s = (&minus_log_s * f64::from(it.s_power))?;
            let rest = (&minus_log_rest * f64::from(it.rest_power))?;
            (power - s)? - rest
        };
        let logs = self.terms().iter().map(log).collect::<Result<Vec<_>>>()?;
        let mut largest = l.zeros_like()?.affine(0.0, f64::NEG_INFINITY)?;
        for log in &logs {
            largest = largest.maximum(&log.detach())?;
        }
        let mut sum = l.zeros_like()?;
        let mut scaled = Vec::with_capacity(logs.len());
        for log in logs {
            let term = (log - &largest)?.exp()?;
            sum = (sum + &term)?;
            scaled.push(term);
        }
        Ok(ScaledTerms { scaled, sum, largest, minus_log_s, minus_log_rest })
    }
}

/// Intermediate tensors of `ln h` and its slopes.
struct ScaledTerms {
    /// Each term over the largest, which is 1.
    scaled: Vec<Tensor>,
    /// Their sum: so shares add up to 1 however coarse the logarithms are.
    sum: Tensor,
    /// `ln` of the largest term, without gradient.
    largest: Tensor,
    /// `-ln s`.
    minus_log_s: Tensor,
    /// `-ln(1-s)`.
    minus_log_rest: Tensor,
}

/// `ln(1 + eˡ)` = `m + ln(e^{-m} + e^{l-m})` with `m = sg(max(l, 0))`: `m` cancels from the gradient,
/// so it is cut and there is no kink at 0.
fn softplus(l: &Tensor) -> Result<Tensor> {
    let m = l.detach().relu()?;
    (m.neg()?.exp()? + (l - &m)?.exp()?)?.log()? + m
}
