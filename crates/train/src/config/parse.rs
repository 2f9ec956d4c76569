//! Parsing of configurations, with overrides.

use serde::de::DeserializeOwned;

use crate::Error;

/// Parses a configuration of any kind: see [`super::Config::parse`].
///
/// # Errors
///
/// If the text or an override is invalid.
pub(crate) fn parse<T: DeserializeOwned>(
    name: &str,
    text: &str,
    overrides: &[String],
) -> Result<T, Error> {
    parse_prepared(name, text, overrides, |_| ())
}

pub(super) fn parse_prepared<T: DeserializeOwned>(
    name: &str,
    text: &str,
    overrides: &[String],
    prepare: impl FnOnce(&mut toml::Table),
) -> Result<T, Error> {
    let fault = |source| Error::Config { name: name.into(), source: Box::new(source) };
    if overrides.is_empty() {
        return toml::from_str(text).map_err(fault);
    }
    let mut table: toml::Table = toml::from_str(text).map_err(fault)?;
    prepare(&mut table);
    for assignment in overrides {
        set(&mut table, assignment)?;
    }
    // Printed and parsed again, so that errors in overrides show a line as well.
    let name = overrides.iter().fold(name.to_owned(), |name, it| format!("{name} --set {it}"));
    let text = toml::to_string(&table).map_err(|err| Error::unusable(&name, err.to_string()))?;
    toml::from_str(&text).map_err(|source| Error::Config { name, source: Box::new(source) })
}

/// Applies one `key.path=value`; integers in the path index arrays, as in `phase.0.images=1000`.
fn set(table: &mut toml::Table, assignment: &str) -> Result<(), Error> {
    let fault = |reason: &str| Error::unusable(format!("--set {assignment}"), reason);
    let (path, value) =
        assignment.split_once('=').ok_or_else(|| fault("expected key.path=value"))?;
    let value = parse_value(value);
    let mut keys = path.split('.').map(str::trim).peekable();
    let first = keys.next().unwrap_or_default();
    if first.is_empty() {
        return Err(fault("expected key.path=value"));
    }
    if keys.peek().is_none() {
        table.insert(first.into(), value);
        return Ok(());
    }
    let empty = || toml::Value::Table(toml::Table::new());
    let mut slot = table.entry(first).or_insert_with(empty);
    for key in keys {
        let inner = match slot {
            toml::Value::Table(table) => table.entry(key).or_insert_with(empty),
            toml::Value::Array(items) => key
                .parse()
                .ok()
                .and_then(|index: usize| items.get_mut(index))
                .ok_or_else(|| fault("the array has no such element; count from 0"))?,
            _ => {
                return Err(fault(
                    "a part of the path names a value, not a table; shorten the path",
                ));
            }
        };
        slot = inner;
    }
    *slot = value;
    Ok(())
}

fn parse_value(text: &str) -> toml::Value {
    let text = text.trim();
    let parsed: Option<toml::Table> = toml::from_str(&format!("value = {text}")).ok();
    parsed
        .and_then(|mut table| table.remove("value"))
        .unwrap_or_else(|| toml::Value::String(text.into()))
}
