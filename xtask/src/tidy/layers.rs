//! Allowed dependencies between crates.
//!
//! The rules read `cargo metadata`, so renamed, optional and target-specific dependencies count
//! too. So do dependencies of tests: a test that uses an upper layer delays the lower crate's
//! build, and hides that the crate cannot be used alone.

use anyhow::Context;
use serde_json::Value;

/// The library crates and the program from the bottom up: each may depend on those before it.
const LAYERS: [&str; 9] =
    ["divergence", "kernels", "pickle", "models", "data", "metrics", "eval", "train", "cli"];

/// Libraries that stand next to each other: the first may not depend on the second.
const APART: [(&str, &str); 1] = [("train", "eval")];

/// Tools that stand on top of the libraries, and which of [`LAYERS`] they may use.
const TOOLS: [(&str, &[&str]); 4] = [
    ("benches", &["divergence", "kernels", "models", "data", "metrics", "train"]),
    (
        "examples",
        &["divergence", "kernels", "pickle", "models", "data", "metrics", "eval", "train"],
    ),
    ("fuzz", &["pickle", "models", "data", "metrics"]),
    ("xtask", &[]),
];

/// Third-party crates that only the listed crates may use.
const RESERVED: [(&str, &[&str]); 6] = [
    // Untyped errors are for programs. A caller of a library needs to match on its errors.
    ("anyhow", &["cli", "xtask"]),
    // Only the program has a command line, a terminal and signals.
    ("clap", &["cli"]),
    ("indicatif", &["cli"]),
    ("signal-hook", &["cli"]),
    // Only `data` uses the network.
    ("ureq", &["data"]),
    // Tests use its reference layers. Its public modules lack correct backward passes (see
    // decisions).
    ("candle-nn", &["kernels", "models", "benches"]),
];

/// A dependency in cargo's terms.
struct Edge<'a> {
    from: &'a str,
    to: &'a str,
    /// Set if `to` is a member of this workspace.
    is_member: bool,
    is_dev: bool,
}

/// Checks the output of `cargo metadata --no-deps`.
///
/// # Errors
///
/// If the JSON does not have the documented form.
pub fn check(metadata: &Value, faults: &mut Vec<String>) -> anyhow::Result<()> {
    let packages = metadata["packages"].as_array().context("cargo metadata: no `packages`")?;
    for package in packages {
        let name = package["name"].as_str().context("cargo metadata: a package without a name")?;
        let from = short(name);
        if !is_known(from) {
            faults.push(format!("`{from}`: the crate is not in the table of layers; add it to xtask/src/tidy/layers.rs"));
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

/// Returns the folder of a package of this workspace, or the name of any other package unchanged.
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

/// Returns the dependency's fault, if it has one.
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
    fn tools_use_libraries_only() {
        check_edge("benches", "train", true, false, "");
        check_edge("benches", "cli", true, false, "may not");
        check_edge("xtask", "data", true, true, "of this workspace: none");
        check_edge("examples", "train", true, false, "");
        check_edge("fuzz", "metrics", true, false, "");
        check_edge("fuzz", "train", true, false, "may not");
        check_edge("cli", "xtask", true, false, "may not");
        check_edge("train", "benches", true, true, "(even in tests)");
    }

    #[test]
    fn reserved_crates_are_rejected_elsewhere() {
        check_edge("cli", "anyhow", false, false, "");
        check_edge("train", "anyhow", false, false, "only cli, xtask");
        check_edge("data", "ureq", false, false, "");
        check_edge("metrics", "ureq", false, true, "(even in tests)");
        check_edge("train", "serde", false, false, "");
    }

    #[test]
    fn reads_cargo_metadata() {
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
        assert!(faults[1].starts_with("`extra`: the crate is not in the table"), "{faults:?}");
        assert!(check(&json!({}), &mut faults).is_err());
    }
}
