//! Rules on `Cargo.toml`.
//!
//! Versions are stated once, in the workspace's table. Two members then cannot require different
//! versions, and all dependencies are in one place.

use toml::{Table, Value};

/// Keys of `[package]` that every member inherits.
const INHERITED: [&str; 4] = ["version", "edition", "rust-version", "license"];

/// Keys of `[package]` that a registry requires of a library or program.
const PUBLISHED: [&str; 5] = ["description", "readme", "keywords", "categories", "repository"];

/// Tables of dependencies, at the top level or under a target.
const TABLES: [&str; 3] = ["dependencies", "dev-dependencies", "build-dependencies"];

/// Keys that a member's dependency may have; the workspace states the source and the version.
const MEMBER_KEYS: [&str; 4] = ["workspace", "optional", "features", "default-features"];

/// Rules for a member's manifest.
pub fn check_member(path: &str, text: &str, faults: &mut Vec<String>) {
    let Some(manifest) = parse(path, text, faults) else { return };
    let package = manifest.get("package").and_then(Value::as_table);
    for key in INHERITED {
        if !package.and_then(|it| it.get(key)).is_some_and(is_inherited) {
            faults.push(format!(
                "{path}: `package.{key}` is not inherited; write `{key}.workspace = true`"
            ));
        }
    }
    if package.and_then(|it| it.get("publish")).and_then(Value::as_bool) != Some(false) {
        for key in PUBLISHED {
            if !package.is_some_and(|it| it.contains_key(key)) {
                let advice = "add it, or `publish = false` if this is a tool";
                faults.push(format!("{path}: `package.{key}` is missing: {advice}"));
            }
        }
    }
    if !manifest.get("lints").is_some_and(is_inherited) {
        faults.push(format!(
            "{path}: `lints` is not inherited; write `workspace = true` under `[lints]`"
        ));
    }
    let targets = manifest.get("target").and_then(Value::as_table).into_iter().flatten();
    let tables = targets.filter_map(|(_, target)| target.as_table());
    for table in std::iter::once(&manifest).chain(tables) {
        for (name, entry) in TABLES.iter().filter_map(|it| table.get(*it)?.as_table()).flatten() {
            check_entry(path, name, entry, faults);
        }
    }
}

fn check_entry(path: &str, name: &str, entry: &Value, faults: &mut Vec<String>) {
    if !is_inherited(entry) {
        let advice = format!("write `{name}.workspace = true`");
        faults.push(format!("{path}: `{name}` states its own version or path; {advice}"));
        return;
    }
    let keys = entry.as_table().into_iter().flatten().map(|(key, _)| key);
    for key in keys.filter(|it| !MEMBER_KEYS.contains(&it.as_str())) {
        faults.push(format!("{path}: `{name}.{key}` belongs in the workspace's manifest; move it"));
    }
}

/// Checks the workspace's manifest.
pub fn check_root(path: &str, text: &str, faults: &mut Vec<String>) {
    for (name, entry) in dependencies(path, text, faults) {
        let version = entry.as_str().or_else(|| entry.get("version").and_then(Value::as_str));
        let is_member = entry.get("path").is_some();
        match version {
            // A member without a version cannot be packaged.
            None => faults.push(format!("{path}: `{name}` has no version; add `version`")),
            // A pinned version conflicts with other users of the same crate.
            Some(version) if !is_member && version.starts_with('=') => {
                faults.push(format!("{path}: `{name}` is pinned; write `{}`", &version[1..]));
            }
            Some(_) => (),
        }
    }
}

/// Returns the names of the third-party crates in the workspace's table.
pub fn third_party(text: &str) -> Vec<String> {
    let entries = dependencies("", text, &mut Vec::new());
    let foreign = entries.into_iter().filter(|(_, entry)| entry.get("path").is_none());
    foreign.map(|(name, _)| name).collect()
}

fn dependencies(path: &str, text: &str, faults: &mut Vec<String>) -> Vec<(String, Value)> {
    let Some(manifest) = parse(path, text, faults) else { return Vec::new() };
    let workspace = manifest.get("workspace").and_then(|it| it.get("dependencies"));
    let table = workspace.and_then(Value::as_table).cloned().unwrap_or_default();
    table.into_iter().collect()
}

fn parse(path: &str, text: &str, faults: &mut Vec<String>) -> Option<Table> {
    text.parse::<Table>().map_err(|error| faults.push(format!("{path}: {error}"))).ok()
}

fn is_inherited(value: &Value) -> bool {
    value.get("workspace").and_then(Value::as_bool) == Some(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "[package]\nname = \"data\"\nversion.workspace = true\n\
        edition.workspace = true\nrust-version.workspace = true\nlicense.workspace = true\n\
        publish = false\n[lints]\nworkspace = true\n";

    #[track_caller]
    fn check(rest: &str, expected: &[&str]) {
        let mut faults = Vec::new();
        check_member("Cargo.toml", &format!("{HEAD}{rest}"), &mut faults);
        assert_eq!(faults.len(), expected.len(), "{faults:?}");
        for (fault, part) in faults.iter().zip(expected) {
            assert!(fault.contains(part), "{fault} lacks {part}");
        }
    }

    #[test]
    fn rejects_dependencies_that_are_not_inherited() {
        check("[dependencies]\npng.workspace = true", &[]);
        check("[dependencies]\npng = { workspace = true, optional = true }", &[]);
        check("[dependencies]\npng = \"0.18\"", &["`png` states its own"]);
        check("[dev-dependencies]\npng = { path = \"../png\" }", &["`png` states its own"]);
        check("[target.'cfg(unix)'.dependencies]\nlibc = \"0.2\"", &["`libc` states its own"]);
        let renamed = "[dependencies]\npng = { workspace = true, package = \"x\" }";
        check(renamed, &["`png.package` belongs"]);
    }

    #[test]
    fn rejects_package_keys_and_lints_that_are_not_inherited() {
        let mut faults = Vec::new();
        check_member("Cargo.toml", "[package]\nname = \"a\"\nversion = \"1.0.0\"", &mut faults);
        // Every inherited key but the version is missing, and the version is not inherited.
        assert_eq!(faults.len(), INHERITED.len() + PUBLISHED.len() + 1, "{faults:?}");
    }

    #[test]
    fn rejects_published_member_without_description() {
        let mut faults = Vec::new();
        let text = HEAD.replace("publish = false\n", "description = \"Images\"\n");
        check_member("Cargo.toml", &text, &mut faults);
        let missing = PUBLISHED.len() - 1;
        assert_eq!(faults.len(), missing, "{faults:?}");
        assert!(faults[0].contains("`package.readme` is missing"), "{faults:?}");
    }

    #[test]
    fn rejects_invalid_manifest() {
        let mut faults = Vec::new();
        check_member("Cargo.toml", "[package", &mut faults);
        assert_eq!(faults.len(), 1, "{faults:?}");
    }

    #[test]
    fn root_states_versions_without_pins() {
        let text = "[workspace.dependencies]\ndata = { path = \"crates/data\" }\npng = \"0.18\"\n\
            zip = { features = [] }\ncandle-core = \"0.11.1\"\ncandle-nn = \"=0.11.1\"\n";
        let mut faults = Vec::new();
        check_root("Cargo.toml", text, &mut faults);
        let expected = [
            "Cargo.toml: `candle-nn` is pinned; write `0.11.1`",
            "Cargo.toml: `data` has no version; add `version`",
            "Cargo.toml: `zip` has no version; add `version`",
        ];
        faults.sort();
        assert_eq!(faults, expected);
        let mut names = third_party(text);
        names.sort();
        assert_eq!(names, ["candle-core", "candle-nn", "png", "zip"]);
    }
}
