//! Plain values, such as configurations consist of.
//!
//! A value is a list of nodes in which containers refer to earlier nodes. Dropping, comparing and
//! printing are therefore not recursive, at any depth.

mod display;

/// A plain value with its content: numbers, text, lists, dictionaries.
#[derive(Clone, Debug, PartialEq)]
pub struct Plain {
    /// The last node is the value itself. Parts come before their containers.
    nodes: Vec<PlainNode>,
}

/// A node of a [`Plain`]. Indices refer to earlier nodes.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum PlainNode {
    None,
    Bool(bool),
    Int(i64),
    Long(i128),
    Float(f64),
    Text(String),
    Bytes(Vec<u8>),
    List(Vec<usize>),
    Tuple(Vec<usize>),
    Set(Vec<usize>),
    Dict(Vec<(usize, usize)>),
    Opaque(String),
}

impl Plain {
    /// A value from its nodes, the last of which is the value itself.
    pub(super) fn from_nodes(nodes: Vec<PlainNode>) -> Self {
        Self { nodes }
    }

    /// `None`.
    pub fn none() -> Self {
        Self::leaf(PlainNode::None)
    }

    /// Bytes.
    pub fn bytes(bytes: Vec<u8>) -> Self {
        Self::leaf(PlainNode::Bytes(bytes))
    }

    /// A list.
    pub fn list(items: impl IntoIterator<Item = Self>) -> Self {
        Self::sequence(items, PlainNode::List)
    }

    /// A tuple.
    pub fn tuple(items: impl IntoIterator<Item = Self>) -> Self {
        Self::sequence(items, PlainNode::Tuple)
    }

    /// A set, in the order given.
    pub fn set(items: impl IntoIterator<Item = Self>) -> Self {
        Self::sequence(items, PlainNode::Set)
    }

    /// A dictionary, in the order given.
    pub fn dict<K: Into<Self>>(entries: impl IntoIterator<Item = (K, Self)>) -> Self {
        let mut nodes = Vec::new();
        let mut pairs = Vec::new();
        for (key, value) in entries {
            let key = absorb(&mut nodes, key.into());
            pairs.push((key, absorb(&mut nodes, value)));
        }
        nodes.push(PlainNode::Dict(pairs));
        Self { nodes }
    }

    fn leaf(node: PlainNode) -> Self {
        Self { nodes: vec![node] }
    }

    fn sequence(items: impl IntoIterator<Item = Self>, node: fn(Vec<usize>) -> PlainNode) -> Self {
        let mut nodes = Vec::new();
        let items = items.into_iter().map(|item| absorb(&mut nodes, item)).collect();
        nodes.push(node(items));
        Self { nodes }
    }

    /// A reference to the value.
    pub fn root(&self) -> PlainRef<'_> {
        PlainRef { nodes: &self.nodes, at: self.nodes.len() - 1 }
    }

    /// The entry of a dictionary.
    pub fn get(&self, key: &str) -> Option<PlainRef<'_>> {
        self.root().get(key)
    }
}

/// Appends the nodes of a value, and returns the new index of the value.
fn absorb(nodes: &mut Vec<PlainNode>, value: Plain) -> usize {
    let shift = nodes.len();
    nodes.extend(value.nodes.into_iter().map(|mut node| {
        match &mut node {
            PlainNode::List(items) | PlainNode::Tuple(items) | PlainNode::Set(items) => {
                items.iter_mut().for_each(|item| *item += shift);
            }
            PlainNode::Dict(entries) => {
                for (key, value) in entries {
                    *key += shift;
                    *value += shift;
                }
            }
            _ => (),
        }
        node
    }));
    nodes.len() - 1
}

impl From<bool> for Plain {
    fn from(value: bool) -> Self {
        Self::leaf(PlainNode::Bool(value))
    }
}

impl From<i32> for Plain {
    fn from(value: i32) -> Self {
        Self::from(i64::from(value))
    }
}

impl From<i64> for Plain {
    fn from(value: i64) -> Self {
        Self::leaf(PlainNode::Int(value))
    }
}

impl From<i128> for Plain {
    fn from(value: i128) -> Self {
        let small = i64::try_from(value).map(PlainNode::Int);
        Self::leaf(small.unwrap_or(PlainNode::Long(value)))
    }
}

impl From<f64> for Plain {
    fn from(value: f64) -> Self {
        Self::leaf(PlainNode::Float(value))
    }
}

impl From<&str> for Plain {
    fn from(value: &str) -> Self {
        Self::leaf(PlainNode::Text(value.to_owned()))
    }
}

/// A value inside a [`Plain`].
#[derive(Clone, Copy, Debug)]
pub struct PlainRef<'p> {
    nodes: &'p [PlainNode],
    at: usize,
}

impl<'p> PlainRef<'p> {
    pub(super) fn node(self) -> &'p PlainNode {
        &self.nodes[self.at]
    }

    pub(super) fn at(self, at: usize) -> Self {
        Self { at, ..self }
    }

    /// True for `None`.
    pub fn is_none(self) -> bool {
        *self.node() == PlainNode::None
    }

    /// The boolean.
    pub fn as_bool(self) -> Option<bool> {
        if let PlainNode::Bool(value) = self.node() { Some(*value) } else { None }
    }

    /// The integer.
    pub fn as_i64(self) -> Option<i64> {
        if let PlainNode::Int(value) = self.node() { Some(*value) } else { None }
    }

    /// The number; integers are converted.
    pub fn as_f64(self) -> Option<f64> {
        match self.node() {
            PlainNode::Float(value) => Some(*value),
            PlainNode::Int(value) => Some(*value as f64),
            _ => None,
        }
    }

    /// The text.
    pub fn as_str(self) -> Option<&'p str> {
        if let PlainNode::Text(value) = self.node() { Some(value) } else { None }
    }

    /// The bytes.
    pub fn as_bytes(self) -> Option<&'p [u8]> {
        if let PlainNode::Bytes(value) = self.node() { Some(value) } else { None }
    }

    /// Name of the class, for a value that is not plain.
    pub fn as_opaque(self) -> Option<&'p str> {
        if let PlainNode::Opaque(name) = self.node() { Some(name) } else { None }
    }

    /// The items of a list, tuple or set.
    pub fn items(self) -> Option<impl ExactSizeIterator<Item = PlainRef<'p>>> {
        match self.node() {
            PlainNode::List(items) | PlainNode::Tuple(items) | PlainNode::Set(items) => {
                Some(items.iter().map(move |&at| self.at(at)))
            }
            _ => None,
        }
    }

    /// The entries of a dictionary.
    pub fn entries(self) -> Option<impl ExactSizeIterator<Item = (PlainRef<'p>, PlainRef<'p>)>> {
        match self.node() {
            PlainNode::Dict(entries) => {
                Some(entries.iter().map(move |&(key, value)| (self.at(key), self.at(value))))
            }
            _ => None,
        }
    }

    /// The entry of a dictionary; the last of several with the same key, as in Python.
    pub fn get(self, key: &str) -> Option<PlainRef<'p>> {
        self.entries()?.filter(|(it, _)| it.as_str() == Some(key)).last().map(|(_, value)| value)
    }
}
