//! Translation of Metal's language into C++.

/// Use of the translated source.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// Compiled for the CPU, which has one address space.
    Cpu,
    /// Checked by clang, which distinguishes address spaces as Metal does.
    AddressSpaces,
}

/// Removes attributes, and removes or translates keywords that C++ does not have.
///
/// # Panics
///
/// If the source computes in double precision, which Metal does not support.
pub fn rewrite(source: &str, target: Target) -> String {
    let mut output = String::new();
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let taken = if rest.starts_with("[[") {
            rest.find("]]").expect("an attribute ends") + 2
        } else if first == '#' {
            // The preprocessor leaves line numbers.
            let end = rest.find('\n').unwrap_or(rest.len());
            output += &rest[..end];
            end
        } else if first.is_ascii_alphabetic() || first == '_' {
            let end = rest.find(|it: char| !is_word(it)).unwrap_or(rest.len());
            output += &word(&rest[..end], target);
            end
        } else if first.is_ascii_digit() {
            let end = number(rest);
            output += &rest[..end];
            end
        } else {
            output.push(first);
            first.len_utf8()
        };
        rest = &rest[taken..];
    }
    output
}

fn is_word(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '_'
}

fn word(word: &str, target: Target) -> String {
    let (cpu, spaces) = match word {
        "double" => panic!("Metal has no double"),
        "kernel" => ("static", "static"),
        "device" => ("", "__attribute__((address_space(1)))"),
        "constant" => ("const", "__attribute__((address_space(2))) const"),
        "threadgroup" => ("", "__attribute__((address_space(3)))"),
        "thread" => ("", ""),
        other => (other, other),
    };
    if target == Target::Cpu { cpu } else { spaces }.to_owned()
}

/// Returns the length of the number at the beginning.
fn number(text: &str) -> usize {
    let mut end = 0;
    for letter in text.chars() {
        let is_sign = matches!(letter, '+' | '-') && text[..end].ends_with(['e', 'E']);
        let is_hex = text.starts_with("0x") || text.starts_with("0X");
        if !(is_word(letter) || letter == '.' || is_sign && !is_hex) {
            break;
        }
        end += letter.len_utf8();
    }
    let literal = &text[..end];
    let is_float =
        literal.contains('.') || literal.contains(['e', 'E']) && !literal.starts_with("0x");
    assert!(!is_float || literal.ends_with(['f', 'h']), "Metal has no double: {literal}");
    end
}
