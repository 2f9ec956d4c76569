//! Plain values printed approximately as Python prints them.

use std::fmt;

use super::{Plain, PlainNode, PlainRef};

/// Remaining work of printing.
enum Task<'p> {
    Value(PlainRef<'p>),
    Mark(&'static str),
}

impl fmt::Display for Plain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.root().fmt(f)
    }
}

impl fmt::Display for PlainRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut tasks = vec![Task::Value(*self)];
        while let Some(task) = tasks.pop() {
            let value = match task {
                Task::Mark(mark) => {
                    f.write_str(mark)?;
                    continue;
                }
                Task::Value(value) => value,
            };
            let items = |items: &[usize], end| {
                let mut parts = Vec::new();
                for (index, &item) in items.iter().enumerate() {
                    parts.extend((index != 0).then_some(Task::Mark(", ")));
                    parts.push(Task::Value(value.at(item)));
                }
                parts.push(Task::Mark(end));
                parts
            };
            let parts = match value.node() {
                PlainNode::List(list) => {
                    f.write_str("[")?;
                    items(list, "]")
                }
                PlainNode::Tuple(tuple) => {
                    f.write_str("(")?;
                    items(tuple, if tuple.len() == 1 { ",)" } else { ")" })
                }
                PlainNode::Set(set) => {
                    f.write_str("{")?;
                    items(set, "}")
                }
                PlainNode::Dict(entries) => {
                    f.write_str("{")?;
                    let mut parts = Vec::new();
                    for (index, &(key, value_at)) in entries.iter().enumerate() {
                        parts.extend((index != 0).then_some(Task::Mark(", ")));
                        parts.push(Task::Value(value.at(key)));
                        parts.push(Task::Mark(": "));
                        parts.push(Task::Value(value.at(value_at)));
                    }
                    parts.push(Task::Mark("}"));
                    parts
                }
                leaf => {
                    print_leaf(leaf, f)?;
                    continue;
                }
            };
            tasks.extend(parts.into_iter().rev());
        }
        Ok(())
    }
}

fn print_leaf(leaf: &PlainNode, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match leaf {
        PlainNode::Bool(true) => f.write_str("True"),
        PlainNode::Bool(false) => f.write_str("False"),
        PlainNode::Int(value) => write!(f, "{value}"),
        PlainNode::Long(value) => write!(f, "{value}"),
        PlainNode::Float(value) => write!(f, "{value:?}"),
        PlainNode::Text(text) => write!(f, "{text:?}"),
        PlainNode::Bytes(bytes) => write!(f, "<{} bytes>", bytes.len()),
        PlainNode::Opaque(name) => write!(f, "<{name}>"),
        _ => f.write_str("None"),
    }
}
