//! Which crate may depend on which.
//!
//! Read from `cargo metadata`, so that a renamed, optional or target-specific dependency counts
//! like any other. Dependencies of tests count too: a test that reaches up a layer makes the lower
//! crate wait for the upper one to compile, and hides that the lower one cannot be used alone.

use anyhow::Context;
use serde_json::Value;

/// The library crates and the program from the bottom up: each may depend on those before it.
const LAYERS: [&str; 9] =
    ["divergence", "kernels", "pickle", "models", "data", "metrics", "eval", "train", "cli"];

/// Libraries that stand next to each other: the first may not depend on the second.
const APART: [(&str, &str); 1] = [("train", "eval")];

/// Tools that stand on top of the libraries, and which of [`LAYERS`] they may use.
const TOOLS: [(&str, &[&str]); 3] = [
    ("benches", &["divergence", "kernels", "models", "data", "metrics", "train"]),
    ("fuzz", &["pickle", "models", "data", "metrics"]),
    ("xtask", &[]),
];

/// Third-party crates that belong to one place, for what they do is done nowhere else.
const RESERVED: [(&str, &[&str]); 6] = [
    // Errors without a type are for programs: a library's caller wants to match on them.
    ("anyhow", &["cli", "xtask"]),
    // Only the program has a command line, a terminal and signals.
    ("clap", &["cli"]),
    ("indicatif", &["cli"]),
    ("signal-hook", &["cli"]),
    // Only `data` reaches the network.
    ("ureq", &["data"]),
    // Reference layers for tests; its public modules lack right backward passes (see decisions).
    ("candle-nn", &["kernels", "models", "benches"]),
];

/// A dependency as cargo states it.
struct Edge<'a> {
    from: &'a str,
    to: &'a str,
    /// Whether `to` is a member of this workspace.
    is_member: bool,
    is_dev: bool,
}

/// Checks the output of `cargo metadata --no-deps`.
///
/// # Errors
///
/// If the JSON has not the form that cargo documents.
pub fn check(metadata: &Value, faults: &mut Vec<String>) -> anyhow::Result<()> {
    let packages = metadata["packages"].as_array().context("cargo metadata: no `packages`")?;
    for package in packages {
        let name = package["name"].as_str().context("cargo metadata: a package without a name")?;
        let from = short(name);
        if !is_known(from) {
            faults.push(format!("`{from}`: a crate without a place in the table of layers"));
        }
        let edges = package["dependencies"].as_array().into_iter().flatten();
        for edge in edges {
            let to =
                edge["name"].as_str().context("cargo metadata: a dependency without a name")?;
            let to = short(to);
            let is_member = edge["path"].is_string();
            let is_dev = edge["kind"].as_str() == Some("dev");
            faults.extend(fault(&Edge { from, to, is_member, is_dev }));
        }
    }
    Ok(())
}

/// Folder of a package of this workspace; the name itself of any other package.
fn short(package: &str) -> &str {
    match package.strip_prefix("uni-instruct") {
        Some("") => "cli",
        Some(folder) => folder.strip_prefix('-').unwrap_or(package),
        None => package,
    }
}

fn layer(name: &str) -> Option<usize> {
    LAYERS.iter().position(|&it| it == name)
}

fn is_known(name: &str) -> bool {
    layer(name).is_some() || TOOLS.iter().any(|it| it.0 == name)
}

/// What is wrong with a dependency, if anything is.
fn fault(edge: &Edge<'_>) -> Option<String> {
    let Edge { from, to, is_member, is_dev } = *edge;
    let kind = if is_dev { " (even in tests)" } else { "" };
    if !is_member {
        let (_, allowed) = RESERVED.iter().find(|it| it.0 == to)?;
        let places = allowed.join(", ");
        return (!allowed.contains(&from))
            .then(|| format!("`{from}` may not depend on `{to}`{kind}: only {places}"));
    }
    let allowed = match (layer(from), TOOLS.iter().find(|it| it.0 == from)) {
        (Some(own), _) => &LAYERS[..own],
        (None, Some((_, allowed))) => allowed,
        (None, None) => return None,
    };
    if APART.contains(&(from, to)) {
        return Some(format!("`{from}` may not depend on `{to}`{kind}: they stand apart"));
    }
    (!allowed.contains(&to)).then(|| {
        let allowed = if allowed.is_empty() { "none".to_owned() } else { allowed.join(", ") };
        format!("`{from}` may not depend on `{to}`{kind}; of this workspace: {allowed}")
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check_edge(from: &str, to: &str, is_member: bool, is_dev: bool, expected: &str) {
        let text = fault(&Edge { from, to, is_member, is_dev }).unwrap_or_default();
        assert_eq!(text.is_empty(), expected.is_empty(), "{text}");
        assert!(text.contains(expected), "{text}");
    }

    #[test]
    fn dependencies_point_down() {
        for (upper, to) in LAYERS.iter().enumerate() {
            for (lower, from) in LAYERS.iter().enumerate() {
                let apart = APART.contains(&(*from, *to));
                let expected = if upper < lower && !apart { "" } else { "may not depend on" };
                check_edge(from, to, true, false, expected);
                check_edge(from, to, true, true, expected);
            }
        }
    }

    #[test]
    fn tools_use_libraries_and_nothing_uses_tools() {
        check_edge("benches", "train", true, false, "");
        check_edge("benches", "cli", true, false, "may not");
        check_edge("xtask", "data", true, true, "of this workspace: none");
        check_edge("fuzz", "metrics", true, false, "");
        check_edge("fuzz", "train", true, false, "may not");
        check_edge("cli", "xtask", true, false, "may not");
        check_edge("train", "benches", true, true, "(even in tests)");
    }

    #[test]
    fn reserved_crates_stay_in_their_place() {
        check_edge("cli", "anyhow", false, false, "");
        check_edge("train", "anyhow", false, false, "only cli, xtask");
        check_edge("data", "ureq", false, false, "");
        check_edge("metrics", "ureq", false, true, "(even in tests)");
        check_edge("train", "serde", false, false, "");
    }

    #[test]
    fn metadata_is_read_as_cargo_writes_it() {
        let metadata = json!({ "packages": [
            { "name": "uni-instruct-models", "dependencies": [
                { "name": "uni-instruct-train", "path": "crates/train", "kind": "dev" },
                { "name": "serde", "kind": null },
            ] },
            { "name": "extra", "dependencies": [] },
        ] });
        let mut faults = Vec::new();
        check(&metadata, &mut faults).unwrap();
        assert_eq!(faults.len(), 2, "{faults:?}");
        assert!(faults[0].starts_with("`models` may not depend on `train`"), "{faults:?}");
        assert!(faults[1].starts_with("`extra`: a crate without a place"), "{faults:?}");
        assert!(check(&json!({}), &mut faults).is_err());
    }
}
