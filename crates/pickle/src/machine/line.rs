//! Values that protocol 0 writes as a line of text.

use super::super::value::Node;

/// More digits than any 128-bit integer has.
const MAX_DIGITS: usize = 40;

/// Parses an integer. `long` integers end in `L`; for others, `00` and `01` are booleans.
pub(super) fn integer<'a>(line: &[u8], long: bool) -> Option<Node<'a>> {
    match line {
        b"00" if !long => return Some(Node::Bool(false)),
        b"01" if !long => return Some(Node::Bool(true)),
        _ => (),
    }
    let digits = if long { line.strip_suffix(b"L").unwrap_or(line) } else { line };
    let digits = digits.strip_suffix(b"\r").unwrap_or(digits);
    let text = std::str::from_utf8(digits).ok().filter(|text| text.len() <= MAX_DIGITS)?;
    text.parse().ok().map(node_of)
}

/// The smallest representation of an integer.
pub(super) fn node_of<'a>(int: i128) -> Node<'a> {
    i64::try_from(int).map_or_else(|_| Node::Long(Box::new(int)), Node::Int)
}

/// Decodes a little-endian two's complement integer of at most 16 bytes.
pub(super) fn twos_complement(bytes: &[u8]) -> i128 {
    let fill = match bytes.last() {
        Some(&last) if last & 0x80 != 0 => 0xff,
        _ => 0,
    };
    let mut whole = [fill; size_of::<i128>()];
    for (to, from) in whole.iter_mut().zip(bytes) {
        *to = *from;
    }
    i128::from_le_bytes(whole)
}

/// Parses a floating-point number as Python prints it.
pub(super) fn float(line: &[u8]) -> Option<f64> {
    std::str::from_utf8(line).ok()?.trim().parse().ok()
}

/// Decodes Latin-1 text with the escapes `\uXXXX` and `\UXXXXXXXX`.
pub(super) fn unicode(line: &[u8]) -> Option<String> {
    let mut text = String::new();
    let mut rest = line;
    while let Some((&byte, after)) = rest.split_first() {
        let width = match (byte, after.first()) {
            (b'\\', Some(b'u')) => 4,
            (b'\\', Some(b'U')) => 8,
            _ => 0,
        };
        if width == 0 {
            text.push(char::from(byte));
            rest = after;
        } else {
            let (digits, after) = after[1..].split_at_checked(width)?;
            text.push(char::from_u32(hex(digits)?)?);
            rest = after;
        }
    }
    Some(text)
}

/// Decodes a quoted string as Python prints it, with its bytes as Latin-1.
pub(super) fn string(line: &[u8]) -> Option<String> {
    let line = line.trim_ascii();
    let (&quote, rest) = line.split_first()?;
    let (&last, mut rest) = rest.split_last()?;
    if quote != last || ![b'\'', b'"'].contains(&quote) {
        return None;
    }
    let mut text = String::new();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'\\' {
            text.push(char::from(byte));
            continue;
        }
        let (&escape, after) = rest.split_first()?;
        rest = after;
        text.push(match escape {
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'x' => {
                let (digits, after) = rest.split_at_checked(2)?;
                rest = after;
                char::from_u32(hex(digits)?)?
            }
            b'\\' | b'\'' | b'"' => char::from(escape),
            _ => return None,
        });
    }
    Some(text)
}

fn hex(digits: &[u8]) -> Option<u32> {
    // The parser below accepts a sign.
    if !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}
