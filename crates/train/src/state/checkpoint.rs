//! Checkpoints: a run's state as one file. A crash while writing cannot lose the previous one.
//!
//! The file is safetensors. Each trained set has its name as prefix (`generator/params/...`, with
//! Adam's moments under `first/` and `second/`), and so has each average. The metadata hold
//! configuration, counters and format version. A temporary file is written, synced and renamed.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use candle_core::Tensor;
use models::{
    params::{ParamSet, is_finite},
    tensor_file::TensorFile,
};
use serde::{Serialize, de::DeserializeOwned};

use super::{FeatureQueue, TrainedParams};
use crate::Error;

/// Value of `format` in a checkpoint's metadata. The number grows with incompatible changes.
const FORMAT: &str = "uni-instruct-checkpoint-1";
/// Number of checkpoints that a run keeps.
const KEPT: usize = 2;

/// Tensors of a state.
pub(crate) struct StateTensors<'a> {
    /// Trained sets, by name.
    pub trained: Vec<(&'static str, &'a mut TrainedParams)>,
    /// Averages.
    pub averages: Vec<Average<'a>>,
    /// A queue of features, by its name. An empty one has no tensor.
    pub queue: Option<(&'static str, &'a mut FeatureQueue)>,
}

/// A moving average of weights.
pub(crate) struct Average<'a> {
    /// Prefix of its tensors.
    pub name: &'static str,
    /// The averaged weights.
    pub params: &'a ParamSet,
    /// Trained set whose weights it starts from if a checkpoint of an earlier version lacks it.
    pub starts_from: Option<&'static str>,
}

/// A state that a checkpoint can hold.
pub(crate) trait Checkpointed {
    /// Everything besides the tensors.
    type Counters: Serialize + DeserializeOwned;

    /// The tensors of the state.
    fn tensors(&mut self) -> StateTensors<'_>;

    /// Everything besides the tensors.
    fn counters(&self) -> Self::Counters;

    /// Restores the result of [`Self::counters`].
    fn set_counters(&mut self, counters: Self::Counters);
}

/// The configuration that a checkpoint belongs to.
#[derive(Clone, Copy)]
pub(crate) struct RunIdentity<'a> {
    /// Full text of the configuration.
    pub config: &'a str,
    /// Hash of the settings that affect the run's values.
    pub fingerprint: &'a str,
    /// The same without the averages that an earlier checkpoint may lack.
    pub earlier: Option<&'a str>,
}

/// Writes the state into `folder`, under a name that sorts by progress, and removes old
/// checkpoints.
///
/// # Errors
///
/// If the folder cannot be written, or the state is not finite. Earlier checkpoints are then
/// untouched.
pub(crate) fn save(
    folder: &Path,
    identity: RunIdentity<'_>,
    images: u64,
    state: &mut impl Checkpointed,
) -> Result<PathBuf, Error> {
    fs::create_dir_all(folder).map_err(Error::io(folder, "create"))?;
    let path = folder.join(format!("{images:012}.safetensors"));
    let counters = json(&state.counters());
    let parts = state.tensors();
    let updates: BTreeMap<_, _> =
        parts.trained.iter().map(|(name, set)| (*name, set.updates)).collect();
    let metadata = [
        ("format", FORMAT.to_owned()),
        ("config", identity.config.to_owned()),
        ("fingerprint", identity.fingerprint.to_owned()),
        ("counters", counters),
        ("updates", json(&updates)),
    ];
    let metadata = metadata.map(|(key, text)| (key.to_owned(), text)).into();
    let tensors = tensors(&parts)?;
    for (name, tensor) in &tensors {
        // A state that cannot be read back must not displace one that can.
        if !is_finite(tensor)? {
            return Err(Error::NonFiniteState { tensor: name.clone() });
        }
    }
    TensorFile { tensors, metadata }.save(&path)?;
    let paths = list(folder)?;
    for old in &paths[..paths.len().saturating_sub(KEPT)] {
        fs::remove_file(old).map_err(Error::io(old, "remove"))?;
    }
    Ok(path)
}

/// The newest checkpoint in `folder`, if there is one.
///
/// # Errors
///
/// If the folder exists and cannot be read.
pub fn latest(folder: &Path) -> Result<Option<PathBuf>, Error> {
    Ok(if folder.is_dir() { list(folder)?.pop() } else { None })
}

/// Reads a checkpoint into a state of the same configuration. After an error the state may be
/// partly overwritten; the file never is.
///
/// # Errors
///
/// If the file is damaged, not a checkpoint, or was written under another configuration.
pub(crate) fn load(
    path: &Path,
    identity: RunIdentity<'_>,
    state: &mut impl Checkpointed,
) -> Result<(), Error> {
    let TensorFile { mut tensors, metadata } = TensorFile::load(path)?;
    let fault = |reason: String| Error::Checkpoint { path: path.into(), reason };
    let entry = |key: &str| {
        metadata.get(key).ok_or_else(|| {
            fault(format!("its metadata has no `{key}`; restore or delete the file"))
        })
    };
    let format = entry("format")?;
    if format != FORMAT {
        return Err(fault(format!(
            "its format is `{format}`, expected `{FORMAT}`; resume with the version that wrote it"
        )));
    }
    let (expected, found) = (identity.fingerprint.to_owned(), entry("fingerprint")?.clone());
    let is_earlier = identity.earlier == Some(found.as_str());
    if expected != found && !is_earlier {
        return Err(Error::ForeignCheckpoint { path: path.into(), expected, found });
    }
    let counters = parse(entry("counters")?).map_err(fault)?;
    let updates: BTreeMap<String, u64> = parse(entry("updates")?).map_err(fault)?;

    let parts = state.tensors();
    let mut weights = BTreeMap::new();
    for (name, set) in parts.trained {
        restore(name, set, &mut tensors).map_err(fault)?;
        set.updates =
            *updates.get(name).ok_or_else(|| fault(format!("it does not count `{name}`")))?;
        weights.insert(name, set.params.tensors());
    }
    for Average { name, params, starts_from } in parts.averages {
        if let Some(start) = starts_from.and_then(|name| weights.get(name)).filter(|_| is_earlier) {
            params.set_from(start).map_err(|err| fault(format!("under `{name}/`: {err}")))?;
        } else {
            set_from(params, &mut tensors, &format!("{name}/")).map_err(fault)?;
        }
    }
    if let Some((name, queue)) = parts.queue {
        let rows = tensors.remove(name);
        if rows.as_ref().is_some_and(|rows| !is_finite(rows).unwrap_or(false)) {
            return Err(fault(format!("its tensor `{name}` holds a NaN or an infinity")));
        }
        let set = queue.set(rows.as_ref());
        set.map_err(|err| fault(format!("its tensor `{name}`: {err}")))?;
    }
    if let Some(name) = tensors.keys().next() {
        return Err(fault(format!("its tensor `{name}` belongs to no part of this run")));
    }
    state.set_counters(counters);
    Ok(())
}

fn restore(
    name: &str,
    set: &TrainedParams,
    tensors: &mut BTreeMap<String, Tensor>,
) -> Result<(), String> {
    set_from(&set.params, tensors, &format!("{name}/params/"))?;
    for (part, moments) in [("first", &set.first), ("second", &set.second)] {
        let prefix = format!("{name}/{part}/");
        let found = take(tensors, &prefix);
        if let Some(key) = found.keys().find(|key| !moments.contains_key(*key)) {
            return Err(format!("its tensor `{prefix}{key}` belongs to no part of this run"));
        }
        for (key, moment) in moments {
            let tensor =
                found.get(key).ok_or_else(|| format!("its tensor `{prefix}{key}` is missing"))?;
            if !is_finite(tensor).map_err(|err| err.to_string())? {
                return Err(format!("its tensor `{prefix}{key}` holds a NaN or an infinity"));
            }
            let set = || {
                let tensor = tensor.to_device(moment.device())?.to_dtype(moment.dtype())?;
                moment.set(&tensor)
            };
            set().map_err(|err| format!("its tensor `{prefix}{key}`: {err}"))?;
        }
    }
    Ok(())
}

fn set_from(
    params: &ParamSet,
    tensors: &mut BTreeMap<String, Tensor>,
    prefix: &str,
) -> Result<(), String> {
    let inside = take(tensors, prefix);
    params.set_from(&inside).map_err(|err| format!("under `{prefix}`: {err}"))
}

/// Removes and returns the tensors under a prefix, with the prefix stripped.
fn take(tensors: &mut BTreeMap<String, Tensor>, prefix: &str) -> BTreeMap<String, Tensor> {
    let inside: Vec<String> =
        tensors.keys().filter(|name| name.starts_with(prefix)).cloned().collect();
    let strip = |name: String| {
        let tensor = tensors.remove(&name)?;
        Some((name[prefix.len()..].to_owned(), tensor))
    };
    inside.into_iter().filter_map(strip).collect()
}

fn tensors(parts: &StateTensors<'_>) -> Result<BTreeMap<String, Tensor>, Error> {
    let mut tensors = BTreeMap::new();
    for (set_name, set) in &parts.trained {
        for (name, tensor) in set.params.tensors() {
            tensors.insert(format!("{set_name}/params/{name}"), tensor);
        }
        for (part, moments) in [("first", &set.first), ("second", &set.second)] {
            for (name, moment) in moments {
                tensors.insert(format!("{set_name}/{part}/{name}"), moment.as_detached_tensor());
            }
        }
    }
    for average in &parts.averages {
        for (name, tensor) in average.params.tensors() {
            tensors.insert(format!("{}/{name}", average.name), tensor);
        }
    }
    if let Some((name, queue)) = &parts.queue
        && let Some(rows) = queue.tensor()?
    {
        tensors.insert((*name).to_owned(), rows);
    }
    Ok(tensors)
}

fn list(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let entries = fs::read_dir(folder).map_err(Error::io(folder, "read"))?;
    let mut paths: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.file_name().and_then(|name| name.to_str()).is_some_and(is_ours))
        .collect();
    paths.sort();
    Ok(paths)
}

/// Tests for the name of a checkpoint; other files in the folder are left alone.
fn is_ours(name: &str) -> bool {
    let digits = name.strip_suffix(".safetensors").unwrap_or_default();
    digits.len() == 12 && digits.bytes().all(|it| it.is_ascii_digit())
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("counters are plain data")
}

fn parse<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_str(text).map_err(|err| format!("its metadata cannot be read: {err}"))
}
