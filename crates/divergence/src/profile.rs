//! Functions of the log-ratio that are sums of terms `c e^{a l} sᵐ (1-s)ⁿ`, `s = sigmoid(l)`.

use std::ops::Add;

/// One term `c e^{a l} sᵐ (1-s)ⁿ` of a [`Profile`], where `s = sigmoid(l) = ρ/(1+ρ)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Term {
    /// Coefficient `c`.
    pub coefficient: f64,
    /// Power `a` of the ratio `ρ = e^l`.
    pub ratio_power: f64,
    /// Power `m` of `s`.
    pub s_power: u32,
    /// Power `n` of `1-s`.
    pub rest_power: u32,
}

impl Term {
    /// `ln(e^{a l} sᵐ (1-s)ⁿ)`, finite for every finite `l`.
    fn log_shape(&self, l: f64) -> f64 {
        self.ratio_power * l
            - f64::from(self.s_power) * softplus(-l)
            - f64::from(self.rest_power) * softplus(l)
    }

    /// `d/dl ln|term| = a + m (1-s) - n s`.
    fn log_slope(&self, s: f64, rest: f64) -> f64 {
        self.ratio_power + f64::from(self.s_power) * rest - f64::from(self.rest_power) * s
    }
}

/// A function of the log-ratio `l`: a sum of [`Term`]s, closed under `d/dl`.
///
/// The weights `h` of all divergences are such sums with positive coefficients. Of those the
/// logarithm and the log-derivatives
///
/// ```text
/// κ₁ = (dh/du)/h,   κ₂ = (d²h/du²)/h,   u = -l
/// ```
///
/// are averages over the terms, so they are computed without overflow and without cancellation,
/// and stay finite for `|l|` up to 1e4 even in `f32` (κ₁ and κ₂ are bounded).
///
/// ```
/// use uni_instruct_divergence::Divergence;
///
/// // Jensen-Shannon: h = s, κ₁ = -(1-s), κ₂ = (1-s)(1-2s); at l = 0, s = 1/2.
/// let h = Divergence::JensenShannon.profile();
/// assert_eq!((h.eval(0.0), h.kappa1(0.0), h.kappa2(0.0)), (0.5, -0.5, 0.0));
/// // Far out h underflows; its logarithm and slopes do not.
/// assert_eq!((h.log_eval(-1e4), h.kappa1(-1e4), h.kappa2(-1e4)), (-1e4, -1.0, 1.0));
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Profile {
    terms: Vec<Term>,
}

impl Profile {
    /// The single term `c e^{a l} sᵐ (1-s)ⁿ`.
    pub fn term(coefficient: f64, ratio_power: f64, s_power: u32, rest_power: u32) -> Self {
        Self::default() + Term { coefficient, ratio_power, s_power, rest_power }
    }

    /// The terms, no two alike and none zero.
    pub fn terms(&self) -> &[Term] {
        &self.terms
    }

    /// The profile times a constant.
    pub fn scaled(&self, factor: f64) -> Self {
        let scale = |it: &Term| Term { coefficient: factor * it.coefficient, ..*it };
        self.terms.iter().map(scale).fold(Self::default(), Self::add)
    }

    /// The value at `l`.
    pub fn eval(&self, l: f64) -> f64 {
        self.terms.iter().map(|it| it.coefficient * it.log_shape(l).exp()).sum()
    }

    /// The derivative `d/dl`, by `ds/dl = s (1-s)`.
    pub fn derivative(&self) -> Self {
        let mut sum = Self::default();
        for it in &self.terms {
            let c = it.coefficient;
            sum = sum + Term { coefficient: c * it.ratio_power, ..*it };
            sum = sum
                + Term {
                    coefficient: c * f64::from(it.s_power),
                    rest_power: it.rest_power + 1,
                    ..*it
                };
            sum = sum
                + Term {
                    coefficient: -c * f64::from(it.rest_power),
                    s_power: it.s_power + 1,
                    ..*it
                };
        }
        sum
    }

    /// `ln h(l)` of a profile with positive coefficients (NaN if one is negative).
    pub fn log_eval(&self, l: f64) -> f64 {
        log_sum_exp(self.terms.iter().map(|it| it.coefficient.ln() + it.log_shape(l)))
    }

    /// `κ₁(l) = (dh/du)/h = -(dh/dl)/h` of a profile with positive coefficients.
    pub fn kappa1(&self, l: f64) -> f64 {
        -self.average(l, |slope, _| slope)
    }

    /// `κ₂(l) = (d²h/du²)/h = (d²h/dl²)/h` of a profile with positive coefficients.
    pub fn kappa2(&self, l: f64) -> f64 {
        self.average(l, |slope, curvature| slope * slope + curvature)
    }

    /// True if the profile does not depend on `l`, so that no ratio is needed.
    ///
    /// Terms may cancel (`s + (1-s) = 1`), so the derivative is evaluated instead of the list.
    pub fn is_constant(&self) -> bool {
        let derivative = self.derivative();
        PROBES.iter().all(|&l| {
            let size: f64 =
                self.terms.iter().map(|it| it.coefficient.abs() * it.log_shape(l).exp()).sum();
            derivative.eval(l).abs() <= ROUNDING * size
        })
    }

    /// The mean over the terms, each in proportion to its share of `h(l)`, of a function of the
    /// term's slope `d/dl ln` and of that slope's own derivative.
    fn average(&self, l: f64, of: impl Fn(f64, f64) -> f64) -> f64 {
        let (s, rest) = (sigmoid(l), sigmoid(-l));
        let log = |it: &Term| it.coefficient.ln() + it.log_shape(l);
        let largest = self.terms.iter().map(log).fold(f64::NEG_INFINITY, f64::max);
        // Shares of the sum of the scaled terms: they add up to 1 however coarse the logarithms.
        let (mut sum, mut total) = (0.0, 0.0);
        for it in &self.terms {
            let share = (log(it) - largest).exp();
            let powers = f64::from(it.s_power + it.rest_power);
            sum += share * of(it.log_slope(s, rest), -powers * s * rest);
            total += share;
        }
        sum / total
    }
}

/// Points at which constancy is tested. A profile with zero slope at all of them is constant.
const PROBES: [f64; 5] = [-2.7, -0.9, 0.1, 1.3, 3.1];

/// Relative error below which a derivative counts as rounding.
const ROUNDING: f64 = 1e-13;

impl Add<Term> for Profile {
    type Output = Self;

    fn add(mut self, term: Term) -> Self {
        let same =
            |it: &Term| Term { coefficient: 0.0, ..*it } == Term { coefficient: 0.0, ..term };
        match self.terms.iter_mut().find(|it| same(it)) {
            Some(it) => it.coefficient += term.coefficient,
            None => self.terms.push(term),
        }
        self.terms.retain(|it| it.coefficient != 0.0);
        self
    }
}

impl Add for Profile {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        other.terms.into_iter().fold(self, Self::add)
    }
}

/// `ln(1 + eˡ)` without overflow.
pub(crate) fn softplus(l: f64) -> f64 {
    l.max(0.0) + (-l.abs()).exp().ln_1p()
}

/// `1/(1 + e^{-l})`, accurate in both tails.
pub(crate) fn sigmoid(l: f64) -> f64 {
    (-softplus(-l)).exp()
}

/// `ln Σ exp(xᵢ)` without overflow; -∞ of nothing, NaN if a value is.
pub(crate) fn log_sum_exp(x: impl Iterator<Item = f64> + Clone) -> f64 {
    let largest = x.clone().fold(f64::NEG_INFINITY, f64::max);
    if largest.is_infinite() {
        // All are -∞, or NaN (which `max` passes over), or one is +∞.
        return x.fold(largest, |sum, x| sum + x);
    }
    largest + x.map(|x| (x - largest).exp()).sum::<f64>().ln()
}
