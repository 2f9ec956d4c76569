//! Rust source with its comments, and optionally its literals, blanked.
//!
//! The rules look for words in code. A word in a comment or in a string is not code, and a grep
//! cannot tell them apart; a real parser would be a large dependency for one question. This reads
//! just enough of the grammar: comments (nested), strings (plain, raw, byte, C), characters, and
//! lifetimes, which begin like characters.

/// Two copies of a source text, both with the same line breaks and byte offsets as the original.
pub struct Views {
    /// Comments blanked.
    pub without_comments: String,
    /// Comments and the contents of literals blanked.
    pub bare: String,
}

/// Kind of a stretch of source.
#[derive(Clone, Copy, PartialEq)]
pub enum Kind {
    /// Everything else.
    Code,
    /// A comment, without the line break that ends it.
    Comment,
    /// A string or a character, with its quotes.
    Literal,
}

/// A comment or a literal: its kind and the byte offsets of its beginning and its end.
pub struct Span {
    pub kind: Kind,
    pub start: usize,
    pub end: usize,
}

/// Comments and literals of `text`, in their order.
pub fn spans(text: &str) -> Vec<Span> {
    let bytes = text.as_bytes();
    let (mut spans, mut start) = (Vec::new(), 0);
    while start < bytes.len() {
        let (kind, end) = next(bytes, start);
        if kind != Kind::Code {
            spans.push(Span { kind, start, end });
        }
        start = end;
    }
    spans
}

/// Blanks `text`. An unterminated comment or literal extends to the end.
pub fn views(text: &str) -> Views {
    let bytes = text.as_bytes();
    let mut without_comments = bytes.to_vec();
    let mut bare = bytes.to_vec();
    for Span { kind, start, end } in spans(text) {
        for index in (start..end).filter(|&it| bytes[it] != b'\n') {
            bare[index] = b' ';
            if kind == Kind::Comment {
                without_comments[index] = b' ';
            }
        }
    }
    // Only whole stretches are blanked and they begin and end at ASCII, so this loses nothing.
    let into_text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Views { without_comments: into_text(without_comments), bare: into_text(bare) }
}

/// The kind of what begins at `at`, and where it ends; always beyond `at`.
fn next(bytes: &[u8], at: usize) -> (Kind, usize) {
    let rest = &bytes[at..];
    if rest.starts_with(b"//") {
        let length = rest.iter().position(|&it| it == b'\n').unwrap_or(rest.len());
        return (Kind::Comment, at + length);
    }
    if rest.starts_with(b"/*") {
        return (Kind::Comment, at + block_comment(rest));
    }
    let inside_word = at > 0 && is_word(bytes[at - 1]);
    if !inside_word && let Some(length) = raw_string(rest) {
        return (Kind::Literal, at + length);
    }
    match rest[0] {
        b'"' => (Kind::Literal, at + quoted(rest)),
        b'\'' => character(rest).map_or((Kind::Code, at + 1), |it| (Kind::Literal, at + it)),
        _ => (Kind::Code, at + 1),
    }
}

/// Tests whether a byte can be part of an identifier.
pub fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || !byte.is_ascii()
}

/// Length of a block comment, which may hold others.
fn block_comment(rest: &[u8]) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < rest.len() {
        if rest[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    rest.len()
}

/// Length of a raw string with its prefix (`r`, `br`, `cr`), if one begins here.
fn raw_string(rest: &[u8]) -> Option<usize> {
    let prefix = [&b"r"[..], b"br", b"cr"].into_iter().find(|it| rest.starts_with(it))?.len();
    let hashes = rest[prefix..].iter().take_while(|&&it| it == b'#').count();
    let open = prefix + hashes;
    if rest.get(open) != Some(&b'"') {
        return None;
    }
    let close = [&b"\""[..], &vec![b'#'; hashes]].concat();
    let body = &rest[open + 1..];
    let length = body.windows(close.len()).position(|it| it == close);
    Some(length.map_or(rest.len(), |it| open + 1 + it + close.len()))
}

/// Length of a quoted string that begins with its quote.
fn quoted(rest: &[u8]) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// Length of a character literal, or `None` if the quote begins a lifetime.
fn character(rest: &[u8]) -> Option<usize> {
    let first = *rest.get(1)?;
    let body = match first {
        b'\\' => 2 + rest[2..].iter().skip(1).position(|&it| it == b'\'')? + 1,
        b'\'' | b'\n' => return None,
        // A character of UTF-8 is as long as its first byte says.
        _ => 1 + [1, 1, 2, 3, 4][4.min(first.leading_ones() as usize)],
    };
    (rest.get(body) == Some(&b'\'')).then_some(body + 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, without_comments: &str, bare: &str) {
        let views = views(text);
        assert_eq!(views.without_comments, without_comments);
        assert_eq!(views.bare, bare);
    }

    #[test]
    fn comments_and_literals_are_blanked() {
        check("a // b\nc", "a     \nc", "a     \nc");
        check("a /* b /* c */ d */ e", "a                   e", "a                   e");
        check(r#"f("x // y")"#, r#"f("x // y")"#, "f(        )");
        check(r#"f("\"" , b)"#, r#"f("\"" , b)"#, "f(     , b)");
        check(r##"f(r#"a"b"#, c)"##, r##"f(r#"a"b"#, c)"##, "f(        , c)");
        check(r#"var"x""#, r#"var"x""#, "var   ");
        check("fn f<'a>(x: &'a str) {}", "fn f<'a>(x: &'a str) {}", "fn f<'a>(x: &'a str) {}");
        check(
            "['\"', 'x', '\\'', 'é', y]",
            "['\"', 'x', '\\'', 'é', y]",
            "[   ,    ,     ,     , y]",
        );
        check("a /* b", "a     ", "a     ");
    }

    proptest! {
        #[test]
        fn any_text_keeps_its_length_and_its_lines(text in "[a-z\"'#/*\\\\ rbé\n]{0,60}") {
            let views = views(&text);
            prop_assert_eq!(views.without_comments.lines().count(), text.lines().count());
            prop_assert_eq!(views.without_comments.len(), text.len());
            prop_assert_eq!(views.bare.len(), text.len());
        }
    }
}
