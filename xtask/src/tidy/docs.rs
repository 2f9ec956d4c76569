//! Rules on the pages: each is in the table of contents, and each link has a target.

use std::collections::BTreeSet;

use super::manifest;
use super::tree::{File, Tree};

/// Table of contents of the book.
const SUMMARY: &str = "docs/SUMMARY.md";

/// Page with a reason for each third-party crate.
const DEPENDENCIES: &str = "docs/decisions/0007-dependencies.md";

/// Checks the rules that involve several files.
pub fn check(tree: &Tree, faults: &mut Vec<String>) {
    let files = &tree.files;
    let Some(summary) = find(files, SUMMARY) else {
        faults.push(format!("{SUMMARY}: missing"));
        return;
    };
    let listed: BTreeSet<String> =
        links(summary).into_iter().map(|it| resolve(SUMMARY, it.target)).collect();
    for file in files.iter().filter(|it| it.path.ends_with(".md")) {
        let is_page = file.path.starts_with("docs/") && file.path != SUMMARY;
        if is_page && !listed.contains(&file.path) {
            faults.push(format!("{}: not listed in {SUMMARY}; add it there", file.path));
        }
        for link in links(&file.text).iter().filter(|it| is_local(it.target)) {
            check_link(tree, file, link, faults);
        }
    }
    check_dependencies(files, faults);
}

/// Rejects a link to a missing file, or to a heading that the page does not have.
fn check_link(tree: &Tree, file: &File, link: &Link<'_>, faults: &mut Vec<String>) {
    let (target, anchor) = link.target.split_once('#').unwrap_or((link.target, ""));
    let path = if target.is_empty() { file.path.clone() } else { resolve(&file.path, target) };
    let place = format!("{}:{}", file.path, link.line);
    if !tree.paths.contains(&path) {
        faults.push(format!("{place}: no such file: {path}"));
    } else if let Some(text) = find(&tree.files, &path)
        && !anchor.is_empty()
        && path.ends_with(".md")
        && !headings(text).contains(anchor)
    {
        faults.push(format!("{place}: no heading `#{anchor}` in {path}"));
    }
}

/// Rejects a third-party crate without a reason.
fn check_dependencies(files: &[File], faults: &mut Vec<String>) {
    let page = find(files, DEPENDENCIES).unwrap_or_default();
    let root = find(files, "Cargo.toml").unwrap_or_default();
    for name in manifest::third_party(root) {
        if !page.contains(&format!("`{name}`")) {
            faults.push(format!("{DEPENDENCIES}: no reason for `{name}`; add a row"));
        }
    }
}

fn find<'a>(files: &'a [File], path: &str) -> Option<&'a str> {
    files.iter().find(|it| it.path == path).map(|it| it.text.as_str())
}

fn is_local(target: &str) -> bool {
    !target.contains("://") && !target.starts_with("mailto:")
}

struct Link<'a> {
    target: &'a str,
    line: usize,
}

/// Returns the targets of a page's links and pictures outside code.
fn links(text: &str) -> Vec<Link<'_>> {
    let mut found = Vec::new();
    for (line, content) in prose(text) {
        // Text and code spans alternate.
        for part in content.split('`').step_by(2) {
            for (at, _) in part.match_indices("](") {
                let rest = &part[at + 2..];
                if let Some(end) = rest.find(')') {
                    found.push(Link { target: &rest[..end], line });
                }
            }
        }
        // The split above cuts a link whose text is code.
        for (at, _) in content.match_indices("`](") {
            let rest = &content[at + 3..];
            if let Some(end) = rest.find(')')
                && !found.iter().any(|it| it.line == line && it.target == &rest[..end])
            {
                found.push(Link { target: &rest[..end], line });
            }
        }
    }
    found
}

/// Returns a page's lines outside its code blocks, numbered from 1.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut in_code = false;
    text.lines().enumerate().filter_map(move |(index, line)| {
        let fence = line.trim_start().starts_with("```");
        in_code ^= fence;
        (!fence && !in_code).then_some((index + 1, line))
    })
}

/// Returns the anchors of a page's headings in the form that mdBook and code hosts use.
fn headings(text: &str) -> BTreeSet<String> {
    let titles = prose(text).filter_map(|(_, line)| {
        let title = line.trim_start_matches('#');
        (title.len() < line.len()).then(|| title.trim())
    });
    titles.map(anchor).collect()
}

fn anchor(title: &str) -> String {
    let kept = title.to_lowercase();
    let kept = kept.chars().filter(|it| it.is_alphanumeric() || " -_".contains(*it));
    kept.map(|it| if it == ' ' { '-' } else { it }).collect()
}

/// Resolves `target` relative to the folder of `page`; the result is relative to the root.
fn resolve(page: &str, target: &str) -> String {
    let mut parts: Vec<&str> = page.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => (),
            ".." => drop(parts.pop()),
            name => parts.push(name),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_pages(pages: &[(&str, &str)], expected: &[&str]) {
        let file = |&(path, text): &(&str, &str)| File { path: path.into(), text: text.into() };
        let files: Vec<File> = pages.iter().map(file).collect();
        let data = ["docs", "docs/p.png", "LICENSE-MIT"].map(str::to_owned);
        let paths = files.iter().map(|it| it.path.clone()).chain(data).collect();
        let mut faults = Vec::new();
        check(&Tree { files, paths }, &mut faults);
        assert_eq!(faults, expected);
    }

    #[test]
    fn rejects_page_missing_in_table_of_contents() {
        let summary = "- [A](a.md)\n";
        check_pages(&[("docs/SUMMARY.md", summary), ("docs/a.md", "# A\n")], &[]);
        check_pages(
            &[("docs/SUMMARY.md", summary), ("docs/a.md", ""), ("docs/b.md", "")],
            &["docs/b.md: not listed in docs/SUMMARY.md; add it there"],
        );
        check_pages(&[("docs/a.md", "")], &["docs/SUMMARY.md: missing"]);
    }

    #[test]
    fn rejects_broken_links() {
        let readme = "[a](docs/a.md#b--c) [d](docs) ![p](docs/p.png) [l](LICENSE-MIT)\n\
            [w](https://example.org/none.md) `[x](none.md)`\n```\n[y](none.md)\n```\n";
        let pages = |text| {
            [("README.md", text), ("docs/SUMMARY.md", "[A](a.md)"), ("docs/a.md", "## B & `c`\n")]
        };
        check_pages(&pages(readme), &[]);
        check_pages(&pages("\n[a](none.md)"), &["README.md:2: no such file: none.md"]);
        check_pages(&pages("![a](q.png)"), &["README.md:1: no such file: q.png"]);
        check_pages(&pages("[`a`](none.md)"), &["README.md:1: no such file: none.md"]);
        check_pages(&pages("[a](docs/a.md#x)"), &["README.md:1: no heading `#x` in docs/a.md"]);
        check_pages(&pages("[a](#x)"), &["README.md:1: no heading `#x` in README.md"]);
    }

    #[test]
    fn rejects_dependency_without_reason() {
        let manifest = "[workspace.dependencies]\npng = \"1\"\nzip = \"1\"\n";
        let pages = [
            ("Cargo.toml", manifest),
            ("docs/SUMMARY.md", "[D](decisions/0007-dependencies.md)"),
            (DEPENDENCIES, "| `png` | pictures |\n"),
        ];
        check_pages(
            &pages,
            &["docs/decisions/0007-dependencies.md: no reason for `zip`; add a row"],
        );
    }

    #[test]
    fn resolves_paths_from_the_page() {
        assert_eq!(resolve("docs/decisions/a.md", "../b.md"), "docs/b.md");
        assert_eq!(resolve("README.md", "./docs/a.md"), "docs/a.md");
    }
}
