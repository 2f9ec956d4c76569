//! Listing of the names that Python's loader would import and call.

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

/// Depth to which pickles inside byte strings of pickles are scanned.
const MAX_LEVELS: usize = 4;

/// Functions that read their bytes as another pickle.
const LOADERS: [(&str, &str); 5] = [
    ("torch.storage", "_load_from_bytes"),
    ("pickle", "loads"),
    ("_pickle", "loads"),
    ("cPickle", "loads"),
    ("dill", "loads"),
];

/// Names and code that Python's loader would use for a file.
#[derive(Debug, Default)]
pub struct ScanReport {
    /// Names that would be imported, in alphabetical order.
    pub globals: Vec<GlobalUse>,
    /// Python sources that would be run as modules (EDM's `module_src`), each once.
    pub sources: Vec<SourceText>,
    /// Number of files with TorchScript code, which `torch.jit.load` would compile.
    pub script_files: usize,
    /// Number of scanned pickles, including nested ones.
    pub pickles: usize,
    /// Errors that ended the scan of a pickle early. The rest of that pickle is unknown.
    pub stopped: Vec<PickleError>,
}

/// A name in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GlobalUse {
    /// Module and name, shortened if very long.
    pub name: String,
    /// Number of imports.
    pub imports: usize,
    /// Number of calls, including constructors.
    pub calls: usize,
    /// First occurrence: the file or entry, and the byte.
    pub first: (String, usize),
    /// True if the name is on the list of harmless names.
    pub allowed: bool,
}

/// A Python source inside a pickle, which loading would run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceText {
    /// BLAKE3 hash in hexadecimal digits.
    pub hash: String,
    /// Length in bytes.
    pub bytes: usize,
}

impl ScanReport {
    /// True if all names are on the list and the whole file was scanned.
    ///
    /// Even then, Python's loader may run code from the file: see [`ScanReport::sources`].
    pub fn is_allowed(&self) -> bool {
        self.stopped.is_empty() && self.globals.iter().all(|it| it.allowed)
    }

    /// True if loading the file with Python would run code from the file.
    pub fn runs_own_code(&self) -> bool {
        !self.sources.is_empty() || self.script_files != 0
    }
}

/// Lists the names that Python's loader would import and call, including forbidden names.
///
/// The scan continues after names and opcodes that [`open`](crate::open) refuses. A damaged pickle
/// is listed up to the damage, and [`ScanReport::stopped`] contains the error.
///
/// # Errors
///
/// If the kind of the file is not supported, or a zip file is damaged or unsafe.
pub fn scan(file: &FileBytes, limits: &Limits) -> Result<ScanReport> {
    let mut scan = Scan {
        limits,
        report: ScanReport::default(),
        uses: BTreeMap::new(),
        sources: BTreeMap::new(),
    };
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
    report: ScanReport,
    uses: BTreeMap<String, GlobalUse>,
    sources: BTreeMap<String, SourceText>,
}

impl Scan<'_> {
    /// Scans `count` consecutive pickles, and those inside them.
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

    /// Adds the source of an entry `module_src`. Each source is hashed once.
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

/// Byte strings that a call would read as pickles, and the number of pickles in each.
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
    // The same bytes may be arguments of many calls.
    parts.sort_by_key(|(part, _)| part.start);
    parts.dedup();
    parts
}
