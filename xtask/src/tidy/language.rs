//! Rules on wording: pages, doc comments, help texts and strings.
//!
//! A doc comment must not begin with a question word, no banned phrase may occur, and a sentence on
//! a page has at most [`sentences::MAX_WORDS`] words. [`LIST`] contains the phrases. [`debt::LIST`]
//! contains the files that broke the rules when these were introduced.

mod debt;
mod openings;
mod passage;
mod phrases;
mod rust;
mod sentences;

use super::lexer;
use super::tree::{File, Tree};
use debt::{Count, Debt};
use phrases::Phrase;

/// File with the banned phrases and their replacements.
const LIST: &str = "xtask/language.toml";

/// Violation of a rule.
pub struct Finding {
    line: usize,
    message: String,
}

/// Checks the wording of every file; accepts the listed debt.
pub fn check(tree: &Tree, faults: &mut Vec<String>) {
    let Some(phrases) = listed(tree, faults) else { return };
    match Debt::parse(tree.text(debt::LIST).unwrap_or_default()) {
        Ok(debt) => debt.check(&found(tree, &phrases), faults),
        Err(error) => faults.push(format!("{}: {error}", debt::LIST)),
    }
}

/// Returns the new contents of the list of debt, or `None` if it would be empty.
///
/// # Errors
///
/// If a list does not parse, or the debt would grow.
pub fn bless(tree: &Tree) -> Result<Option<String>, String> {
    let mut faults = Vec::new();
    let phrases = listed(tree, &mut faults).ok_or_else(|| faults.join("\n"))?;
    let old = tree.text(debt::LIST).map(Debt::parse).transpose();
    let old = old.map_err(|error| format!("{}: {error}", debt::LIST))?;
    let counts = found(tree, &phrases);
    debt::render(old.as_ref(), counts.iter().map(|it| (it.path, it.findings.len())))
}

/// Path of the list of debt.
pub const DEBT: &str = debt::LIST;

fn listed(tree: &Tree, faults: &mut Vec<String>) -> Option<Vec<Phrase>> {
    let parsed = tree.text(LIST).ok_or_else(|| "missing".to_owned()).and_then(phrases::parse);
    parsed.map_err(|error| faults.push(format!("{LIST}: {error}"))).ok()
}

fn found<'a>(tree: &'a Tree, phrases: &[Phrase]) -> Vec<Count<'a>> {
    let count = |file: &'a File| Count { path: &file.path, findings: findings(file, phrases) };
    tree.files.iter().map(count).filter(|it| !it.findings.is_empty()).collect()
}

/// Returns the findings of one file, in the order of their lines.
fn findings(file: &File, phrases: &[Phrase]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let passages = if file.path.ends_with(".md") {
        let passages = passage::of_page(&passage::numbered(&file.text));
        if file.path == "README.md" || file.path.starts_with("docs/") {
            sentences::check(&passages, &mut findings);
        }
        passages
    } else if file.path.ends_with(".rs") {
        let spans = lexer::spans(&file.text);
        let docs = rust::docs(&file.text, &spans);
        openings::check(&docs, &mut findings);
        let strings = rust::strings(&file.path, &file.text, &spans);
        docs.iter().flat_map(|it| passage::of_page(it)).chain(strings).collect()
    } else {
        return findings;
    };
    for passage in &passages {
        phrases::check(passage, phrases, &mut findings);
    }
    findings.sort_by_key(|it| it.line);
    findings
}

#[cfg(test)]
mod tests;
