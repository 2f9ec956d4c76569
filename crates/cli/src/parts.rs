//! What a distillation is made of: its files, or what stands in for them where it is only tried.

use std::path::Path;

use anyhow::Context;
use candle_core::Device;
use data::Dataset;
use models::{NetworkConfig, NetworkFile};
use train::{
    Config,
    assemble::{RunInputs, TEACHER_SAMPLES, check},
    estimate::{Estimate, estimate},
    placeholder,
};

use crate::{inputs, output::note};

/// What a run does about files that are not there.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Absent {
    /// It needs them.
    Refuse,
    /// Random weights and images of noise take their place.
    StandIn,
}

/// The parts of a run, checked.
///
/// # Errors
///
/// If a file is damaged, absent where that is refused, or does not fit the others.
pub fn open(config: &Config, device: Device, absent: Absent) -> anyhow::Result<RunInputs> {
    let (teacher, teacher_hash) = teacher(config, absent)?;
    let network = &teacher.config;
    let dataset = match dataset(config, network)? {
        Found::Dataset(dataset) => Some(dataset),
        Found::None => None,
        Found::Absent(_) if absent == Absent::StandIn => {
            note!("data `{}`: not there; images of noise stand in", config.data);
            Some(placeholder::images(network, config.seed)?)
        }
        Found::Absent(err) => return Err(err),
    };
    check(config, network, dataset.as_ref())?;
    Ok(RunInputs { teacher, teacher_hash, dataset, device })
}

/// What a run would take, checked as far as its files are there.
///
/// # Errors
///
/// If a file is damaged or does not fit the others, or nothing says what the teacher is.
pub fn plan(config: &Config) -> anyhow::Result<Estimate> {
    let network = match &config.architecture {
        Some(architecture) if !is_there(&config.teacher) => {
            note!("teacher `{}`: not there, its file was not checked", config.teacher);
            architecture.network().clone()
        }
        _ => inputs::teacher(&config.teacher)?.0.config,
    };
    let dataset = match dataset(config, &network)? {
        Found::Dataset(dataset) => Some(dataset),
        Found::None => None,
        Found::Absent(_) => {
            note!("data `{}`: not there, not checked", config.data);
            None
        }
    };
    check(config, &network, dataset.as_ref())?;
    Ok(estimate(config, &network)?)
}

fn teacher(config: &Config, absent: Absent) -> anyhow::Result<(NetworkFile, String)> {
    let name = &config.teacher;
    match &config.architecture {
        Some(architecture) if !is_there(name) && absent == Absent::StandIn => {
            note!(
                "teacher `{name}`: not there; random weights of the network {} stand in",
                architecture.name()
            );
            Ok((
                placeholder::teacher(architecture.network(), config.seed)?,
                "random weights".into(),
            ))
        }
        Some(architecture) if !is_there(name) => {
            let source = Path::new(name).with_extension("pkl");
            let source = source.file_name().unwrap_or_default().to_string_lossy();
            inputs::teacher(name).with_context(|| {
                format!(
                    "a teacher of the network {} is wanted; `uni-instruct convert {source} --out \
                     {name} --licence CC-BY-NC-SA-4.0` makes it of EDM's file",
                    architecture.name()
                )
            })
        }
        _ => inputs::teacher(name),
    }
}

/// Whether there is a network of this name, whatever it holds.
fn is_there(name: &str) -> bool {
    inputs::is_embedded(name) || Path::new(name).exists()
}

/// What is known of a run's images.
enum Found {
    Dataset(Dataset),
    /// The run uses none.
    None,
    /// There is nothing under that name.
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

fn is_not_found(err: &anyhow::Error) -> bool {
    err.chain().any(|cause| {
        let io = cause.downcast_ref::<std::io::Error>();
        io.is_some_and(|io| io.kind() == std::io::ErrorKind::NotFound)
    })
}

/// Says what a run would take.
pub fn report(estimate: &Estimate) {
    let &Estimate { network_parameters, fake_parameters, head_parameters, memory, .. } = estimate;
    let discriminator = match (estimate.discriminates, head_parameters) {
        (false, _) => "none".to_owned(),
        (true, 0) => "0, on the fake score's bottleneck".to_owned(),
        (true, own) => format!("{own}, on the fake score's encoder"),
    };
    note!("parameters:");
    note!("  teacher        {network_parameters}");
    note!("  generator      {network_parameters}");
    note!("  fake score     {fake_parameters}");
    note!("  discriminator  {discriminator}");
    note!("memory on a CPU, estimated, in GB (10⁹ bytes):");
    for (name, bytes) in [
        ("weights, average included", memory.weights),
        ("Adam's moments", memory.moments),
        ("gradients", memory.gradients),
        ("activations of a batch", memory.activations),
        ("in all", memory.total()),
    ] {
        note!("  {name:<26} {:.2}", bytes as f64 / 1e9);
    }
}
