//! The folder of a run: whose it is, and files in it that are whole or not there.

use std::{collections::BTreeMap, path::Path};

use anyhow::Context;

use crate::exit::ForeignRun;

/// What says whose folder it is.
const PROVENANCE: &str = "provenance.json";

/// What a folder has that holds a run.
const CONTENT: [&str; 2] = ["config.resolved.toml", "checkpoints"];

/// What a run is made of and where it comes from. Entries named in `identity` decide whether two
/// runs are one; the others only tell.
pub struct Provenance {
    /// Free text by key.
    pub entries: BTreeMap<String, String>,
    /// Keys that a run that goes on must find unchanged.
    pub identity: &'static [&'static str],
}

impl Provenance {
    /// These entries, of which `identity` decides.
    pub fn new<const N: usize>(
        entries: [(&str, String); N],
        identity: &'static [&'static str],
    ) -> Self {
        Self { entries: entries.map(|(key, value)| (key.to_owned(), value)).into(), identity }
    }
}

/// Takes a folder for a run, and keeps there what it is and the configuration it runs under.
///
/// Nothing in the folder is touched if it holds another run. A run that goes on may log in another
/// way or be longer, so its configuration is written anew where it differs.
///
/// # Errors
///
/// If the folder holds another run or cannot be written.
pub fn claim(folder: &Path, config: &str, provenance: &Provenance) -> anyhow::Result<()> {
    let path = folder.join(PROVENANCE);
    if path.exists() {
        let text = crate::inputs::text(&path)?;
        let earlier: BTreeMap<String, String> = serde_json::from_str(&text)
            .map_err(std::io::Error::from)
            .with_context(|| format!("{}: damaged; give another --out", path.display()))?;
        for &key in provenance.identity {
            let [expected, found] = [&provenance.entries, &earlier]
                .map(|entries| entries.get(key).cloned().unwrap_or_else(|| "not known".into()));
            if expected != found {
                let folder = folder.to_owned();
                return Err(ForeignRun { folder, key, expected, found }.into());
            }
        }
    } else if CONTENT.iter().any(|name| folder.join(name).exists()) {
        let found = "not known, for it has no provenance.json".into();
        let (folder, expected) = (folder.to_owned(), provenance.entries["kind"].clone());
        return Err(ForeignRun { folder, key: "kind", expected, found }.into());
    } else {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("{}: cannot write the run's folder", folder.display()))?;
        replace(&path, serde_json::to_string_pretty(&provenance.entries)?.as_bytes())?;
    }
    let path = folder.join("config.resolved.toml");
    if std::fs::read(&path).is_ok_and(|found| found == config.as_bytes()) {
        Ok(())
    } else {
        replace(&path, config.as_bytes())
    }
}

/// What the folder of a run says of it; nothing if it says nothing.
pub fn entries(folder: &Path) -> BTreeMap<String, String> {
    let text = std::fs::read(folder.join(PROVENANCE)).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
}

/// Writes a file that appears whole or not at all.
///
/// # Errors
///
/// If it cannot be written; names the file.
pub fn replace(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    models::files::replace(path, |out| out.write_all(bytes))
        .with_context(|| format!("{}: cannot write", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn provenance(data: &str, command: &str) -> Provenance {
        let entries = [("kind", "test"), ("data", data), ("command", command)];
        Provenance::new(entries.map(|(key, text)| (key, text.to_owned())), &["data"])
    }

    #[test]
    fn a_folder_belongs_to_one_run() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("a/run");
        claim(&folder, "images = 1", &provenance("x", "first")).unwrap();
        claim(&folder, "images = 2", &provenance("x", "second")).unwrap();
        let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
        assert_eq!(read("config.resolved.toml"), "images = 2");
        assert!(read(PROVENANCE).contains("first"));
        let message = claim(&folder, "images = 3", &provenance("y", "")).unwrap_err().to_string();
        assert!(
            message.contains("`data` is x") && message.contains("this one's is y"),
            "{message}"
        );
        assert_eq!(read("config.resolved.toml"), "images = 2");
        std::fs::remove_file(folder.join(PROVENANCE)).unwrap();
        let message = claim(&folder, "images = 3", &provenance("x", "")).unwrap_err().to_string();
        assert!(message.contains("not known"), "{message}");
        assert_eq!(read("config.resolved.toml"), "images = 2");
    }
}
