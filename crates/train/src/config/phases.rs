//! What a run descends, and for how long.
//!
//! A file names a preset and what differs from it; what is kept and printed is the method in full.
//! Both are the same key, so a resolved configuration can be read back.

use divergence::{Divergence, Method};
use serde::{Deserialize, Serialize};

/// A stretch of a run under one method.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "PhaseText")]
pub struct Phase {
    /// Length, in images shown to the generator.
    pub images: u64,
    /// False while only the fake score and the discriminator learn.
    pub train_generator: bool,
    /// What is descended.
    pub method: Method,
}

/// The preset of a phase that names none.
const DEFAULT_PRESET: &str = "uni-instruct";
/// Length of a phase that does not tell, in images: SiD's 300 million.
const DEFAULT_IMAGES: u64 = 300_000_000;

impl Default for Phase {
    fn default() -> Self {
        PhaseText::default().try_into().expect("the default preset exists")
    }
}

/// A phase as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct PhaseText {
    images: Option<u64>,
    train_generator: Option<bool>,
    /// A row of the preset table; the keys below change it.
    preset: Option<String>,
    divergence: Option<Divergence>,
    alpha: Option<f64>,
    /// Any part of a method.
    method: toml::Table,
}

impl TryFrom<PhaseText> for Phase {
    type Error = String;

    fn try_from(text: PhaseText) -> Result<Self, String> {
        // A method without a preset but with an objective is one in full, as a resolved
        // configuration prints it: parts that it does not have are not those of a preset.
        let method = match text.preset.as_deref() {
            None if text.method.contains_key("objective") => Method::default(),
            name => preset(name.unwrap_or(DEFAULT_PRESET))?,
        };
        let given = |key| text.method.contains_key(key);
        let (has_divergence, has_objective) = (given("divergence"), given("objective"));
        let mut method = overridden(method, text.method)?;
        if let Some(divergence) = text.divergence {
            if has_divergence && method.divergence != divergence {
                return Err(twice("divergence"));
            }
            method.divergence = divergence;
        }
        if let Some(alpha) = text.alpha {
            let changed = method.clone().with_alpha(alpha);
            let changed = changed.ok_or("the method has no alpha; score identity methods have")?;
            if has_objective && changed != method {
                return Err(twice("alpha"));
            }
            method = changed;
        }
        method.validate().map_err(|err| err.to_string())?;
        Ok(Self {
            images: text.images.unwrap_or(DEFAULT_IMAGES),
            train_generator: text.train_generator.unwrap_or(true),
            method,
        })
    }
}

fn twice(key: &str) -> String {
    format!("`{key}` is given twice, beside `method` and, otherwise, in it")
}

/// The method of a preset.
fn preset(name: &str) -> Result<Method, String> {
    let row = divergence::preset(name).ok_or_else(|| {
        let names: Vec<_> = divergence::presets().iter().map(|row| row.name).collect();
        format!("no method named `{name}`; there are {}", names.join(", "))
    })?;
    Ok(row.method.clone())
}

/// `method` with the keys of `changes` put in its place, tables merged.
fn overridden(method: Method, changes: toml::Table) -> Result<Method, String> {
    if changes.is_empty() {
        return Ok(method);
    }
    let mut table = toml::Table::try_from(&method).map_err(|err| err.to_string())?;
    merge(&mut table, changes)?;
    table.try_into().map_err(|err: toml::de::Error| err.message().to_owned())
}

/// Parts that a method may do without, which `false` switches off.
const OPTIONAL: [&str; 2] = ["adversarial", "regression"];

fn merge(table: &mut toml::Table, changes: toml::Table) -> Result<(), String> {
    for (key, change) in changes {
        match (table.get_mut(&key), change) {
            (_, toml::Value::Boolean(false)) if OPTIONAL.contains(&key.as_str()) => {
                table.remove(&key);
            }
            (_, toml::Value::Table(change)) if change.is_empty() => {
                return Err(format!(
                    "`{key}` is an empty table, which changes nothing; leave it out{}",
                    if OPTIONAL.contains(&key.as_str()) {
                        ", or switch it off by `false`"
                    } else {
                        ""
                    }
                ));
            }
            // A table with one key names a variant (`objective.sid`): it replaces, others merge.
            (Some(toml::Value::Table(inner)), toml::Value::Table(change))
                if change.keys().all(|key| inner.contains_key(key)) =>
            {
                merge(inner, change)?;
            }
            (_, change) => {
                table.insert(key, change);
            }
        }
    }
    Ok(())
}
