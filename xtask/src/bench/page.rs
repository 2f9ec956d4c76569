//! Generated parts of a page, each between two comments.

use anyhow::{Context, ensure};

/// Generated part of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Times compared with PyTorch.
    Times,
    /// Errors of the kernels.
    Accuracy,
}

impl Part {
    /// Returns the lines that begin and end the part.
    fn marks(self) -> [String; 2] {
        let command = match self {
            Self::Times => "cargo xtask bench",
            Self::Accuracy => "cargo xtask bench --accuracy",
        };
        ["begin", "end"].map(|it| format!("<!-- {command}: {it} -->"))
    }
}

/// Replaces the text of a generated part.
///
/// # Errors
///
/// If the page does not contain exactly one such part.
pub fn with_part(page: &str, part: Part, text: &str) -> anyhow::Result<String> {
    let [begin, end] = part.marks();
    let (before, rest) =
        page.split_once(&begin).with_context(|| format!("the line `{begin}` is missing"))?;
    let (_, after) =
        rest.split_once(&end).with_context(|| format!("the line `{end}` is missing"))?;
    ensure!(!after.contains(&begin) && !after.contains(&end), "more than one part `{begin}`");
    Ok(format!("{before}{begin}\n\n{}\n\n{end}{after}", text.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_only_text_between_markers() {
        let part = |part: Part, text: &str| {
            let [begin, end] = part.marks();
            format!("{begin}\n\n{text}\n\n{end}")
        };
        let page = |times, errors| {
            let [times, errors] = [part(Part::Times, times), part(Part::Accuracy, errors)];
            format!("above\n\n{times}\n\nbetween\n\n{errors}\n\nbelow\n")
        };
        let new = with_part(&page("old", "errors"), Part::Times, "new\n").unwrap();
        assert_eq!(new, page("new", "errors"));
        assert_eq!(with_part(&new, Part::Times, "new").unwrap(), new);
        assert_eq!(with_part(&new, Part::Accuracy, "none").unwrap(), page("new", "none"));
    }

    #[test]
    fn rejects_page_without_markers() {
        for part in [Part::Times, Part::Accuracy] {
            let [begin, end] = part.marks();
            for page in
                ["text".to_owned(), format!("{end}\n{begin}"), format!("{begin}{end}{begin}{end}")]
            {
                with_part(&page, part, "new").unwrap_err();
            }
        }
    }
}
