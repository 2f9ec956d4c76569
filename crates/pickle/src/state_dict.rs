//! State dicts: tensors by name, in the outermost dictionary of a file or in nested ones.

use std::collections::{HashSet, VecDeque};

use super::error::{Result, content, quote};
use super::network::{Instance, twice};
use super::tensor::StoredTensor;
use super::tensors::Tensors;
use super::walk::Walk;

/// Depth to which nested dictionaries are searched.
const MAX_LEVELS: usize = 3;

/// Usual names of weights in files, the preferred ones first. The empty name is the outermost
/// dictionary.
const PREFERRED: [&str; 18] = [
    "ema",
    "model_ema",
    "ema_model",
    "ema_state_dict",
    "state_dict_ema",
    "params_ema",
    "G_ema",
    "g_ema",
    "generator",
    "G",
    "",
    "state_dict",
    "model_state_dict",
    "model",
    "network",
    "net",
    "module",
    "params",
];

/// Tensors by name.
#[derive(Clone, Debug)]
pub struct StateDict {
    /// Path in the file, such as `checkpoint.model`; empty for the outermost dictionary.
    pub path: String,
    /// The tensors, in the order of the file.
    pub tensors: Vec<StoredTensor>,
    /// Keys of the same dictionary whose values are not tensors.
    pub skipped: Vec<String>,
}

/// Reason for the choice of one of several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// The caller named it.
    Named,
    /// It is the only one.
    Only,
    /// Its name comes first in the list of usual names.
    Preferred,
}

/// The state dicts of a pickle, and the keys of the outermost dictionary that lead to one.
pub(super) fn find<'w>(
    walk: &Walk<'w>,
    tensors: &mut Tensors<'w>,
) -> Result<(Vec<StateDict>, HashSet<&'w str>)> {
    let root = walk.document.root;
    let mut found = Vec::new();
    let mut leading = HashSet::new();
    let mut queue = VecDeque::from([(root, String::new(), None, 0)]);
    while let Some((id, path, top, level)) = queue.pop_front() {
        let Some(entries) = walk.entries(id) else { continue };
        walk.spend(id, size_of_val(entries))?;
        let is_any = entries.iter().any(|&(_, value)| tensors.is_tensor(value));
        let mut dict = StateDict { path: path.clone(), tensors: Vec::new(), skipped: Vec::new() };
        let mut names = HashSet::new();
        for &(key, value) in entries {
            // Optimizers number their entries; weights have names.
            let Some(name) = walk.text(key) else { continue };
            if tensors.is_tensor(value) {
                walk.spend(key, name.len())?;
                if !names.insert(name) {
                    return Err(twice(walk, key, name));
                }
                dict.tensors.push(tensors.tensor(value, name.to_owned())?);
                continue;
            }
            if is_any {
                walk.spend(key, name.len() + size_of::<String>())?;
                dict.skipped.push(name.to_owned());
            }
            let is_inner = walk.entries(value).is_some() && Instance::of(walk, value)?.is_none();
            if is_inner && level < MAX_LEVELS {
                let path = walk.join(key, &path, name)?;
                queue.push_back((value, path, top.or(Some(name)), level + 1));
            }
        }
        if !dict.tensors.is_empty() {
            leading.extend(top);
            found.push(dict);
        }
    }
    Ok((found, leading))
}

/// Chooses one of several by name: the requested one, the only one, or the one with the first usual
/// name.
pub(super) fn choose(
    file: &str,
    what: &str,
    names: &[&str],
    wanted: Option<&str>,
) -> Result<(usize, Choice)> {
    let position = |name: &str| names.iter().position(|&it| it == name);
    let last_part = |name: &str| names.iter().position(|it| it.rsplit('.').next() == Some(name));
    let list = || names.iter().map(|it| format!("`{}`", quote(it))).collect::<Vec<_>>().join(", ");
    if let Some(wanted) = wanted {
        let found = position(wanted).map(|index| (index, Choice::Named));
        let missing = || content(file, format!("no {what} `{wanted}`; name one of: {}", list()));
        return found.ok_or_else(missing);
    }
    match names {
        [] => Err(content(file, format!("no {what} in this file"))),
        [_] => Ok((0, Choice::Only)),
        _ => {
            let usual =
                PREFERRED.iter().find_map(|name| position(name).or_else(|| last_part(name)));
            let open = || content(file, format!("more than one {what}; name one of: {}", list()));
            usual.map(|index| (index, Choice::Preferred)).ok_or_else(open)
        }
    }
}
