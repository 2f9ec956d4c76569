//! Conversion of a pickle's values to plain ones. A value that is not plain keeps only the name of
//! its class.

use super::error::{PickleError, Result};
use super::globals;
use super::plain::{Plain, PlainNode};
use super::value::{Id, Node};
use super::walk::Walk;

/// Steps charged for a node, in addition to its text or bytes.
const NODE_BYTES: usize = size_of::<PlainNode>();

/// A step of the conversion.
enum Task {
    /// Convert a value at this depth.
    Enter(Id, usize),
    /// Make a container of the last values.
    Leave(Kind, usize),
}

#[derive(Clone, Copy)]
enum Kind {
    List,
    Tuple,
    Set,
    Dict,
}

/// Converts a value to a plain one.
///
/// # Errors
///
/// If the value contains itself, is nested too deeply, is too large, or has an invalid NumPy
/// number.
pub(super) fn to_plain(walk: &Walk<'_>, id: Id) -> Result<Plain> {
    let mut nodes = Vec::new();
    let mut made = Vec::new();
    let mut tasks = vec![Task::Enter(id, 0)];
    while let Some(task) = tasks.pop() {
        match task {
            Task::Leave(kind, count) => {
                let parts: Vec<usize> = made.split_off(made.len() - count);
                nodes.push(match kind {
                    Kind::List => PlainNode::List(parts),
                    Kind::Tuple => PlainNode::Tuple(parts),
                    Kind::Set => PlainNode::Set(parts),
                    Kind::Dict => {
                        let pairs = parts.as_chunks().0;
                        PlainNode::Dict(pairs.iter().map(|&[key, value]| (key, value)).collect())
                    }
                });
                made.push(nodes.len() - 1);
            }
            Task::Enter(id, depth) => {
                if walk.limits.depth < depth {
                    let limit = walk.limits.depth as u64;
                    return Err(walk.over(id, "levels of nesting (or a cycle)", limit));
                }
                let (kind, parts) = match container(walk, id) {
                    Some(container) => container,
                    None => {
                        nodes.push(leaf(walk, id)?);
                        made.push(nodes.len() - 1);
                        continue;
                    }
                };
                walk.spend(id, parts.len() * size_of::<Id>() + NODE_BYTES)?;
                tasks.push(Task::Leave(kind, parts.len()));
                tasks.extend(parts.into_iter().rev().map(|part| Task::Enter(part, depth + 1)));
            }
        }
    }
    Ok(Plain::from_nodes(nodes))
}

/// The parts of a container: items, or alternating keys and values.
fn container(walk: &Walk<'_>, id: Id) -> Option<(Kind, Vec<Id>)> {
    if let Some(entries) = walk.entries(id) {
        return Some((Kind::Dict, entries.iter().flat_map(|&(key, value)| [key, value]).collect()));
    }
    if let Some(set) = old_set(walk, id) {
        return Some((Kind::Set, set.to_vec()));
    }
    match walk.node(id) {
        Node::List(items) => Some((Kind::List, items.clone())),
        Node::Set(items) => Some((Kind::Set, items.clone())),
        _ => Some((Kind::Tuple, walk.sequence(id)?.to_vec())),
    }
}

/// The items of a set in protocols below 4, which call the class with a list.
fn old_set<'w>(walk: &Walk<'w>, id: Id) -> Option<&'w [Id]> {
    let (module, name) = walk.class(id)?;
    if !globals::is_builtin(module) || !["set", "frozenset"].contains(&name) {
        return None;
    }
    match walk.args_of(id, module, name)? {
        [] => Some(&[]),
        &[items] => walk.sequence(items),
        _ => None,
    }
}

fn leaf(walk: &Walk<'_>, id: Id) -> Result<PlainNode> {
    let copied = match walk.node(id) {
        Node::Text(text) => text.len(),
        Node::Bytes(span) => span.len(),
        _ => 0,
    };
    walk.spend(id, copied + NODE_BYTES)?;
    Ok(match walk.node(id) {
        Node::None => PlainNode::None,
        Node::Bool(value) => PlainNode::Bool(*value),
        Node::Int(value) => PlainNode::Int(*value),
        Node::Long(value) => PlainNode::Long(**value),
        Node::Float(value) => PlainNode::Float(*value),
        Node::Text(text) => PlainNode::Text(text.clone().into_owned()),
        Node::Bytes(span) => PlainNode::Bytes(walk.bytes[span.clone()].to_vec()),
        Node::Object(_) => match (scalar(walk, id)?, encoded(walk, id)?) {
            (Some(number), _) => number,
            (None, Some(bytes)) => PlainNode::Bytes(bytes),
            (None, None) => opaque(walk, id)?,
        },
        _ => opaque(walk, id)?,
    })
}

fn opaque(walk: &Walk<'_>, id: Id) -> Result<PlainNode> {
    let name = match walk.global(id).or_else(|| walk.class(id)) {
        Some((module, name)) => {
            walk.spend(id, module.len() + name.len())?;
            format!("{module}.{name}")
        }
        None => walk.describe(id),
    };
    Ok(PlainNode::Opaque(name))
}

/// Decodes bytes in protocols below 3, which are a call that encodes Latin-1 text.
pub(super) fn encoded(walk: &Walk<'_>, id: Id) -> Result<Option<Vec<u8>>> {
    let text = walk.args_of(id, "_codecs", "encode").and_then(|args| walk.text(*args.first()?));
    let Some(text) = text else { return Ok(None) };
    walk.spend(id, text.len())?;
    Ok(text.chars().map(|it| u8::try_from(it).ok()).collect())
}

/// Reads a number of NumPy: `scalar(dtype, bytes)`.
fn scalar(walk: &Walk<'_>, id: Id) -> Result<Option<PlainNode>> {
    let args = ["numpy.core.multiarray", "numpy._core.multiarray"];
    let args = args.into_iter().find_map(|module| walk.args_of(id, module, "scalar"));
    let Some(&[dtype, bytes]) = args else { return Ok(None) };
    let broken = || walk.malformed(id, "an invalid NumPy number");
    let kind = walk.args_of(dtype, "numpy", "dtype").and_then(|args| args.first().copied());
    let kind = kind.and_then(|kind| walk.text(kind)).ok_or_else(broken)?;
    // The second item of the state is the byte order.
    let state = walk.object(dtype).and_then(|object| object.state);
    let order = state.and_then(|state| walk.sequence(state)).and_then(|state| state.get(1));
    if order.and_then(|&order| walk.text(order)) == Some(">") {
        return Err(PickleError::BigEndian { file: walk.file.to_owned(), at: walk.at(id) });
    }
    let decoded = encoded(walk, bytes)?;
    let bytes = match (walk.node(bytes), &decoded) {
        (Node::Bytes(span), _) => &walk.bytes[span.clone()],
        (_, Some(bytes)) => bytes,
        _ => return Err(broken()),
    };
    number(kind, bytes).map(Some).ok_or_else(broken)
}

/// Decodes a little-endian number, given NumPy's short name of its type.
fn number(kind: &str, bytes: &[u8]) -> Option<PlainNode> {
    Some(match kind {
        "f8" => PlainNode::Float(f64::from_le_bytes(bytes.try_into().ok()?)),
        "f4" => PlainNode::Float(f32::from_le_bytes(bytes.try_into().ok()?).into()),
        "f2" => PlainNode::Float(half::f16::from_le_bytes(bytes.try_into().ok()?).into()),
        "i8" => PlainNode::Int(i64::from_le_bytes(bytes.try_into().ok()?)),
        "i4" => PlainNode::Int(i32::from_le_bytes(bytes.try_into().ok()?).into()),
        "u1" => PlainNode::Int(u8::from_le_bytes(bytes.try_into().ok()?).into()),
        "b1" => PlainNode::Bool(bytes != [0]),
        _ => return None,
    })
}
