//! `uni-instruct inspect` of Python's files: pickles and files of PyTorch.

use models::import::Import;
use pickle::{self, Contents, FileBytes, GlobalUse, Kind, Limits, ScanReport, StoredTensor};
use serde::Serialize;

use crate::output::say;

/// Prints the content of the file, and the actions of Python's loader.
pub fn print(source: &FileBytes, limits: &Limits, json: bool) -> anyhow::Result<()> {
    let report = pickle::scan(source, limits).map_err(models::Error::from)?;
    // A file with forbidden names is refused, and its names are printed first.
    let opened = pickle::open(source, limits);
    let facts = Facts::new(source, &report, opened.as_ref().ok());
    if json {
        say!("{}", serde_json::to_string_pretty(&facts)?)?;
    } else {
        facts.print()?;
    }
    opened.map_err(models::Error::from)?;
    Ok(())
}

/// Content of the file.
#[derive(Serialize)]
struct Facts {
    kind: &'static str,
    bytes: usize,
    blake3: String,
    networks: Vec<NetworkFacts>,
    state_dicts: Vec<DictFacts>,
    /// Storages of a TorchScript program.
    storages: usize,
    python: Python,
}

#[derive(Serialize)]
struct NetworkFacts {
    key: String,
    class: String,
    /// Hash of the Python text that defines the class.
    class_blake3: Option<String>,
    arguments: String,
    /// Our configuration of the network, or the reason why it has no such configuration.
    config: Result<models::NetworkConfig, String>,
    tensors: TensorFacts,
}

#[derive(Serialize)]
struct DictFacts {
    path: String,
    tensors: TensorFacts,
}

#[derive(Serialize)]
struct TensorFacts {
    count: usize,
    #[serde(rename = "numbers")]
    elements: usize,
    /// Number of tensors of each type.
    dtypes: std::collections::BTreeMap<&'static str, usize>,
}

/// Actions of Python's loader.
#[derive(Serialize)]
struct Python {
    /// True if it would run source text in the file.
    runs_code_of_the_file: bool,
    /// Hashes of such texts.
    texts_blake3: Vec<String>,
    /// Files of TorchScript, which it would compile.
    script_files: usize,
    /// Names that it would import.
    globals: Vec<Global>,
    /// Reasons why the list may be incomplete.
    stopped: Vec<String>,
}

#[derive(Serialize)]
struct Global {
    name: String,
    imports: usize,
    calls: usize,
    /// True for the harmless names that networks need.
    known: bool,
}

impl Facts {
    fn new(source: &FileBytes, report: &ScanReport, contents: Option<&Contents>) -> Self {
        let kind = contents.map(|it| it.kind);
        Self {
            kind: match kind {
                Some(Kind::Pickle) => "pickle",
                Some(Kind::Legacy) => "torch.save before PyTorch 1.6",
                Some(Kind::Archive) => "torch.save",
                Some(Kind::Script) => "TorchScript",
                None => "refused",
            },
            bytes: source.bytes().len(),
            blake3: blake3::hash(source.bytes()).to_hex().to_string(),
            networks: contents.map_or_else(Vec::new, networks),
            state_dicts: contents.map_or_else(Vec::new, |it| {
                let facts = |dict: &pickle::StateDict| DictFacts {
                    path: dict.path.clone(),
                    tensors: TensorFacts::of(&dict.tensors),
                };
                it.state_dicts.iter().map(facts).collect()
            }),
            storages: contents.map_or(0, |it| it.storages.len()),
            python: Python {
                runs_code_of_the_file: report.runs_own_code(),
                texts_blake3: report.sources.iter().map(|it| it.hash.clone()).collect(),
                script_files: report.script_files,
                globals: report.globals.iter().map(Global::of).collect(),
                stopped: report.stopped.iter().map(ToString::to_string).collect(),
            },
        }
    }

    fn print(&self) -> anyhow::Result<()> {
        say!("kind        {}", self.kind)?;
        say!("bytes       {}", self.bytes)?;
        say!("blake3      {}", self.blake3)?;
        if self.storages != 0 {
            say!("storages    {}", self.storages)?;
        }
        for network in &self.networks {
            say!("\nnetwork     {}", network.key)?;
            say!("class       {}", network.class)?;
            if let Some(hash) = &network.class_blake3 {
                say!("class text  {hash}")?;
            }
            network.tensors.print()?;
            say!("arguments   {}", network.arguments)?;
            match &network.config {
                Ok(config) => say!("\n{}", toml::to_string(config)?)?,
                Err(reason) => say!("config      none: {reason}")?,
            }
        }
        for dict in &self.state_dicts {
            let path = if dict.path.is_empty() { "(the whole file)" } else { &dict.path };
            say!("\nstate dict  {path}")?;
            dict.tensors.print()?;
        }
        let python = &self.python;
        say!("\nPython's loader would")?;
        if !python.texts_blake3.is_empty() {
            let texts = python.texts_blake3.join(", ");
            say!("  run source text in the file: {texts}")?;
        }
        if python.script_files != 0 {
            say!("  compile {} files of TorchScript", python.script_files)?;
        }
        for Global { name, imports, calls, known } in &python.globals {
            let note = if *known { "" } else { "  (not known as harmless)" };
            say!("  import {name} ({imports} times), call it {calls} times{note}")?;
        }
        for reason in &python.stopped {
            say!("  and possibly more: {reason}")?;
        }
        Ok(())
    }
}

fn networks(contents: &Contents) -> Vec<NetworkFacts> {
    let facts = |network: &pickle::PickledNetwork| {
        let root = network.root();
        NetworkFacts {
            key: network.key.clone(),
            class: root.class_name.clone(),
            class_blake3: root.source_hash.as_ref().map(ToString::to_string),
            arguments: root.init_kwargs.to_string(),
            config: Import::of_network(network).map(|it| it.config).map_err(|err| err.to_string()),
            tensors: TensorFacts::of(&network.tensors),
        }
    };
    contents.networks.iter().map(facts).collect()
}

impl TensorFacts {
    fn of(tensors: &[StoredTensor]) -> Self {
        let mut dtypes = std::collections::BTreeMap::new();
        for tensor in tensors {
            *dtypes.entry(tensor.dtype().torch_name()).or_default() += 1;
        }
        let elements = tensors.iter().map(StoredTensor::count).sum();
        Self { count: tensors.len(), elements, dtypes }
    }

    fn print(&self) -> anyhow::Result<()> {
        let dtypes: Vec<_> =
            self.dtypes.iter().map(|(dtype, count)| format!("{count} of {dtype}")).collect();
        say!("tensors     {} with {} elements: {}", self.count, self.elements, dtypes.join(", "))
    }
}

impl Global {
    fn of(global: &GlobalUse) -> Self {
        let GlobalUse { name, imports, calls, allowed, .. } = global.clone();
        Self { name, imports, calls, known: allowed }
    }
}
