//! Divergences as text: names, aliases, formulas, and the names that papers use.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use crate::{Divergence, Error, Profile, Term};

/// Description of a divergence, for listings and reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct DivergenceInfo {
    /// The name, without parameters.
    pub name: &'static str,
    /// Other names that are accepted.
    pub aliases: &'static [&'static str],
    /// Parameters, as they are written after the name; empty for a divergence without parameters.
    pub parameters: &'static str,
    /// `f(r)`, `r` = student over teacher.
    pub f: &'static str,
    /// `F(ρ)`, `ρ` = teacher over student.
    pub dual_f: &'static str,
    /// The weight `h`, with `s = ρ/(1+ρ)`.
    pub weight: &'static str,
    /// Names in published papers and programs.
    pub known_as: &'static str,
}

#[rustfmt::skip]
const ROWS: [DivergenceInfo; 12] = [
    DivergenceInfo {
        name: "reverse-kl", aliases: &["rkl", "reverse"], parameters: "",
        f: "r ln r", dual_f: "-ln ρ", weight: "1",
        known_as: "KL(student‖teacher); RKL in Uni-Instruct, the divergence of Diff-Instruct, DMD and VSD",
    },
    DivergenceInfo {
        name: "forward-kl", aliases: &["fkl", "forward", "kl"], parameters: "",
        f: "-ln r", dual_f: "ρ ln ρ", weight: "ρ",
        known_as: "KL(teacher‖student); FKL in Uni-Instruct, forward-KL in f-distill",
    },
    DivergenceInfo {
        name: "jeffreys", aliases: &["jkl", "jeffrey-kl", "jeffreys-kl"], parameters: "(reverse,forward)",
        f: "b r ln r - c ln r", dual_f: "-b ln ρ + c ρ ln ρ", weight: "b + c ρ",
        known_as: "JKL in Uni-Instruct, with weights b = 0.6 and c = 0.4",
    },
    DivergenceInfo {
        name: "jensen-shannon", aliases: &["js", "jsd"], parameters: "",
        f: "r ln r - (1+r) ln((1+r)/2)", dual_f: "ρ ln ρ - (1+ρ) ln((1+ρ)/2)", weight: "s",
        known_as: "JS in Uni-Instruct and f-distill; twice the textbook's, the scale of a saturating GAN",
    },
    DivergenceInfo {
        name: "softened-reverse-kl", aliases: &["sf", "srkl", "softened-rkl"], parameters: "",
        f: "(1+r) ln((1+r)/2)", dual_f: "(1+ρ) ln((1+ρ)/(2ρ))", weight: "1-s",
        known_as: "sf in f-distill; the objective of a non-saturating GAN",
    },
    DivergenceInfo {
        name: "pearson-chi2", aliases: &["pearson"], parameters: "",
        f: "(r-1)²", dual_f: "(1-ρ)²/ρ", weight: "2/ρ",
        known_as: "χ²(student‖teacher); neyman in f-distill, up to a factor 2",
    },
    DivergenceInfo {
        name: "neyman-chi2", aliases: &["neyman"], parameters: "",
        f: "(r-1)²/r", dual_f: "(ρ-1)²", weight: "2ρ²",
        known_as: "χ²(teacher‖student); Chi-Square in Uni-Instruct's program",
    },
    DivergenceInfo {
        name: "squared-hellinger", aliases: &["hellinger", "h2"], parameters: "",
        f: "(√r-1)²", dual_f: "(√ρ-1)²", weight: "√ρ/2",
        known_as: "half of alpha(0.5); hellinger in f-distill, up to a factor",
    },
    DivergenceInfo {
        name: "alpha", aliases: &["amari"], parameters: "(a)",
        f: "(rᵃ - a r + a - 1)/(a(a-1))", dual_f: "same in ρ, a → 1-a", weight: "ρ^(1-a)",
        known_as: "Amari's alpha; SiD with parameter α has the gradient of a = 2(1-α) without its weight",
    },
    DivergenceInfo {
        name: "le-cam", aliases: &["lecam", "triangular"], parameters: "",
        f: "(r-1)²/(r+1)", dual_f: "(ρ-1)²/(ρ+1)", weight: "8s²(1-s)",
        known_as: "triangular discrimination",
    },
    DivergenceInfo {
        name: "mixture", aliases: &[], parameters: "weight*name+weight*name+...",
        f: "Σ wᵢ fᵢ(r)", dual_f: "Σ wᵢ Fᵢ(ρ)", weight: "Σ wᵢ hᵢ",
        known_as: "any sum with positive weights, written as one",
    },
    DivergenceInfo {
        name: "profile", aliases: &[], parameters: "(c,a,m,n;...)",
        f: "∫ (r-eᵘ) h(-u) du", dual_f: "∫ (ρ e⁻ᵘ-1) h(u) du", weight: "Σ c ρᵃ sᵐ (1-s)ⁿ",
        known_as: "a divergence given by its weight, of positive coefficients c",
    },
];

impl Divergence {
    /// Name, formulas and published names of this divergence.
    pub fn info(&self) -> DivergenceInfo {
        let row = match self {
            Self::ReverseKl => 0,
            Self::ForwardKl => 1,
            Self::Jeffreys { .. } => 2,
            Self::JensenShannon => 3,
            Self::SoftenedReverseKl => 4,
            Self::PearsonChi2 => 5,
            Self::NeymanChi2 => 6,
            Self::SquaredHellinger => 7,
            Self::Alpha(_) => 8,
            Self::LeCam => 9,
            Self::Mixture(_) => 10,
            Self::Custom(_) => 11,
        };
        ROWS[row]
    }
}

impl fmt::Display for Divergence {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Jeffreys { reverse, forward } => write!(out, "jeffreys({reverse},{forward})"),
            Self::Alpha(a) => write!(out, "alpha({a})"),
            Self::Mixture(parts) => {
                for (i, (weight, part)) in parts.iter().enumerate() {
                    let plus = if i == 0 { "" } else { "+" };
                    write!(out, "{plus}{weight}*{part}")?;
                }
                Ok(())
            }
            Self::Custom(weight) => {
                for (i, term) in weight.terms().iter().enumerate() {
                    let Term { coefficient, ratio_power, s_power, rest_power } = term;
                    let before = if i == 0 { "profile(" } else { ";" };
                    write!(out, "{before}{coefficient},{ratio_power},{s_power},{rest_power}")?;
                }
                out.write_str(if weight.terms().is_empty() { "profile()" } else { ")" })
            }
            single => out.write_str(single.info().name),
        }
    }
}

impl FromStr for Divergence {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let text = text.trim();
        let divergence = match parts(text).as_slice() {
            [one] if !one.contains('*') => single(one)?,
            parts => Self::Mixture(parts.iter().map(|it| weighted(it)).collect::<Result<_, _>>()?),
        };
        divergence.validate()?;
        Ok(divergence)
    }
}

impl TryFrom<String> for Divergence {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl From<Divergence> for String {
    fn from(divergence: Divergence) -> Self {
        divergence.to_string()
    }
}

/// The parts of a sum: split at each `+` that is neither in parentheses nor in a number as `1e+2`.
fn parts(text: &str) -> Vec<&str> {
    let (mut parts, mut start, mut depth) = (Vec::new(), 0, 0usize);
    for (at, symbol) in text.char_indices() {
        match symbol {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            '+' if depth == 0 && !is_exponent(&text[start..at]) => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

/// True for a number up to the sign of its exponent, as `1e`.
fn is_exponent(text: &str) -> bool {
    let mantissa = text.trim_start().strip_suffix(['e', 'E']);
    mantissa.is_some_and(|it| it.parse::<f64>().is_ok())
}

/// A part of a mixture: `0.5*forward-kl`, or a name alone, of weight 1.
fn weighted(text: &str) -> Result<(f64, Divergence), Error> {
    match text.split_once('*') {
        Some((weight, name)) => Ok((number(text, weight)?, single(name)?)),
        None => Ok((1.0, single(text)?)),
    }
}

/// A name with its parameters, if any.
fn single(text: &str) -> Result<Divergence, Error> {
    let text = text.trim();
    let (name, arguments) = match text.split_once('(') {
        None => (text, None),
        Some((name, rest)) => match rest.trim_end().strip_suffix(')') {
            Some(arguments) => (name.trim_end(), Some(arguments)),
            None => return Err(invalid(text, "the parenthesis is not closed")),
        },
    };
    let canonical = name.to_ascii_lowercase().replace('_', "-");
    if canonical == "profile" {
        return Ok(Divergence::Custom(profile(text, arguments.unwrap_or_default())?));
    }
    let row = ROWS
        .iter()
        .position(|row| row.name == canonical || row.aliases.contains(&canonical.as_str()));
    let Some(row) = row.filter(|&row| row < Divergence::NAMED.len()) else {
        return Err(unknown(name, &canonical));
    };
    let usual = &Divergence::NAMED[row];
    let arguments = match arguments {
        None => return parameterless(text, usual),
        Some(list) => list.split(',').map(|it| number(text, it)).collect::<Result<Vec<_>, _>>()?,
    };
    match (usual, arguments.as_slice()) {
        (Divergence::Jeffreys { .. }, &[reverse, forward]) => {
            Ok(Divergence::Jeffreys { reverse, forward })
        }
        (Divergence::Jeffreys { .. }, _) => {
            Err(invalid(text, "it takes two weights: jeffreys(reverse,forward)"))
        }
        (Divergence::Alpha(_), &[a]) => Ok(Divergence::Alpha(a)),
        (Divergence::Alpha(_), _) => Err(invalid(text, "it takes one number: alpha(a)")),
        _ => Err(invalid(text, "it takes no parameters")),
    }
}

/// A weight from its terms, `c,a,m,n` each, separated by semicolons.
fn profile(text: &str, terms: &str) -> Result<Profile, Error> {
    let mut profile = Profile::default();
    for term in terms.split(';') {
        let [c, a, m, n] = term.split(',').collect::<Vec<_>>()[..] else {
            let problem = "each term has four numbers: profile(c,a,m,n;...) for c ρᵃ sᵐ (1-s)ⁿ";
            return Err(invalid(text, problem));
        };
        let power = |part: &str| {
            let problem = || format!("\"{}\" is not a whole number from 0 on", part.trim());
            part.trim().parse::<u32>().map_err(|_| invalid(text, &problem()))
        };
        let (coefficient, ratio_power) = (number(text, c)?, number(text, a)?);
        let (s_power, rest_power) = (power(m)?, power(n)?);
        profile = profile + Term { coefficient, ratio_power, s_power, rest_power };
    }
    Ok(profile)
}

/// A name alone: Jeffreys has usual weights, Amari's family no usual member.
fn parameterless(text: &str, usual: &Divergence) -> Result<Divergence, Error> {
    match usual {
        Divergence::Alpha(_) => Err(invalid(text, "it takes one number: alpha(a)")),
        _ => Ok(usual.clone()),
    }
}

fn number(text: &str, part: &str) -> Result<f64, Error> {
    let problem = || invalid(text.trim(), &format!("\"{}\" is not a number", part.trim()));
    part.trim().parse().map_err(|_| problem())
}

fn invalid(text: &str, problem: &str) -> Error {
    Error::InvalidDivergence { text: text.into(), problem: problem.into() }
}

fn unknown(name: &str, canonical: &str) -> Error {
    let hint = match canonical {
        "chi2" | "chi-square" | "chi-squared" | "x2" => {
            "two divergences have this name: neyman-chi2 is E_student(ρ-1)², Uni-Instruct's Chi-Square; \
             pearson-chi2 is E_teacher(r-1)²"
                .into()
        }
        _ => {
            let names: Vec<_> =
                ROWS.iter().take(10).map(|row| format!("{}{}", row.name, row.parameters)).collect();
            format!(
                "there are {}, sums such as 0.5*rkl+0.5*fkl, and profile(c,a,m,n;...) for a weight \
                 of your own",
                names.join(", ")
            )
        }
    };
    Error::UnknownDivergence { name: name.into(), hint }
}
