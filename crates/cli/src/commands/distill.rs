//! `uni-instruct distill`: distillation of a teacher into a one-step generator, and its evaluation.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use anyhow::Context;
use data::Dataset;
use divergence::Divergence;
use models::{NetworkConfig, NetworkFile, Provenance, Role};
use train::{
    Config, Engine,
    assemble::{RunInputs, assemble},
};

use crate::{
    comparison::{self, Comparison},
    console,
    embedded::{FASHION_MNIST, PRESETS},
    inputs, job,
    output::say,
    overrides::Overrides,
    parts::{self, Absent},
    run_folder,
    usage::Usage,
};

/// Updates of every phase in a smoke test.
const SMOKE_UPDATES: u64 = 2;

/// Arguments of `uni-instruct distill`.
#[derive(clap::Args)]
pub struct Args {
    /// TOML file of a run; without it, a preset.
    #[arg(conflicts_with = "preset")]
    config: Option<PathBuf>,
    /// Name of a published run.
    #[arg(long, default_value = FASHION_MNIST)]
    preset: String,
    /// Method of every phase, by its name in `uni-instruct list`; replaces the configuration's method
    /// and its options.
    #[arg(long)]
    method: Option<String>,
    /// Divergence of every phase.
    #[arg(long)]
    divergence: Option<Divergence>,
    /// The teacher: a file, or the name of an embedded network.
    #[arg(long)]
    teacher: Option<String>,
    /// Images: a file or folder, the name of an embedded set, or `teacher-samples`.
    #[arg(long)]
    data: Option<String>,
    /// Seed of all random numbers.
    #[arg(long)]
    seed: Option<u64>,
    /// Change a key of the configuration, as in `phase.0.images=10000`.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Folder of the run [default: runs/PRESET].
    #[arg(long, conflicts_with = "smoke")]
    out: Option<PathBuf>,
    /// Minutes of training, over all sessions, after which the run stops.
    #[arg(long, value_parser = inputs::not_negative)]
    minutes: Option<f64>,
    /// Number of images for the metrics at the end; 0 for no metrics.
    #[arg(long, default_value_t = 1000)]
    eval_images: usize,
    /// Real images for the metrics [default: images of the run].
    #[arg(long)]
    eval_data: Option<String>,
    /// Feature network of the metrics: a file, `inception` for FID, or `embedded`, the network of
    /// Fashion-MNIST [default: inception after `dataset fetch inception`, else embedded].
    #[arg(long)]
    features: Option<PathBuf>,
    /// Print the resolved configuration and the estimated size of the run, and stop.
    #[arg(long)]
    dry_run: bool,
    /// Run two small updates of every phase as a test, in a temporary folder. Random weights and
    /// images replace a missing teacher and missing images.
    #[arg(long)]
    smoke: bool,
    /// Print the metrics as JSON.
    #[arg(long)]
    json: bool,
    /// Device: cpu, cuda, cuda:N or metal.
    #[arg(long, default_value = "cpu")]
    device: String,
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let (name, config) = config(args)?;
    let device = inputs::device(&args.device)?;
    let options = comparison::ComparisonOptions {
        images: args.eval_images,
        data: args.eval_data.as_deref(),
        features: args.features.as_deref(),
        smoke: args.smoke,
        json: args.json,
    };
    if args.dry_run {
        let plan = parts::plan(&config)?;
        Comparison::resolve(options, &config, &plan.network, plan.dataset.as_ref())?;
        say!("{}", config.to_toml())?;
        parts::report(&plan.estimate);
        return Ok(());
    }
    let absent = if args.smoke { Absent::StandIn } else { Absent::Refuse };
    let parts = parts::open(&config, device, absent)?;
    let network = &parts.teacher.config;
    let comparison = Comparison::resolve(options, &config, network, parts.dataset.as_ref())?;
    let scratch;
    let folder = match (&args.out, args.smoke) {
        (Some(out), _) => out.clone(),
        (None, false) => Path::new("runs").join(name),
        (None, true) => {
            scratch = tempfile::tempdir().context("a folder for the smoke test")?;
            scratch.path().to_owned()
        }
    };
    let network = parts.teacher.config.clone();
    let provenance = provenance(&config, &parts)?;
    run_folder::claim(&folder, &config.to_toml(), &provenance)?;

    let progress = console::preparation("samples of the teacher");
    let mut engine = assemble(config, parts, &folder, progress)?;
    job::run(&mut engine, &folder, args.minutes)?;
    export(&engine, network, provenance.entries, &folder.join("generator.safetensors"))?;
    match comparison {
        Some(comparison) => comparison.run(&engine, &folder),
        None => Ok(()),
    }
}

/// The name and configuration of the run, with the changes of the command line.
fn config(args: &Args) -> anyhow::Result<(String, Config)> {
    let (name, origin, text) = match &args.config {
        Some(path) => {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            (name, path.display().to_string(), inputs::text(path)?)
        }
        None => {
            let preset = PRESETS.iter().find(|(name, _)| *name == args.preset);
            let names = PRESETS.map(|(name, _)| name).join(", ");
            let (name, text) = preset.ok_or_else(|| {
                let reason = format!("there is no such preset; choose one of {names}");
                Usage::new(format!("--preset {}", args.preset), reason)
            })?;
            ((*name).to_owned(), format!("preset {name}"), (*text).to_owned())
        }
    };
    let overrides = Overrides {
        teacher: args.teacher.clone(),
        data: args.data.clone(),
        seed: args.seed,
        method: args.method.clone(),
        divergence: args.divergence.clone(),
    };
    let config = overrides.parse(&origin, &text, &args.set)?;
    let config = if args.smoke { config.smoke(SMOKE_UPDATES) } else { config };
    Ok((name, config))
}

fn provenance(config: &Config, parts: &RunInputs) -> anyhow::Result<run_folder::RunProvenance> {
    let unknown = || "unknown".to_owned();
    let licence = parts.teacher.provenance.entries.get("licence").cloned();
    let data = parts.dataset.as_ref().map(Dataset::content_hash);
    // Without the program's path, which is private: the file travels.
    let words = std::env::args().skip(1);
    let command: Vec<String> = std::iter::once("uni-instruct".to_owned()).chain(words).collect();
    let mut entries = vec![
        ("kind", "distillation".to_owned()),
        ("program", format!("uni-instruct {}", env!("CARGO_PKG_VERSION"))),
        ("licence", licence.unwrap_or_else(unknown)),
        ("teacher", config.teacher.clone()),
        ("teacher_blake3", parts.teacher_hash.clone()),
        ("data", config.data.clone()),
        ("data_sha256", data.unwrap_or_else(unknown)),
        ("config", config.fingerprint()),
        ("command", command.join(" ")),
    ];
    if let Some(student) = &parts.student {
        let hash = blake3::hash(&student.to_bytes()?).to_hex().to_string();
        entries.push(("student_blake3", hash));
    }
    if let Some(features) = &parts.features {
        entries.push(("feature_network_blake3", features.hash()?));
    }
    let identity = &[
        "kind",
        "config",
        "teacher_blake3",
        "data_sha256",
        "student_blake3",
        "feature_network_blake3",
    ];
    Ok(run_folder::RunProvenance::new(entries, identity))
}

/// Writes the averaged generator, with its provenance and the noise levels of its steps.
fn export(
    engine: &Engine,
    config: NetworkConfig,
    mut entries: BTreeMap<String, String>,
    path: &Path,
) -> anyhow::Result<()> {
    entries.insert("images".into(), engine.state.progress.images.to_string());
    let params = engine.state.ema.to_device(&candle_core::Device::Cpu)?;
    let role = Role::Generator(engine.schedule()?);
    let file = NetworkFile { config, params, role, provenance: Provenance { entries } };
    Ok(file.save(path)?)
}
