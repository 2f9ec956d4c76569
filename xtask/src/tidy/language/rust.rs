//! Text in Rust source that users and readers see: doc comments and strings.

use super::passage::{Kind, Line, Passage};
use crate::tidy::lexer::{self, Span};
use crate::tidy::source::is_test;

/// Returns doc comments, each as lines without comment markers.
pub fn docs<'a>(text: &'a str, spans: &[Span]) -> Vec<Vec<Line<'a>>> {
    let mut docs: Vec<Vec<Line<'a>>> = Vec::new();
    // End and marker of the previous line comment.
    let mut last = None;
    for (index, span) in spans.iter().enumerate() {
        let content = &text[span.start..span.end];
        let number = number(text, span.start);
        if let Some((mark, line)) = doc_line(content) {
            match last.zip(docs.last_mut()) {
                Some(((end, before), doc)) if before == mark && is_next(&text[end..span.start]) => {
                    doc.push((number, line));
                }
                _ => docs.push(vec![(number, line)]),
            }
            last = Some((span.end, mark));
        } else if let Some(lines) = doc_block(content, number) {
            docs.push(lines);
        } else if span.kind == lexer::Kind::Literal && is_doc_attribute(text, spans, index) {
            docs.push(literal(content, number));
        }
    }
    docs.retain_mut(|lines| {
        let empty = lines.iter().take_while(|(_, line)| line.trim().is_empty()).count();
        lines.drain(..empty);
        !lines.is_empty()
    });
    docs
}

/// Returns the marker and the content of a doc comment that extends to the end of its line.
fn doc_line(comment: &str) -> Option<(&'static str, &str)> {
    let is_ruler = comment.starts_with("////");
    let marks = ["///", "//!"].into_iter();
    marks.filter(|_| !is_ruler).find_map(|it| Some((it, comment.strip_prefix(it)?)))
}

/// Returns the lines of a doc comment between `/**` or `/*!` and `*/`.
fn doc_block(comment: &str, first: usize) -> Option<Vec<Line<'_>>> {
    let is_ruler = comment.starts_with("/***") || comment == "/**/";
    let body = ["/**", "/*!"].iter().filter(|_| !is_ruler).find_map(|it| comment.strip_prefix(it));
    let body = body?.strip_suffix("*/")?;
    let lines = body.lines().map(|line| line.trim().trim_start_matches('*'));
    Some(lines.enumerate().map(|(index, line)| (first + index, line)).collect())
}

/// Tests whether only the indentation of the next line lies between two comments.
fn is_next(between: &str) -> bool {
    between.trim().is_empty() && between.matches('\n').count() == 1
}

/// Tests whether a literal is the value of `#[doc = "..."]`.
fn is_doc_attribute(text: &str, spans: &[Span], index: usize) -> bool {
    let from = index.checked_sub(1).map_or(0, |it| spans[it].end);
    let before: String = text[from..spans[index].start].split_whitespace().collect();
    before.ends_with("[doc=")
}

/// Returns strings that contain a space, outside tests. [`docs`] handles attributes of doc
/// comments.
pub fn strings(path: &str, text: &str, spans: &[Span]) -> Vec<Passage> {
    if is_test(path) {
        return Vec::new();
    }
    let tests = test_modules(&lexer::views(text).bare);
    let mut passages = Vec::new();
    for (index, span) in spans.iter().enumerate() {
        let content = &text[span.start..span.end];
        let is_tested = tests.iter().any(|&(from, to)| from <= span.start && span.end <= to);
        let is_text = span.kind == lexer::Kind::Literal && content.contains(' ');
        if is_text && !is_tested && !is_doc_attribute(text, spans, index) {
            let content = without_fields(content);
            let lines = literal(&content, number(text, span.start));
            passages.push(Passage::new(Kind::Prose, &lines));
        }
    }
    passages
}

/// Returns the lines of a string's content, without quotes and escaped line breaks.
fn literal(content: &str, first: usize) -> Vec<Line<'_>> {
    let lines = content.split('\n').enumerate();
    let lines = lines.map(|(index, line)| (first + index, line.trim_end_matches('\\')));
    lines
        .flat_map(|(number, line)| line.split("\\n").map(move |part| (number, part)))
        .map(|(number, line)| (number, line.trim_matches('"')))
        .collect()
}

/// Replaces the fields of a format string by code spans.
fn without_fields(content: &str) -> String {
    let mut text = String::with_capacity(content.len());
    let mut rest = content;
    while let Some(open) = rest.find('{') {
        let end = rest[open..].find('}').map(|it| open + it + 1);
        let field = end.filter(|&end| !rest[open..end].contains([' ', '\n']));
        text.push_str(&rest[..open]);
        let end = field.unwrap_or(open + 1);
        text.push_str(if field.is_some() { "0" } else { "{" });
        rest = &rest[end..];
    }
    text.push_str(rest);
    text
}

/// Returns the ranges of modules that are compiled for tests only.
fn test_modules(bare: &str) -> Vec<(usize, usize)> {
    let range = |(at, _): (usize, &str)| {
        let open = at + bare[at..].find(['{', ';'])?;
        let is_body = bare[open..].starts_with('{');
        is_body.then(|| (at, open + block(&bare[open..])))
    };
    bare.match_indices("#[cfg(test)]").filter_map(range).collect()
}

/// Returns the length of a block that begins with its brace.
fn block(text: &str) -> usize {
    let mut depth = 0_usize;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' if depth == 1 => return at + 1,
            b'}' => depth -= 1,
            _ => (),
        }
    }
    text.len()
}

fn number(text: &str, offset: usize) -> usize {
    1 + text[..offset].matches('\n').count()
}
