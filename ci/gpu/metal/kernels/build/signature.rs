//! Kernels and their parameters in preprocessed source.

/// A kernel function.
pub struct Kernel {
    pub name: String,
    pub parameters: Vec<Parameter>,
}

/// Parameter of a kernel.
pub struct Parameter {
    /// Type as written, with its address space.
    pub ty: String,
    /// Attribute between `[[` and `]]`.
    pub attribute: String,
}

impl Parameter {
    /// Returns the index of a buffer.
    pub fn buffer(&self) -> Option<usize> {
        self.attribute.strip_prefix("buffer(")?.strip_suffix(')')?.trim().parse().ok()
    }
}

/// Replaces `[[kernel, ...]]`, the form that states the number of threads, by `kernel`.
pub fn plain(source: &str) -> String {
    let mut parts = source.split("[[kernel,");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        plain += "kernel";
        plain += part.split_once("]]").expect("an attribute ends").1;
    }
    plain
}

/// Returns all kernels of a source.
///
/// # Panics
///
/// If a parameter has no attribute, or not the address space that Metal requires.
pub fn kernels(source: &str) -> Vec<Kernel> {
    const BEGINNING: &str = "kernel void ";
    let mut kernels = Vec::new();
    let mut rest = source;
    while let Some(at) = rest.find(BEGINNING) {
        rest = &rest[at + BEGINNING.len()..];
        let open = rest.find('(').expect("a kernel has parameters");
        let end = open + closing(&rest[open..]);
        let name = rest[..open].trim().to_owned();
        let parameters: Vec<_> =
            split(&rest[open + 1..end]).iter().map(|it| parameter(&name, it)).collect();
        let buffers: Vec<_> = parameters.iter().filter_map(Parameter::buffer).collect();
        assert!(buffers.iter().copied().eq(0..buffers.len()), "{name}: buffers {buffers:?}");
        kernels.push(Kernel { name, parameters });
        rest = &rest[end..];
    }
    kernels
}

fn parameter(kernel: &str, text: &str) -> Parameter {
    let Some((declaration, attribute)) = text.split_once("[[") else {
        panic!("{kernel}: a parameter has no attribute: {text}")
    };
    let attribute = attribute.trim().trim_end_matches("]]").trim().to_owned();
    let declaration = declaration.trim();
    let is_name = |it: char| it.is_alphanumeric() || it == '_';
    let ty = declaration.trim_end_matches(is_name).trim().to_owned();
    let has_space = match attribute.split('(').next() {
        Some("buffer") => ty.starts_with("device ") || ty.starts_with("constant "),
        Some("threadgroup") => ty.starts_with("threadgroup "),
        _ => !ty.contains(['*', '&']),
    };
    assert!(has_space, "{kernel}: wrong or missing address space: {text}");
    Parameter { ty, attribute }
}

/// Returns the offset of the parenthesis that closes the one at 0.
fn closing(text: &str) -> usize {
    let mut depth = 0;
    for (at, letter) in text.char_indices() {
        match letter {
            '(' => depth += 1,
            ')' if depth == 1 => return at,
            ')' => depth -= 1,
            _ => (),
        }
    }
    panic!("a parenthesis is not closed: {}", &text[..text.len().min(80)])
}

/// Splits at the commas outside brackets.
fn split(text: &str) -> Vec<&str> {
    let (mut depth, mut start, mut parts) = (0, 0, Vec::new());
    for (at, letter) in text.char_indices() {
        match letter {
            '(' | '[' | '<' => depth += 1,
            ')' | ']' | '>' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => (),
        }
    }
    parts.push(&text[start..]);
    parts.retain(|it| !it.trim().is_empty());
    parts
}
