//! A method as files hold it.
//!
//! The form has not changed since version 0.1: the clip of the exact objective is the key
//! `ratio.correction_clip`, written for every objective, and noise levels are under `sigma_law` and
//! `fake_sigma_law`. It must stay, because a run's fingerprint is a hash of this text and a
//! checkpoint resumes only under the fingerprint it was written with. Files may also use
//! `objective.exact.clip`, `sigma_distribution` and `fake_sigma_distribution`.

use std::fmt;
use std::num::NonZeroU32;

use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::unbounded::Unbounded;
use crate::{
    Adversarial, Distance, Divergence, Error, FakeScoreSource, FakeWeighting, Frechet, Method,
    Objective, PathConfig, RatioConfig, RatioEstimator, Regression, Reward, SigmaDistribution,
    Weighting,
};

/// See [`Method`].
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct WrittenMethod {
    objective: WrittenObjective,
    divergence: Divergence,
    distance: Distance,
    fake_score: FakeScoreSource,
    #[serde(alias = "sigma_distribution")]
    sigma_law: SigmaDistribution,
    #[serde(alias = "fake_sigma_distribution")]
    fake_sigma_law: SigmaDistribution,
    #[serde(skip_serializing_if = "FakeWeighting::is_edm")]
    fake_weighting: FakeWeighting,
    weighting: Weighting,
    ratio: WrittenRatio,
    #[serde(skip_serializing_if = "Option::is_none")]
    adversarial: Option<Adversarial>,
    #[serde(skip_serializing_if = "Option::is_none")]
    regression: Option<Regression>,
    #[serde(skip_serializing_if = "Option::is_none")]
    frechet: Option<Frechet>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reward: Option<Reward>,
    fake_updates: NonZeroU32,
    sigma_init: f64,
    #[serde(skip_serializing_if = "is_one")]
    steps: NonZeroU32,
}

/// True for the default, which files leave out.
fn is_one(number: &NonZeroU32) -> bool {
    *number == NonZeroU32::MIN
}

/// See [`RatioConfig`].
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct WrittenRatio {
    #[serde(skip_serializing_if = "RatioEstimator::is_default")]
    estimator: RatioEstimator,
    clamp: Unbounded,
    temper: f64,
    bins: usize,
    bin_decay: f64,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    recalibrate: bool,
    normalize_batch: bool,
    /// [`Objective::Exact`]'s clip; absent if the file gives it elsewhere or not at all.
    correction_clip: Option<Unbounded>,
    // A table comes last in TOML.
    #[serde(skip_serializing_if = "PathConfig::is_default")]
    path: PathConfig,
}

/// See [`Objective`].
#[derive(Clone, Copy)]
enum WrittenObjective {
    /// With its clip, if the file gives it here.
    Exact(Option<f64>),
    Sid(f64),
    Integral,
}

impl Default for WrittenMethod {
    fn default() -> Self {
        // A clip may follow under either key.
        let ratio = WrittenRatio { correction_clip: None, ..Method::default().ratio.into() };
        Self { ratio, ..Method::default().into() }
    }
}

impl Default for WrittenRatio {
    fn default() -> Self {
        RatioConfig::default().into()
    }
}

impl From<RatioConfig> for WrittenRatio {
    fn from(ratio: RatioConfig) -> Self {
        let RatioConfig { clamp, temper, bins, bin_decay, normalize_batch, .. } = ratio;
        let RatioConfig { estimator, path, recalibrate, .. } = ratio;
        Self {
            estimator,
            clamp: Unbounded(clamp),
            temper,
            bins,
            bin_decay,
            recalibrate,
            normalize_batch,
            correction_clip: None,
            path,
        }
    }
}

impl From<Method> for WrittenMethod {
    fn from(method: Method) -> Self {
        let (objective, clip) = match method.objective {
            Objective::Exact { clip } => (WrittenObjective::Exact(None), clip),
            Objective::Sid { alpha } => (WrittenObjective::Sid(alpha), Objective::DEFAULT_CLIP),
            Objective::Integral => (WrittenObjective::Integral, Objective::DEFAULT_CLIP),
        };
        Self {
            objective,
            divergence: method.divergence,
            distance: method.distance,
            fake_score: method.fake_score,
            sigma_law: method.sigma_law,
            fake_sigma_law: method.fake_sigma_law,
            fake_weighting: method.fake_weighting,
            weighting: method.weighting,
            ratio: WrittenRatio { correction_clip: Some(Unbounded(clip)), ..method.ratio.into() },
            adversarial: method.adversarial,
            regression: method.regression,
            frechet: method.frechet,
            reward: method.reward,
            fake_updates: method.fake_updates,
            sigma_init: method.sigma_init,
            steps: method.steps,
        }
    }
}

impl TryFrom<WrittenMethod> for Method {
    type Error = Error;

    fn try_from(written: WrittenMethod) -> Result<Self, Error> {
        let WrittenRatio { clamp, temper, bins, bin_decay, normalize_batch, .. } = written.ratio;
        let WrittenRatio { estimator, path, recalibrate, correction_clip, .. } = written.ratio;
        let objective = match written.objective {
            WrittenObjective::Exact(own) => {
                let other = correction_clip.map(|it| it.0);
                if let (Some(own), Some(other)) = (own, other)
                    && own != other
                {
                    let problem = format!(
                        "is {own}, but ratio.correction_clip, its older name, is {other}; give one"
                    );
                    return Err(Error::method("objective.exact.clip", problem));
                }
                Objective::Exact { clip: own.or(other).unwrap_or(Objective::DEFAULT_CLIP) }
            }
            WrittenObjective::Sid(alpha) => Objective::Sid { alpha },
            WrittenObjective::Integral => Objective::Integral,
        };
        Ok(Self {
            objective,
            divergence: written.divergence,
            distance: written.distance,
            fake_score: written.fake_score,
            sigma_law: written.sigma_law,
            fake_sigma_law: written.fake_sigma_law,
            fake_weighting: written.fake_weighting,
            weighting: written.weighting,
            ratio: RatioConfig {
                estimator,
                path,
                clamp: clamp.0,
                temper,
                bins,
                bin_decay,
                recalibrate,
                normalize_batch,
            },
            adversarial: written.adversarial,
            regression: written.regression,
            frechet: written.frechet,
            reward: written.reward,
            fake_updates: written.fake_updates,
            sigma_init: written.sigma_init,
            steps: written.steps,
        })
    }
}

impl Serialize for WrittenObjective {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        #[serde(rename_all = "kebab-case")]
        enum Form {
            Exact,
            Sid { alpha: f64 },
            Integral,
        }
        let form = match *self {
            Self::Exact(_) => Form::Exact,
            Self::Sid(alpha) => Form::Sid { alpha },
            Self::Integral => Form::Integral,
        };
        form.serialize(to)
    }
}

impl<'de> Deserialize<'de> for WrittenObjective {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(NameOrTable)
    }
}

/// Reads `"exact"`, `{ exact = { clip = 0.1 } }` and their like.
struct NameOrTable;

const OBJECTIVES: &[&str] = &["exact", "sid", "integral"];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExactOptions {
    clip: Option<Unbounded>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SidOptions {
    alpha: f64,
}

impl<'de> Visitor<'de> for NameOrTable {
    type Value = WrittenObjective;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an objective: \"exact\", \"integral\" or { sid = { alpha = 1.0 } }")
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<WrittenObjective, E> {
        match name {
            "exact" => Ok(WrittenObjective::Exact(None)),
            "integral" => Ok(WrittenObjective::Integral),
            "sid" => Err(E::custom("sid needs its alpha: { sid = { alpha = 1.0 } }")),
            other => Err(E::unknown_variant(other, OBJECTIVES)),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<WrittenObjective, A::Error> {
        let name: String = map.next_key()?.ok_or_else(|| de::Error::custom("empty objective"))?;
        let objective = match name.as_str() {
            "exact" => {
                WrittenObjective::Exact(map.next_value::<ExactOptions>()?.clip.map(|it| it.0))
            }
            "sid" => WrittenObjective::Sid(map.next_value::<SidOptions>()?.alpha),
            "integral" => {
                return Err(de::Error::custom("integral has no options; write \"integral\""));
            }
            other => return Err(de::Error::unknown_variant(other, OBJECTIVES)),
        };
        match map.next_key::<String>()? {
            None => Ok(objective),
            Some(second) => Err(de::Error::custom(format!(
                "a method has one objective, here are `{name}` and `{second}`"
            ))),
        }
    }
}
