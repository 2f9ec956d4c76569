//! Order of the declarations at the top of a Rust file.
//!
//! Modules come first, then `use`. After the module documentation, the list of modules is the table
//! of contents. Test modules and inline modules may appear anywhere.

use super::lexer;

/// Finds a module that is declared after a `use`.
pub fn check(path: &str, text: &str, faults: &mut Vec<String>) {
    let bare = lexer::views(text).bare;
    let (mut has_use, mut is_test) = (false, false);
    for (index, line) in bare.lines().enumerate() {
        // After `rustfmt`, only top-level items begin without indentation.
        let item = without_visibility(line);
        has_use |= item.starts_with("use ");
        let is_module = item.starts_with("mod ") && item.trim_end().ends_with(';');
        if is_module && has_use && !is_test {
            faults.push(format!(
                "{path}:{}: a module after `use`; move `{}` before it",
                index + 1,
                line.trim_end()
            ));
        }
        is_test = line.starts_with("#[cfg(test)]") || (is_test && line.starts_with("#["));
    }
}

/// Removes `pub` or `pub(...)` from the beginning of an item.
fn without_visibility(line: &str) -> &str {
    let Some(rest) = line.strip_prefix("pub") else { return line };
    let rest = match rest.strip_prefix('(').and_then(|it| it.split_once(')')) {
        Some((_, rest)) => rest,
        None => rest,
    };
    rest.strip_prefix(' ').unwrap_or(line)
}

#[cfg(test)]
mod tests {
    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        let mut faults = Vec::new();
        super::check("a.rs", text, &mut faults);
        assert_eq!(faults, expected);
    }

    #[test]
    fn rejects_modules_after_use() {
        check("mod a;\npub mod b;\n\nuse a::B;\n", &[]);
        check("use a::B;\nmod a;\n", &["a.rs:2: a module after `use`; move `mod a;` before it"]);
        check(
            "mod a;\npub(crate) use a::B;\n\npub(super) mod b;\n",
            &["a.rs:4: a module after `use`; move `pub(super) mod b;` before it"],
        );
        check(
            "use a::B;\n#[cfg(unix)]\nmod c;\n",
            &["a.rs:3: a module after `use`; move `mod c;` before it"],
        );
    }

    #[test]
    fn accepts_test_and_inline_modules_anywhere() {
        check("use a::B;\n\n#[cfg(test)]\nmod tests;\n", &[]);
        check("use a::B;\n#[cfg(test)]\n#[path = \"b.rs\"]\nmod tests;\n", &[]);
        check("use a::B;\nmod a {\n    use c::D;\n    mod e;\n}\n", &[]);
        check("// use a::B;\nconst A: &str = \"\nuse b\";\nmod a;\n", &[]);
    }
}
