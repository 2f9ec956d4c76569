//! The f-divergences, one row each: `f`, `F` and the weight `h`.

use serde::{Deserialize, Serialize};

use crate::scalar::Scalar;
use crate::{Error, Profile, Term, custom};

/// An f-divergence `D_f(q‖p)` between student `q` and teacher `p`.
///
/// With `r = q/p` and `ρ = p/q` it is written in either of two ways, and weighs the expansion by
/// one function `h` of the log-ratio `l = ln ρ`:
///
/// ```text
/// D_f(q‖p) = E_p[f(r)] = E_q[F(ρ)],   F(ρ) = ρ f(1/ρ),   h = r f''(r) = ρ² F''(ρ)
/// ```
///
/// | divergence | `f(r)` | `F(ρ)` | `h`, with `s = ρ/(1+ρ)` |
/// |---|---|---|---|
/// | reverse KL, `KL(q‖p)` | `r ln r` | `-ln ρ` | `1` |
/// | forward KL, `KL(p‖q)` | `-ln r` | `ρ ln ρ` | `ρ` |
/// | Jeffreys | `b r ln r - c ln r` | `-b ln ρ + c ρ ln ρ` | `b + c ρ` |
/// | Jensen-Shannon (GAN scale) | `r ln r - (1+r) ln((1+r)/2)` | same in `ρ` | `s` |
/// | softened reverse KL | `(1+r) ln((1+r)/2)` | `(1+ρ) ln((1+ρ)/(2ρ))` | `1-s` |
/// | Pearson χ², `E_p(r-1)²` | `(r-1)²` | `(1-ρ)²/ρ` | `2/ρ` |
/// | Neyman χ², `E_q(ρ-1)²` | `(r-1)²/r` | `(ρ-1)²` | `2ρ²` |
/// | squared Hellinger | `(√r-1)²` | `(√ρ-1)²` | `√ρ/2` |
/// | Amari alpha | `(rᵃ - a r + a - 1)/(a(a-1))` | same, `a → 1-a` | `ρ^(1-a)` |
/// | Le Cam | `(r-1)²/(r+1)` | same in `ρ` | `8s²(1-s)` |
///
/// Names of divergences differ between papers (one paper's Neyman is another's Pearson), so compare
/// `h`; [`Divergence::info`] lists the names that papers use.
///
/// Written as text, also in serde: "reverse-kl", "jeffreys(0.6,0.4)", "alpha(0.3)",
/// "0.5*forward-kl+0.5*jensen-shannon". A divergence of your own is a [`Profile`], its weight `h`,
/// written as a list of terms: "profile(c,a,m,n;...)".
///
/// ```
/// use uni_instruct_divergence::{Divergence, Profile};
///
/// let both: Divergence = "0.5*fkl+0.5*js".parse()?;
/// assert_eq!(both.to_string(), "0.5*forward-kl+0.5*jensen-shannon");
/// // At q = p the log-ratio is 0, where h is ρ = 1 for forward KL and s = 1/2 for Jensen-Shannon.
/// assert_eq!(both.profile().eval(0.0), 0.75);
///
/// // h = 2 s (1-s), which no row of the table has.
/// let own = Divergence::from(Profile::term(2.0, 0.0, 1, 1));
/// assert_eq!(own.to_string(), "profile(2,0,1,1)");
/// assert_eq!(own.to_string().parse::<Divergence>()?, own);
/// # Ok::<(), uni_instruct_divergence::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[non_exhaustive]
pub enum Divergence {
    /// `KL(q‖p)`, student against teacher: seeks modes. The paper's RKL.
    ReverseKl,
    /// `KL(p‖q)`, teacher against student: covers modes. The paper's FKL.
    ForwardKl,
    /// `reverse KL(q‖p) + forward KL(p‖q)`. The paper's JKL has weights 0.6 and 0.4.
    Jeffreys {
        /// Weight of the reverse KL.
        reverse: f64,
        /// Weight of the forward KL.
        forward: f64,
    },
    /// Twice the Jensen-Shannon divergence, the objective of a saturating GAN.
    JensenShannon,
    /// `2 KL((q+p)/2 ‖ p)`, the objective of a non-saturating GAN. f-distill's `sf`.
    SoftenedReverseKl,
    /// `E_p(r-1)²`.
    PearsonChi2,
    /// `E_q(ρ-1)²`. Uni-Instruct's "chi-square".
    NeymanChi2,
    /// `E_p(√r-1)²`.
    SquaredHellinger,
    /// Amari's family: 1 is reverse KL, 0 forward KL, 1/2 twice squared Hellinger, 2 half
    /// Pearson, -1 half Neyman.
    Alpha(f64),
    /// Le Cam's triangular discrimination.
    LeCam,
    /// A sum with positive weights. Not nested: see [`Divergence::mixture`].
    Mixture(Vec<(f64, Divergence)>),
    /// The divergence whose weight `h` is this profile, a sum of terms with positive coefficients.
    /// Its `f` has `f(1) = f'(1) = 0` and is computed by quadrature.
    Custom(Profile),
}

impl From<Profile> for Divergence {
    fn from(weight: Profile) -> Self {
        Self::Custom(weight)
    }
}

impl Divergence {
    /// A member of each row of the table, with the usual parameters.
    pub const NAMED: [Divergence; 10] = [
        Self::ReverseKl,
        Self::ForwardKl,
        Self::Jeffreys { reverse: 0.6, forward: 0.4 },
        Self::JensenShannon,
        Self::SoftenedReverseKl,
        Self::PearsonChi2,
        Self::NeymanChi2,
        Self::SquaredHellinger,
        Self::Alpha(0.5),
        Self::LeCam,
    ];

    /// The sum of `weight * divergence` over `parts`, mixtures among them unfolded.
    ///
    /// # Errors
    ///
    /// If there is no part, or one whose weight or parameter is not allowed.
    pub fn mixture(parts: impl IntoIterator<Item = (f64, Divergence)>) -> Result<Self, Error> {
        let mut flat = Vec::new();
        for (weight, part) in parts {
            match part {
                Self::Mixture(inner) => {
                    flat.extend(inner.into_iter().map(|(w, d)| (weight * w, d)))
                }
                single => flat.push((weight, single)),
            }
        }
        let mixture = Self::Mixture(flat);
        mixture.validate()?;
        Ok(mixture)
    }

    /// Checks parameters and weights.
    ///
    /// # Errors
    ///
    /// Names the divergence and the parameter at fault.
    pub fn validate(&self) -> Result<(), Error> {
        let fault =
            |problem: String| Err(Error::InvalidDivergence { text: self.to_string(), problem });
        match self {
            Self::Jeffreys { reverse, forward } => {
                let allowed = |b: f64| (0.0..=LARGEST_WEIGHT).contains(&b);
                if !(allowed(*reverse) && allowed(*forward) && 0.0 < reverse + forward) {
                    return fault("its two weights must be from 0 to 1e30, and not both 0".into());
                }
            }
            Self::Alpha(a) if !a.is_finite() || LARGEST_ALPHA < a.abs() => {
                return fault(format!("alpha must lie in ±{LARGEST_ALPHA}"));
            }
            Self::Mixture(parts) if parts.is_empty() => {
                return fault("a mixture needs at least one part".into());
            }
            Self::Mixture(parts) => {
                for (weight, part) in parts {
                    if !is_weight(*weight) {
                        return fault(format!("weight {weight} is not in (0, {LARGEST_WEIGHT:e}]"));
                    }
                    if matches!(part, Self::Mixture(_)) {
                        return fault("a mixture of mixtures must be written as one".into());
                    }
                    part.validate()?;
                }
            }
            Self::Custom(weight) if weight.terms().is_empty() => {
                return fault("a profile needs at least one term".into());
            }
            Self::Custom(weight) => {
                for term in weight.terms() {
                    let Term { coefficient, ratio_power, s_power, rest_power } = *term;
                    if !is_weight(coefficient) {
                        return fault(format!(
                            "coefficient {coefficient} is not in (0, {LARGEST_WEIGHT:e}]"
                        ));
                    }
                    if !ratio_power.is_finite() || LARGEST_POWER < ratio_power.abs() {
                        return fault(format!("powers of the ratio must lie in ±{LARGEST_POWER}"));
                    }
                    if LARGEST_POWER < f64::from(s_power.max(rest_power)) {
                        return fault(format!(
                            "powers of s and 1-s must be at most {LARGEST_POWER}"
                        ));
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The generator `f(r)` at `r = q/p > 0`, with `f(1) = 0`.
    pub fn f(&self, r: f64) -> f64 {
        self.f_in(r)
    }

    /// The dual generator `F(ρ) = ρ f(1/ρ)` at `ρ = p/q > 0`, the paper's convention.
    pub fn dual_f(&self, rho: f64) -> f64 {
        self.dual_f_in(rho)
    }

    /// [`Divergence::f`] in any kind of number.
    pub(crate) fn f_in<T: Scalar>(&self, r: T) -> T {
        let one = T::constant(1.0);
        let half = T::constant(0.5);
        match self {
            Self::ReverseKl => r * r.ln(),
            Self::ForwardKl => T::constant(0.0) - r.ln(),
            Self::Jeffreys { reverse, forward } => {
                (r.scale(*reverse) - T::constant(*forward)) * r.ln()
            }
            Self::JensenShannon => r * r.ln() - (one + r) * (half * (one + r)).ln(),
            Self::SoftenedReverseKl => (one + r) * (half * (one + r)).ln(),
            Self::PearsonChi2 => (r - one).square(),
            Self::NeymanChi2 => (r - one).square() / r,
            Self::SquaredHellinger => (r.sqrt() - one).square(),
            Self::Alpha(a) => amari(*a, r),
            Self::LeCam => (r - one).square() / (r + one),
            Self::Mixture(parts) => parts
                .iter()
                .fold(T::constant(0.0), |sum, (weight, part)| sum + part.f_in(r).scale(*weight)),
            Self::Custom(weight) => custom::generator(weight, r),
        }
    }

    /// [`Divergence::dual_f`] in any kind of number: a separate table, not derived from `f`.
    pub(crate) fn dual_f_in<T: Scalar>(&self, rho: T) -> T {
        let one = T::constant(1.0);
        let half = T::constant(0.5);
        match self {
            Self::ReverseKl => T::constant(0.0) - rho.ln(),
            Self::ForwardKl => rho * rho.ln(),
            Self::Jeffreys { reverse, forward } => {
                (rho.scale(*forward) - T::constant(*reverse)) * rho.ln()
            }
            Self::JensenShannon => rho * rho.ln() - (one + rho) * (half * (one + rho)).ln(),
            Self::SoftenedReverseKl => (one + rho) * (half * (one + rho) / rho).ln(),
            Self::PearsonChi2 => (one - rho).square() / rho,
            Self::NeymanChi2 => (rho - one).square(),
            Self::SquaredHellinger => (rho.sqrt() - one).square(),
            Self::Alpha(a) => amari(1.0 - a, rho),
            Self::LeCam => (rho - one).square() / (rho + one),
            Self::Mixture(parts) => parts.iter().fold(T::constant(0.0), |sum, (weight, part)| {
                sum + part.dual_f_in(rho).scale(*weight)
            }),
            Self::Custom(weight) => custom::dual_generator(weight, rho),
        }
    }

    /// The weight `h(l)` of the expansion, of f-distill and of the discriminator's chain rule.
    pub fn profile(&self) -> Profile {
        match self {
            Self::ReverseKl => Profile::term(1.0, 0.0, 0, 0),
            Self::ForwardKl => Profile::term(1.0, 1.0, 0, 0),
            Self::Jeffreys { reverse, forward } => {
                Profile::term(*reverse, 0.0, 0, 0) + Profile::term(*forward, 1.0, 0, 0)
            }
            Self::JensenShannon => Profile::term(1.0, 0.0, 1, 0),
            Self::SoftenedReverseKl => Profile::term(1.0, 0.0, 0, 1),
            Self::PearsonChi2 => Profile::term(2.0, -1.0, 0, 0),
            Self::NeymanChi2 => Profile::term(2.0, 2.0, 0, 0),
            Self::SquaredHellinger => Profile::term(0.5, 0.5, 0, 0),
            Self::Alpha(a) => Profile::term(1.0, 1.0 - a, 0, 0),
            Self::LeCam => Profile::term(8.0, 0.0, 2, 1),
            Self::Mixture(parts) => parts.iter().fold(Profile::default(), |sum, (weight, part)| {
                sum + part.profile().scaled(*weight)
            }),
            Self::Custom(weight) => weight.clone(),
        }
    }
}

/// Beyond it no estimate of a ratio is good enough for the weight `h = ρ^(1-a)`.
const LARGEST_ALPHA: f64 = 100.0;

/// The same for the powers of a [`Profile`].
const LARGEST_POWER: f64 = LARGEST_ALPHA + 1.0;

/// Largest weight of a part: sums of the parts stay far below the largest f32.
const LARGEST_WEIGHT: f64 = 1e30;

fn is_weight(weight: f64) -> bool {
    0.0 < weight && weight <= LARGEST_WEIGHT
}

/// Amari's generator `(rᵃ - a r + a - 1)/(a(a-1))`, free of cancellation as `a` nears 0 or 1.
fn amari<T: Scalar>(a: f64, r: T) -> T {
    let one = T::constant(1.0);
    if a == 0.0 {
        r - one - r.ln()
    } else if a == 1.0 {
        r * r.ln() - r + one
    } else if a < 0.5 {
        (r.ln().scale(a).exp_m1() - (r - one).scale(a)).scale((a * (a - 1.0)).recip())
    } else {
        let power = r * r.ln().scale(a - 1.0).exp_m1();
        (power - (r - one).scale(a - 1.0)).scale((a * (a - 1.0)).recip())
    }
}
