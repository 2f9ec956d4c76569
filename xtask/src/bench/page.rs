//! The generated part of a page, between two comments.

use anyhow::{Context, ensure};

/// Begins the part.
const BEGIN: &str = "<!-- cargo xtask bench: begin -->";
/// Ends it.
const END: &str = "<!-- cargo xtask bench: end -->";

/// The page with another generated part.
///
/// # Errors
///
/// If the page has not exactly one part.
pub fn with_part(page: &str, part: &str) -> anyhow::Result<String> {
    let (before, rest) = page.split_once(BEGIN).with_context(|| format!("no line `{BEGIN}`"))?;
    let (_, after) = rest.split_once(END).with_context(|| format!("no line `{END}`"))?;
    ensure!(!after.contains(BEGIN) && !after.contains(END), "two generated parts");
    Ok(format!("{before}{BEGIN}\n\n{}\n\n{END}{after}", part.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_the_marks_changes() {
        let page = format!("above\n\n{BEGIN}\nold\n{END}\n\nbelow\n");
        let new = with_part(&page, "new\n").unwrap();
        assert_eq!(new, format!("above\n\n{BEGIN}\n\nnew\n\n{END}\n\nbelow\n"));
        assert_eq!(with_part(&new, "new").unwrap(), new);
    }

    #[test]
    fn a_page_without_marks_is_refused() {
        for page in
            ["text".to_owned(), format!("{END}\n{BEGIN}"), format!("{BEGIN}{END}{BEGIN}{END}")]
        {
            with_part(&page, "new").unwrap_err();
        }
    }
}
