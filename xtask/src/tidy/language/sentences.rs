//! Length of sentences.

use super::Finding;
use super::passage::{Kind, Passage};

/// Maximum length of a sentence, in words.
pub const MAX_WORDS: usize = 40;

/// Abbreviations whose period does not end a sentence.
const ABBREVIATIONS: [&str; 10] =
    ["e.g.", "i.e.", "cf.", "vs.", "al.", "eq.", "eqs.", "fig.", "sec.", "approx."];

/// Checks the prose of a page.
pub fn check(passages: &[Passage], findings: &mut Vec<Finding>) {
    for passage in passages.iter().filter(|it| it.kind == Kind::Prose) {
        let (mut begin, mut words) = (0, 0);
        let mut rest = passage.text.split(' ').peekable();
        let mut at = 0;
        while let Some(word) = rest.next() {
            // A dash or a list's bullet does not count as a word.
            words += usize::from(word.contains(|it: char| it.is_alphanumeric() || it == '`'));
            at += word.len() + 1;
            if ends_sentence(word, rest.peek().copied()) {
                if MAX_WORDS < words {
                    let line = passage.line(begin);
                    let message =
                        format!("a sentence of {words} words, at most {MAX_WORDS}; split it");
                    findings.push(Finding { line, message });
                }
                (begin, words) = (at, 0);
            }
        }
    }
}

fn ends_sentence(word: &str, next: Option<&str>) -> bool {
    let Some(next) = next else { return true };
    let word = word.trim_end_matches([')', ']', '"', '\'', '*', '_', '”']);
    let word = word.trim_start_matches(['(', '[', '"', '*', '_', '“']).to_lowercase();
    let is_stop = word.ends_with(['.', '!', '?']) && !ABBREVIATIONS.contains(&word.as_str());
    is_stop && !next.starts_with(char::is_lowercase)
}
