//! Rust source in which comments, and optionally literals, are replaced by blanks.
//!
//! The rules search for words in code, so comments and strings must not count. A full parser would
//! be a large dependency for this task. This lexer covers only comments (nested), strings (plain,
//! raw, byte, C), characters, and lifetimes, which begin like characters.

/// Two copies of a source text with the same line breaks and byte offsets as the original.
pub struct Views {
    /// Text with blanks in place of comments.
    pub without_comments: String,
    /// Text with blanks in place of comments and of the contents of literals.
    pub bare: String,
}

/// Kind of a span of source.
#[derive(Clone, Copy, PartialEq)]
pub enum Kind {
    /// Code outside comments and literals.
    Code,
    /// A comment, without its final line break.
    Comment,
    /// A string or a character, with its quotes.
    Literal,
}

/// A comment or a literal: its kind and the byte offsets of its start and end.
pub struct Span {
    pub kind: Kind,
    pub start: usize,
    pub end: usize,
}

/// Returns the comments and literals of `text` in their order.
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

/// Replaces comments and literals by blanks. An unterminated one extends to the end.
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
    // Only whole spans are replaced, and they begin and end at ASCII, so the text stays UTF-8.
    let into_text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Views { without_comments: into_text(without_comments), bare: into_text(bare) }
}

/// Returns the kind of the span that begins at `at`, and its end, which is always after `at`.
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

/// Returns the length of a block comment, which may contain others.
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

/// Returns the length of a raw string with its prefix (`r`, `br`, `cr`), if one begins here.
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

/// Returns the length of a quoted string that begins with its quote.
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

/// Returns the length of a character literal, or `None` if the quote begins a lifetime.
fn character(rest: &[u8]) -> Option<usize> {
    let first = *rest.get(1)?;
    let body = match first {
        b'\\' => 2 + rest[2..].iter().skip(1).position(|&it| it == b'\'')? + 1,
        b'\'' | b'\n' => return None,
        // The first byte of a UTF-8 character determines its length.
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
    fn blanks_comments_and_literals() {
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
        fn views_keep_length_and_lines(text in "[a-z\"'#/*\\\\ rbé\n]{0,60}") {
            let views = views(&text);
            prop_assert_eq!(views.without_comments.lines().count(), text.lines().count());
            prop_assert_eq!(views.without_comments.len(), text.len());
            prop_assert_eq!(views.bare.len(), text.len());
        }
    }
}
