//! Folder of a run: the identity of the run, and files that are complete or absent.

use std::{collections::BTreeMap, path::Path};

use anyhow::Context;

use crate::exit::ForeignRun;

/// File that identifies the run.
const PROVENANCE: &str = "provenance.json";

/// Content of every folder that holds a run.
const CONTENT: [&str; 2] = ["config.resolved.toml", "checkpoints"];

/// Origin of a run. Two runs are the same if their entries named in `identity` are equal; the other
/// entries inform.
pub struct RunProvenance {
    /// Free text by key.
    pub entries: BTreeMap<String, String>,
    /// Keys that a resumed run must find unchanged.
    pub identity: &'static [&'static str],
}

impl RunProvenance {
    /// These entries, with the keys that identify the run.
    pub fn new<'a>(
        entries: impl IntoIterator<Item = (&'a str, String)>,
        identity: &'static [&'static str],
    ) -> Self {
        let entries = entries.into_iter().map(|(key, value)| (key.to_owned(), value));
        Self { entries: entries.collect(), identity }
    }
}

/// Prepares the folder of a run: writes its provenance and its configuration.
///
/// Leaves a folder that holds another run unchanged. A resumed run may be longer or log at other times,
/// so a different configuration replaces the one in the folder.
///
/// # Errors
///
/// If the folder holds another run or cannot be written.
pub fn claim(folder: &Path, config: &str, provenance: &RunProvenance) -> anyhow::Result<()> {
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
        let found = "not known, because the folder has no provenance.json".into();
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

/// Provenance in a run's folder; empty without the file.
pub fn entries(folder: &Path) -> BTreeMap<String, String> {
    let text = std::fs::read(folder.join(PROVENANCE)).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
}

/// Writes a file that is complete or absent, also after a crash.
///
/// # Errors
///
/// Naming the file, if it cannot be written.
pub fn replace(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    models::files::replace(path, |out| out.write_all(bytes))
        .with_context(|| format!("{}: cannot write", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn provenance(data: &str, command: &str) -> RunProvenance {
        let entries = [("kind", "test"), ("data", data), ("command", command)];
        RunProvenance::new(entries.map(|(key, text)| (key, text.to_owned())), &["data"])
    }

    #[test]
    fn rejects_folder_of_another_run() {
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
