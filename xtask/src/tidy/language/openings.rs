//! First words of doc comments.

use super::Finding;
use super::passage::Line;

/// Words that begin a question or a clause instead of a noun phrase or a verb.
const QUESTIONS: [&str; 6] = ["What", "Whether", "Where", "Who", "How", "Which"];

const REMEDY: &str = "open with a noun phrase (types, fields) or a verb in the third person \
    (functions)";

/// Checks the first line of every doc comment.
pub fn check(docs: &[Vec<Line<'_>>], findings: &mut Vec<Finding>) {
    for &(line, text) in docs.iter().filter_map(|it| it.first()) {
        let text = text.trim_start_matches(|it: char| !it.is_alphanumeric() && it != '`');
        let length = text.find(|it: char| !it.is_alphanumeric()).unwrap_or(text.len());
        if QUESTIONS.contains(&&text[..length]) {
            let message = format!("a doc comment begins with `{}`; {REMEDY}", &text[..length]);
            findings.push(Finding { line, message });
        }
    }
}
