//! Parts of a distillation: its files, or placeholders in a smoke test.

use std::path::Path;

use anyhow::Context;
use candle_core::Device;
use data::Dataset;
use metrics::FeatureNetFile;
use models::{NetworkConfig, NetworkFile};
use train::{
    Config,
    assemble::{RunInputs, TEACHER_SAMPLES, check, check_student, needs_features},
    estimate::{Estimate, estimate},
    placeholder,
};

use crate::{embedded, inputs, output::note};

/// Handling of missing files.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Absent {
    /// A missing file is an error.
    Refuse,
    /// Random weights and images of noise replace missing files.
    StandIn,
}

/// The parts of a run, checked against each other.
///
/// # Errors
///
/// If a file is damaged, missing where that is an error, or does not fit the others.
pub fn open(config: &Config, device: Device, absent: Absent) -> anyhow::Result<RunInputs> {
    let (teacher, teacher_hash) = teacher(config, absent)?;
    let network = &teacher.config;
    let dataset = match dataset(config, network)? {
        Found::Dataset(dataset) => Some(dataset),
        Found::None => None,
        Found::Absent(_) if absent == Absent::StandIn => {
            note!("data `{}`: not found; using images of noise instead", config.data);
            Some(placeholder::images(network, config.seed)?)
        }
        Found::Absent(err) => return Err(err),
    };
    check(config, network, dataset.as_ref())?;
    let student = student(config, network)?;
    let features = features(config)?;
    Ok(RunInputs { teacher, teacher_hash, student, dataset, features, device })
}

/// A run that is not started: the files of it that exist, and its estimated size.
pub struct RunPlan {
    /// Network of the teacher.
    pub network: NetworkConfig,
    /// Images of the run.
    pub dataset: Option<Dataset>,
    /// Estimated size.
    pub estimate: Estimate,
}

/// Plans a run. Existing files are checked against each other.
///
/// # Errors
///
/// If a file is damaged or does not fit the others, or the teacher is missing and the configuration does
/// not describe its network.
pub fn plan(config: &Config) -> anyhow::Result<RunPlan> {
    let network = match &config.architecture {
        Some(architecture) if !exists(&config.teacher) => {
            note!("teacher `{}`: not found, file not checked", config.teacher);
            architecture.network().clone()
        }
        _ => inputs::teacher(&config.teacher)?.0.config,
    };
    let dataset = match dataset(config, &network)? {
        Found::Dataset(dataset) => Some(dataset),
        Found::None => None,
        Found::Absent(_) => {
            note!("data `{}`: not found, not checked", config.data);
            None
        }
    };
    check(config, &network, dataset.as_ref())?;
    student(config, &network)?;
    features(config)?;
    let estimate = estimate(config, &network)?;
    Ok(RunPlan { network, dataset, estimate })
}

fn teacher(config: &Config, absent: Absent) -> anyhow::Result<(NetworkFile, String)> {
    let name = &config.teacher;
    match &config.architecture {
        Some(architecture) if !exists(name) && absent == Absent::StandIn => {
            note!(
                "teacher `{name}`: not found; using random weights of the network {} instead",
                architecture.name()
            );
            Ok((
                placeholder::teacher(architecture.network(), config.seed)?,
                "random weights".into(),
            ))
        }
        Some(architecture) if !exists(name) => {
            let source = Path::new(name).with_extension("pkl");
            let source = source.file_name().unwrap_or_default().to_string_lossy();
            inputs::teacher(name).with_context(|| {
                format!(
                    "the run needs a teacher of the network {}; make it from EDM's file with \
                     `uni-instruct convert {source} --out {name} --licence CC-BY-NC-SA-4.0`",
                    architecture.name()
                )
            })
        }
        _ => inputs::teacher(name),
    }
}

/// True if a network of this name exists, valid or not.
fn exists(name: &str) -> bool {
    embedded::network(name).is_some() || Path::new(name).exists()
}

/// Images of a run.
enum Found {
    Dataset(Dataset),
    /// The run uses no images.
    None,
    /// No file or folder has the name.
    Absent(anyhow::Error),
}

fn dataset(config: &Config, network: &NetworkConfig) -> anyhow::Result<Found> {
    if config.data == TEACHER_SAMPLES {
        return Ok(Found::None);
    }
    match inputs::dataset_for(network, &config.data) {
        Ok(dataset) => Ok(Found::Dataset(dataset)),
        Err(err) if is_not_found(&err) => Ok(Found::Absent(err)),
        Err(err) => Err(err),
    }
}

/// The generator that a run starts from, if it is not the teacher.
fn student(config: &Config, network: &NetworkConfig) -> anyhow::Result<Option<NetworkFile>> {
    let Some(name) = &config.student else { return Ok(None) };
    let (file, _) = inputs::network(name).with_context(|| format!("student `{name}`"))?;
    check_student(config, network, &file)?;
    Ok(Some(file))
}

/// The feature network of a run whose methods have a term of it.
fn features(config: &Config) -> anyhow::Result<Option<FeatureNetFile>> {
    let name = &config.feature_network;
    if !needs_features(config) {
        return Ok(None);
    }
    let bytes = inputs::bytes(name).with_context(|| format!("feature_network `{name}`"))?;
    let file = FeatureNetFile::from_bytes(name, &bytes);
    Ok(Some(file.with_context(|| format!("feature_network `{name}`"))?))
}

fn is_not_found(err: &anyhow::Error) -> bool {
    err.chain().any(|cause| {
        let io = cause.downcast_ref::<std::io::Error>();
        io.is_some_and(|io| io.kind() == std::io::ErrorKind::NotFound)
    })
}

/// Prints the estimated size of a run.
pub fn report(estimate: &Estimate) {
    let &Estimate { network_parameters, fake_parameters, head_parameters, memory, .. } = estimate;
    let discriminator = match (estimate.discriminates, head_parameters) {
        (false, _) => "none".to_owned(),
        (true, 0) => "0, uses the fake score's bottleneck".to_owned(),
        (true, own) => format!("{own}, uses the fake score's encoder"),
    };
    note!("parameters:");
    note!("  teacher        {network_parameters}");
    note!("  generator      {network_parameters}");
    note!("  fake score     {fake_parameters}");
    note!("  discriminator  {discriminator}");
    note!("estimated memory on a CPU, in GB (10⁹ bytes):");
    for (name, bytes) in [
        ("weights with their average", memory.weights),
        ("Adam's moments", memory.moments),
        ("gradients", memory.gradients),
        ("activations of a batch", memory.activations),
        ("total", memory.total()),
    ] {
        note!("  {name:<26} {:.2}", bytes as f64 / 1e9);
    }
}
