//! What Python's own loader would import and call, without doing any of it.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::ops::Range;

use super::archive::Archive;
use super::contents::{Kind, by_magic};
use super::error::{PickleError, Result, quote};
use super::file::FileBytes;
use super::globals;
use super::limits::Limits;
use super::machine::parse_leniently;
use super::value::{Arena, Id, Node};

/// Pickles inside byte strings of pickles that are looked into.
const MAX_LEVELS: usize = 4;

/// Functions that would read their bytes as another pickle.
const LOADERS: [(&str, &str); 5] = [
    ("torch.storage", "_load_from_bytes"),
    ("pickle", "loads"),
    ("_pickle", "loads"),
    ("cPickle", "loads"),
    ("dill", "loads"),
];

/// What Python's own loader would do with a file.
#[derive(Debug, Default)]
pub struct Report {
    /// The names that would be imported, in alphabetical order.
    pub globals: Vec<GlobalUse>,
    /// Python texts that would be run as modules (EDM's `module_src`), each once.
    pub sources: Vec<SourceText>,
    /// Files of TorchScript code, which `torch.jit.load` would compile.
    pub script_files: usize,
    /// Pickles that were looked into, those inside others included.
    pub pickles: usize,
    /// Where looking stopped early: the rest of that pickle is unknown.
    pub stopped: Vec<PickleError>,
}

/// A name that a file mentions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GlobalUse {
    /// Module and name, shortened if they are very long.
    pub name: String,
    /// How often it would be imported.
    pub imports: usize,
    /// How often it would be called, or an instance of it made.
    pub calls: usize,
    /// The first mention: what it is in, and the byte there.
    pub first: (String, usize),
    /// Whether it is on the list of harmless names.
    pub allowed: bool,
}

/// A Python text inside a pickle that loading would run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceText {
    /// BLAKE3 in hexadecimal digits.
    pub hash: String,
    /// Its length in bytes.
    pub bytes: usize,
}

impl Report {
    /// Whether all names are on the list, and all of the file was seen.
    ///
    /// Python's loader may run what the file brings even so: see [`Report::sources`].
    pub fn is_allowed(&self) -> bool {
        self.stopped.is_empty() && self.globals.iter().all(|it| it.allowed)
    }

    /// Whether loading the file with Python would run text that the file brings.
    pub fn runs_own_code(&self) -> bool {
        !self.sources.is_empty() || self.script_files != 0
    }
}

/// Lists what Python's loader would import and call, forbidden names included.
///
/// Reading goes on past what [`super::open`] refuses. A pickle that is broken is listed up to
/// there, and the error is kept in [`Report::stopped`].
///
/// # Errors
///
/// If the file is of no kind that is read here, or a zip file that is damaged or unsafe.
pub fn scan(file: &FileBytes, limits: &Limits) -> Result<Report> {
    let mut scan =
        Scan { limits, report: Report::default(), uses: BTreeMap::new(), sources: BTreeMap::new() };
    match by_magic(file)? {
        Kind::Pickle => scan.pickles(file.name(), file.bytes(), 1),
        // Magic, version, machine, object, keys.
        Kind::Legacy => scan.pickles(file.name(), file.bytes(), 5),
        Kind::Archive | Kind::Script => {
            let archive = Archive::open(file, limits)?;
            scan.report.script_files = archive.count_below("code");
            for entry in archive.pickles() {
                scan.pickles(&archive.label(&entry), &archive.read(&entry)?, 1);
            }
        }
    }
    scan.report.sources = scan.sources.into_values().collect();
    scan.report.globals = scan.uses.into_values().collect();
    Ok(scan.report)
}

struct Scan<'s> {
    limits: &'s Limits,
    report: Report,
    uses: BTreeMap<String, GlobalUse>,
    sources: BTreeMap<String, SourceText>,
}

impl Scan<'_> {
    /// Looks into pickles that stand one after another, and those inside them.
    fn pickles(&mut self, label: &str, bytes: &[u8], count: usize) {
        let mut queue = VecDeque::from([(0..bytes.len(), count, 0)]);
        while let Some((part, count, level)) = queue.pop_front() {
            let mut at = part.start;
            for _ in 0..count {
                let (arena, end) = parse_leniently(label, bytes, at..part.end, self.limits);
                self.report.pickles += 1;
                self.list(label, &arena);
                let inner = inner(&arena, bytes);
                if level < MAX_LEVELS {
                    queue.extend(inner.into_iter().map(|(part, count)| (part, count, level + 1)));
                }
                match end {
                    Ok(end) => at = end,
                    Err(error) => {
                        self.report.stopped.push(error);
                        break;
                    }
                }
            }
        }
    }

    fn list(&mut self, label: &str, arena: &Arena<'_>) {
        let mut hashed = HashSet::new();
        for (id, node) in arena.iter() {
            match node {
                Node::Global(_) => self.usage(label, arena, id).imports += 1,
                Node::Object(object) if arena.name(object.callable).is_some() => {
                    self.usage(label, arena, object.callable).calls += 1;
                }
                Node::Dict(entries) => {
                    entries.iter().for_each(|&it| self.list_source(arena, it, &mut hashed));
                }
                _ => (),
            }
        }
    }

    fn usage(&mut self, label: &str, arena: &Arena<'_>, id: Id) -> &mut GlobalUse {
        let (module, name) = arena.name(id).unwrap_or_default();
        let full = format!("{}.{}", quote(module), quote(name));
        self.uses.entry(full.clone()).or_insert_with(|| GlobalUse {
            name: full,
            imports: 0,
            calls: 0,
            first: (label.to_owned(), arena.offset(id)),
            allowed: globals::is_allowed(module, name),
        })
    }

    /// The text of EDM's `module_src`, if the entry is one; each text is hashed once.
    fn list_source(&mut self, arena: &Arena<'_>, entry: (Id, Id), hashed: &mut HashSet<Id>) {
        let (key, value) = entry;
        if let (Node::Text(key), Node::Text(source)) = (arena.node(key), arena.node(value))
            && key == "module_src"
            && hashed.insert(value)
        {
            let hash = blake3::hash(source.as_bytes()).to_hex().to_string();
            let bytes = source.len();
            self.sources.insert(hash.clone(), SourceText { hash, bytes });
        }
    }
}

/// Byte strings that a call would read as pickles, and how many pickles each starts with.
fn inner(arena: &Arena<'_>, bytes: &[u8]) -> Vec<(Range<usize>, usize)> {
    let calls = arena.iter().filter_map(|(_, node)| {
        let Node::Object(object) = node else { return None };
        if !LOADERS.contains(&arena.name(object.callable)?) {
            return None;
        }
        let Node::Tuple(args) = arena.node(object.args) else { return None };
        let Node::Bytes(span) = arena.node(*args.first()?) else { return None };
        let count = if super::legacy::is_legacy(&bytes[span.clone()]) { 5 } else { 1 };
        Some((span.clone(), count))
    });
    let mut parts: Vec<_> = calls.collect();
    // The same bytes may be given to any number of calls.
    parts.sort_by_key(|(part, _)| part.start);
    parts.dedup();
    parts
}
