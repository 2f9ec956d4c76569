//! Phases of a run: a method and the number of images it is trained for.
//!
//! A file names a preset and its changes; a resolved configuration holds the full method. Both use
//! the same keys, so a resolved configuration can be read back.

use divergence::{Divergence, Method};
use serde::{Deserialize, Serialize};

/// A stretch of a run under one method.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "PhaseText")]
pub struct Phase {
    /// Length, in images shown to the generator.
    pub images: u64,
    /// False while only the fake score and the discriminator are trained.
    pub train_generator: bool,
    /// The distillation method.
    pub method: Method,
}

/// The preset of a phase that names none.
const DEFAULT_PRESET: &str = "uni-instruct";
/// Default length of a phase, in images: SiD's 300 million.
const DEFAULT_IMAGES: u64 = 300_000_000;

impl Default for Phase {
    fn default() -> Self {
        PhaseText::default().try_into().expect("the default preset exists")
    }
}

/// A phase as written in a file.
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
        // A method without a preset but with an objective is a full one, as a resolved
        // configuration prints it: parts that it leaves out are absent, not a preset's.
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
            let changed = changed.ok_or("the method has no alpha; drop `alpha`, or choose a preset with a score identity objective")?;
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
    format!(
        "`{key}` is given twice, with different values, next to `method` and inside it; drop one"
    )
}

/// The method of a preset.
fn preset(name: &str) -> Result<Method, String> {
    let row = divergence::preset(name).ok_or_else(|| {
        let names: Vec<_> = divergence::presets().iter().map(|row| row.name).collect();
        format!("no method named `{name}`; choose one of {}", names.join(", "))
    })?;
    Ok(row.method.clone())
}

/// `method` with the keys of `changes` replaced, tables merged.
fn overridden(method: Method, mut changes: toml::Table) -> Result<Method, String> {
    if changes.is_empty() {
        return Ok(method);
    }
    use_written_keys(&mut changes);
    let mut table = toml::Table::try_from(&method).map_err(|err| err.to_string())?;
    merge(&mut table, changes)?;
    table.try_into().map_err(|err: toml::de::Error| err.message().to_owned())
}

/// Moves a value under the newer of two keys to the key that a method is written with, so that it
/// replaces the preset's value.
fn use_written_keys(changes: &mut toml::Table) {
    for (newer, written) in
        [("sigma_distribution", "sigma_law"), ("fake_sigma_distribution", "fake_sigma_law")]
    {
        if !changes.contains_key(written)
            && let Some(value) = changes.remove(newer)
        {
            changes.insert(written.into(), value);
        }
    }
    if changes.get("ratio").is_some_and(|it| it.get("correction_clip").is_some()) {
        // Given under both keys: the method refuses two that differ.
        return;
    }
    let exact = changes.get_mut("objective").and_then(|it| it.get_mut("exact"));
    if let Some(clip) = exact.and_then(|it| it.as_table_mut()?.remove("clip")) {
        let ratio = changes.entry("ratio").or_insert_with(|| toml::Table::new().into());
        if let Some(ratio) = ratio.as_table_mut() {
            ratio.insert("correction_clip".into(), clip);
        }
    }
}

/// Optional parts of a method, which `false` switches off.
const OPTIONAL: [&str; 4] = ["adversarial", "regression", "frechet", "reward"];

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
