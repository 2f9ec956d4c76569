//! Findings that existed when the rules on wording were introduced.
//!
//! Every file must have exactly as many findings as the list says, so the list only shrinks.
//! Without the list, every finding is an error. When nothing is left, remove this module and
//! `--bless-language`.

use std::collections::BTreeMap;
use std::fmt::Write;

use toml::{Table, Value};

use super::Finding;

/// Counts by path.
pub const LIST: &str = "xtask/language-debt.toml";

const HEAD: &str = "\
# Findings of `cargo xtask tidy` about wording that remain to be corrected, by file. The counts only
# shrink: `cargo xtask tidy --bless-language` lowers them and removes this file at zero.

";

const BLESS: &str = "`cargo xtask tidy --bless-language`";

/// Findings of one file.
pub struct Count<'a> {
    pub path: &'a str,
    pub findings: Vec<Finding>,
}

/// List of counts by path.
pub struct Debt(BTreeMap<String, usize>);

impl Debt {
    /// Parses the list; an empty text has no debt.
    ///
    /// # Errors
    ///
    /// If the text is not a table of positive counts.
    pub fn parse(text: &str) -> Result<Self, String> {
        let table = text.parse::<Table>().map_err(|error| error.to_string())?;
        let count = |(path, value): (String, Value)| {
            let count = value.as_integer().and_then(|it| usize::try_from(it).ok());
            let count = count.filter(|&it| it > 0);
            Ok((path.clone(), count.ok_or_else(|| format!("`{path}` is not a positive count"))?))
        };
        table.into_iter().map(count).collect::<Result<_, String>>().map(Self)
    }

    /// Compares the findings with the list.
    pub fn check(&self, counts: &[Count<'_>], faults: &mut Vec<String>) {
        for Count { path, findings } in counts {
            let (listed, found) = (self.0.get(*path).copied().unwrap_or(0), findings.len());
            if listed < found {
                let all = findings.iter().map(|it| format!("{path}:{}: {}", it.line, it.message));
                faults.extend(all);
                if 0 < listed {
                    faults.push(format!(
                        "{path}: {found} findings about wording, {listed} are listed in {LIST}; \
                         correct the new ones"
                    ));
                }
            }
        }
        for (path, &listed) in &self.0 {
            let count = counts.iter().find(|it| it.path == path);
            let found = count.map_or(0, |it| it.findings.len());
            if found < listed {
                faults.push(format!(
                    "{LIST}: {listed} findings are listed for {path}, which has {found}; lower the \
                     count with {BLESS}"
                ));
            }
        }
    }
}

/// Renders the new list; `None` if it would be empty.
///
/// # Errors
///
/// If the sum of the counts would grow. Files may be renamed.
pub fn render<'a>(
    old: Option<&Debt>,
    counts: impl Iterator<Item = (&'a str, usize)>,
) -> Result<Option<String>, String> {
    let counts: Vec<_> = counts.filter(|&(_, count)| 0 < count).collect();
    let total: usize = counts.iter().map(|&(_, count)| count).sum();
    if let Some(old) = old {
        let listed: usize = old.0.values().sum();
        if listed < total {
            return Err(format!(
                "{total} findings about wording, {listed} are listed in {LIST}; the list only \
                 shrinks; correct the findings of `cargo xtask tidy`"
            ));
        }
    }
    let mut text = HEAD.to_owned();
    for (path, count) in &counts {
        let _ = writeln!(text, "\"{path}\" = {count}");
    }
    Ok((!counts.is_empty()).then_some(text))
}
