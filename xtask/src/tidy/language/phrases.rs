//! Banned phrases.

use toml::{Table, Value};

use super::Finding;
use super::passage::Passage;

/// Entry of the list.
pub struct Phrase {
    /// Banned spellings, in lower case.
    banned: Vec<String>,
    instead: String,
    /// Longer phrases, in lower case, inside which a banned one is allowed.
    except: Vec<String>,
}

/// Parses the list.
///
/// # Errors
///
/// If an entry has an unknown key, lacks a key, or a value has the wrong type.
pub fn parse(text: &str) -> Result<Vec<Phrase>, String> {
    let table = text.parse::<Table>().map_err(|error| error.to_string())?;
    let entries = match table.get("banned").and_then(Value::as_array) {
        Some(entries) if table.len() == 1 => entries,
        _ => return Err("expected entries `[[banned]]` and nothing else".to_owned()),
    };
    entries.iter().map(entry).collect()
}

fn entry(value: &Value) -> Result<Phrase, String> {
    let table = value.as_table().ok_or("`banned` is not an array of tables")?;
    let known = ["phrases", "instead", "except"];
    if let Some(key) = table.keys().find(|it| !known.contains(&it.as_str())) {
        return Err(format!("unknown key `{key}`, expected one of {}", known.join(", ")));
    }
    let banned = strings(table, "phrases")?;
    let instead = table.get("instead").and_then(Value::as_str).unwrap_or_default().to_owned();
    if banned.is_empty() || instead.is_empty() {
        return Err(format!("an entry requires `phrases` and `instead`: {table}"));
    }
    Ok(Phrase { banned, instead, except: strings(table, "except")? })
}

fn strings(table: &Table, key: &str) -> Result<Vec<String>, String> {
    let Some(value) = table.get(key) else { return Ok(Vec::new()) };
    let strings = value.as_array().and_then(|values| {
        values.iter().map(|it| it.as_str().map(str::to_lowercase)).collect::<Option<Vec<_>>>()
    });
    strings
        .filter(|it| it.iter().all(|phrase| !phrase.trim().is_empty()))
        .ok_or_else(|| format!("`{key}` is not an array of phrases"))
}

/// Finds banned phrases. If two overlap, the first and longest is reported.
pub fn check(passage: &Passage, phrases: &[Phrase], findings: &mut Vec<Finding>) {
    // ASCII lower case keeps the offsets.
    let text = passage.text.to_ascii_lowercase();
    let mut hits = Vec::new();
    for phrase in phrases {
        let allowed: Vec<_> = phrase.except.iter().flat_map(|it| places(&text, it)).collect();
        for (at, end) in phrase.banned.iter().flat_map(|it| places(&text, it)) {
            if !allowed.iter().any(|&(from, to)| from <= at && end <= to) {
                hits.push((at, end, phrase));
            }
        }
    }
    hits.sort_by_key(|&(at, end, _)| (at, usize::MAX - end));
    let mut covered = 0;
    for (at, end, phrase) in hits {
        if covered <= at {
            covered = end;
            let message = format!("`{}`; instead: {}", &passage.text[at..end], phrase.instead);
            findings.push(Finding { line: passage.line(at), message });
        }
    }
}

/// Returns the ranges of `text` that contain `phrase` as whole words.
fn places(text: &str, phrase: &str) -> Vec<(usize, usize)> {
    let is_word = |it: char| it.is_alphanumeric() || it == '_';
    let starts = text.char_indices().map(|(at, _)| at);
    let ranges = starts.filter_map(|at| {
        let end = at + matched(&text[at..], phrase)?;
        let inside = text[..at].chars().next_back().is_some_and(is_word)
            || (!phrase.ends_with('#') && text[end..].chars().next().is_some_and(is_word));
        (!inside).then_some((at, end))
    });
    ranges.collect()
}

/// Returns the length of the prefix of `text` that matches `phrase`.
fn matched(text: &str, phrase: &str) -> Option<usize> {
    let mut rest = text.chars();
    for expected in phrase.chars() {
        let found = rest.next()?;
        let fits = found == expected || (expected == '#' && found.is_ascii_digit());
        if !fits {
            return None;
        }
    }
    Some(text.len() - rest.as_str().len())
}
