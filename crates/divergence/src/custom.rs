//! The generators of a divergence that is given by its weight alone.
//!
//! From `h = r f''(r)` follow `f` and `F` by two integrations, up to a multiple of `r - 1`, which
//! has no expectation. The integrals are in the logarithm of the ratio, where `h` is smooth.

use crate::Profile;
use crate::quadrature::gauss_legendre;
use crate::scalar::Scalar;

/// `f(r) = ∫₀^{ln r} (r - eᵘ) h(-u) du`, so that `f(1) = f'(1) = 0`.
pub(crate) fn generator<T: Scalar>(weight: &Profile, r: T) -> T {
    let zero = T::constant(0.0);
    integral(r.ln(), |u| (r - exp(u)) * weight.eval_in(zero - u))
}

/// `F(ρ) = ρ f(1/ρ) = ∫₀^{ln ρ} (ρ e⁻ᵛ - 1) h(v) dv`.
pub(crate) fn dual_generator<T: Scalar>(weight: &Profile, rho: T) -> T {
    let (zero, one) = (T::constant(0.0), T::constant(1.0));
    integral(rho.ln(), |v| (rho * exp(zero - v) - one) * weight.eval_in(v))
}

/// The integral from 0 to `end`, by Gauss and Legendre's rule on panels of equal width: to rounding
/// for `|end|` up to 30, where a panel is narrower than the distance `π` to the poles of sigmoid.
fn integral<T: Scalar>(end: T, f: impl Fn(T) -> T) -> T {
    const PANELS: u32 = 32;
    const NODES: usize = 16;
    let rule = gauss_legendre(NODES, 0.0, f64::from(PANELS).recip());
    let mut sum = T::constant(0.0);
    for panel in 0..PANELS {
        let start = f64::from(panel) / f64::from(PANELS);
        for &(node, weight) in &rule {
            sum = sum + f(end.scale(start + node)).scale(weight);
        }
    }
    sum * end
}

impl Profile {
    /// [`Profile::eval`] in any kind of number.
    fn eval_in<T: Scalar>(&self, l: T) -> T {
        let (zero, one) = (T::constant(0.0), T::constant(1.0));
        let s = one / (one + exp(zero - l));
        let rest = one / (one + exp(l));
        let power = |x: T, n: u32| (0..n).fold(one, |product, _| product * x);
        self.terms().iter().fold(zero, |sum, it| {
            let shape = power(s, it.s_power) * power(rest, it.rest_power);
            sum + (exp(l.scale(it.ratio_power)) * shape).scale(it.coefficient)
        })
    }
}

fn exp<T: Scalar>(x: T) -> T {
    x.exp_m1() + T::constant(1.0)
}
