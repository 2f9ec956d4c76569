//! `uni-instruct distill`: a teacher into a one-step generator, and how good it is.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::Context;
use data::{Dataset, Labels};
use divergence::Divergence;
use metrics::FeatureExtractor;
use models::{NetworkConfig, NetworkFile, Provenance, Role};
use train::{
    Config, Engine, Phase,
    assemble::{RunInputs, assemble, check_data, needs_samples},
    evaluate::{Maker, Row},
};

use crate::{
    inputs, judge, metric_log,
    output::{note, say},
    parts::{self, Absent},
    run_folder,
};

/// Runs that come with the program, by name.
const PRESETS: [(&str, &str); 2] = [
    (inputs::FASHION_MNIST, include_str!("../../../../configs/fashion-mnist.toml")),
    ("fashion-mnist-full", include_str!("../../../../configs/fashion-mnist-full.toml")),
];

/// Updates of every phase in a smoke test.
const SMOKE_UPDATES: u64 = 2;

/// Arguments of `uni-instruct distill`.
#[derive(clap::Args)]
pub struct Args {
    /// TOML file of a run; without one, a preset.
    #[arg(conflicts_with = "preset")]
    config: Option<PathBuf>,
    /// A run that comes with the program.
    #[arg(long, default_value = inputs::FASHION_MNIST)]
    preset: String,
    /// Method of every phase, a name of `uni-instruct list`, instead of all that the file says of it.
    #[arg(long)]
    method: Option<String>,
    /// Divergence of every phase.
    #[arg(long)]
    divergence: Option<Divergence>,
    /// The teacher: a file, or the name of an embedded one.
    #[arg(long)]
    teacher: Option<String>,
    /// Images: a file or folder, the name of an embedded set, or `teacher-samples`.
    #[arg(long)]
    data: Option<String>,
    /// Seed of every random number.
    #[arg(long)]
    seed: Option<u64>,
    /// Change a key of the configuration, as in `phase.0.images=10000`.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Folder of the run [default: runs/PRESET].
    #[arg(long, conflicts_with = "smoke")]
    out: Option<PathBuf>,
    /// Stop after so many minutes of training, over all sessions.
    #[arg(long, value_parser = inputs::not_negative)]
    minutes: Option<f64>,
    /// Images that the figures at the end are made from; 0 for no figures.
    #[arg(long, default_value_t = 1000)]
    eval_images: usize,
    /// Images that the figures compare with; without it, those of the run.
    #[arg(long)]
    eval_data: Option<String>,
    /// Feature network of the figures: a file, `inception` for FID, or `embedded`, that of Fashion-MNIST
    /// [default: inception where `dataset fetch inception` has left it, else embedded].
    #[arg(long)]
    features: Option<PathBuf>,
    /// Print the configuration in full, and what the run would take, and stop.
    #[arg(long)]
    dry_run: bool,
    /// Do two small updates of every phase, to see that all works; keeps nothing. Where the teacher or
    /// the images are not there, random ones stand in.
    #[arg(long)]
    smoke: bool,
    /// Print the figures as JSON.
    #[arg(long)]
    json: bool,
    /// Where it runs: cpu, cuda, cuda:N or metal.
    #[arg(long, default_value = "cpu")]
    device: String,
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let (name, config) = config(args)?;
    let device = inputs::device(&args.device)?;
    if args.dry_run {
        let estimate = parts::plan(&config)?;
        say!("{}", config.to_toml())?;
        parts::report(&estimate);
        return Ok(());
    }
    let absent = if args.smoke { Absent::StandIn } else { Absent::Refuse };
    let parts = parts::open(&config, device, absent)?;
    let wanted = wanted(args, &config, &parts)?;
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
    let provenance = provenance(&config, &parts);
    run_folder::claim(&folder, &config.to_toml(), &provenance)?;

    let prepare = inputs::prepare("samples of the teacher");
    let mut engine = assemble(config, parts, &folder, prepare)?;
    inputs::run_job(&mut engine, &folder, args.minutes)?;
    export(&engine, network, provenance.entries, &folder.join("generator.safetensors"))?;
    match wanted {
        Some(wanted) => figures(&engine, &folder, &wanted, args),
        None => Ok(()),
    }
}

/// What the figures at the end are made with.
struct Wanted {
    extractor: Box<dyn FeatureExtractor>,
    /// What they compare with, where that is not what the run is trained on.
    reference: Option<Dataset>,
}

/// What the figures at the end are made with; `None` for no figures.
///
/// Decided before the first update: what was asked for and does not fit is an error while nothing
/// has been spent yet.
fn wanted(args: &Args, config: &Config, parts: &RunInputs) -> anyhow::Result<Option<Wanted>> {
    if args.eval_images == 0 {
        return Ok(None);
    }
    let network = &parts.teacher.config;
    let shape = [network.img_channels, network.img_resolution, network.img_resolution];
    // FID is what others quote; a smoke test has no use for its minutes.
    let fid = args.features.is_none() && !args.smoke && Path::new(inputs::INCEPTION).is_file();
    let features = if fid { Some(Path::new("inception")) } else { args.features.as_deref() };
    let extractor = inputs::extractor(features)?;
    judge::check_count("--eval-images", eval_images(args))?;
    let reference = args.eval_data.as_deref().map(|name| -> anyhow::Result<Dataset> {
        let dataset = inputs::dataset_for(network, name)?;
        check_data(network, &dataset, name)?;
        Ok(dataset)
    });
    let reference = reference.transpose()?;
    let none = |reason: &str| {
        note!("no figures at the end: {reason}");
        Ok(None)
    };
    match reference.as_ref().or(parts.dataset.as_ref()) {
        Some(dataset) if matches!(dataset.labels(), Labels::Soft { .. }) => {
            return none("labels are vectors, and figures are made by class");
        }
        Some(dataset) => judge::check_count("images to compare with", dataset.len())?,
        None if needs_samples(config) => {
            judge::check_count("teacher_samples", config.teacher_samples.get())?;
        }
        None => return none("there are neither real images nor samples of the teacher"),
    }
    match (judge::check_fits(&*extractor, shape), &args.features) {
        (Ok(()), _) => Ok(Some(Wanted { extractor, reference })),
        (Err(err), Some(_)) => Err(err.into()),
        (Err(err), None) => none(&err.to_string()),
    }
}

/// Images that figures are made from; a smoke test makes as few as they can be made from.
fn eval_images(args: &Args) -> usize {
    if args.smoke { args.eval_images.min(judge::LEAST) } else { args.eval_images }
}

/// The name and configuration of the run, with what the command line changes.
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
                let reason = format!("there is no such preset; there are {names}");
                train::Error::unusable(format!("--preset {}", args.preset), reason)
            })?;
            ((*name).to_owned(), format!("preset {name}"), (*text).to_owned())
        }
    };
    let phases = Config::parse(&origin, &text, &args.set)?.phase;
    let config = Config::parse(&origin, &text, &overrides(args, &phases))?;
    let config = if args.smoke { config.smoke(SMOKE_UPDATES) } else { config };
    Ok((name, config))
}

/// What the command line changes, as `--set` would: options by name first, `--set` itself last.
fn overrides(args: &Args, phases: &[Phase]) -> Vec<String> {
    let mut overrides = Vec::new();
    for (key, value) in [("teacher", &args.teacher), ("data", &args.data)] {
        // Quoted, since a name of digits is still a name.
        overrides.extend(value.iter().map(|value| format!("{key}={}", quoted(value))));
    }
    overrides.extend(args.seed.map(|seed| format!("seed={seed}")));
    for (at, Phase { images, train_generator, .. }) in phases.iter().enumerate() {
        if let Some(method) = &args.method {
            // Nothing of the file's method stays: its divergence or levels belong to that one.
            let preset = quoted(method);
            overrides.push(format!(
                "phase.{at}={{ images = {images}, train_generator = {train_generator}, preset = \
                 {preset} }}"
            ));
        }
        if let Some(divergence) = &args.divergence {
            // In both places where a file may have one.
            let divergence = quoted(&divergence.to_string());
            overrides.push(format!("phase.{at}.divergence={divergence}"));
            overrides.push(format!("phase.{at}.method.divergence={divergence}"));
        }
    }
    overrides.extend(args.set.iter().cloned());
    overrides
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.into()).to_string()
}

fn provenance(config: &Config, parts: &RunInputs) -> run_folder::Provenance {
    let unknown = || "unknown".to_owned();
    let licence = parts.teacher.provenance.entries.get("licence").cloned();
    let data = parts.dataset.as_ref().map(Dataset::content_hash);
    // Not where the program lies: the file travels, and that is nobody's business.
    let words = std::env::args().skip(1);
    let command: Vec<String> = std::iter::once("uni-instruct".to_owned()).chain(words).collect();
    let entries = [
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
    run_folder::Provenance::new(entries, &["kind", "config", "teacher_blake3", "data_sha256"])
}

/// Writes the averaged generator, with where it comes from and the level of its input.
fn export(
    engine: &Engine,
    config: NetworkConfig,
    mut entries: BTreeMap<String, String>,
    path: &Path,
) -> anyhow::Result<()> {
    entries.insert("images".into(), engine.state.progress.images.to_string());
    let params = engine.state.ema.to_device(&candle_core::Device::Cpu)?;
    let role = Role::Generator { sigma_init: engine.sigma_init()? };
    let file = NetworkFile { config, params, role, provenance: Provenance { entries } };
    Ok(file.save(path)?)
}

/// The comparison of student and teacher: a table, `results.json`, and a picture.
fn figures(engine: &Engine, folder: &Path, wanted: &Wanted, args: &Args) -> anyhow::Result<()> {
    let begun = Instant::now();
    let stand_in;
    let own = engine.source.dataset().map(|it| (engine.config.data.as_str(), it));
    let wanted_data = args.eval_data.as_deref().zip(wanted.reference.as_ref());
    let (name, dataset) = match (wanted_data.or(own), &engine.source.samples) {
        (Some(named), _) => named,
        (None, Some(samples)) => {
            note!("there are no real images: figures are against the teacher's samples");
            stand_in = samples.to_dataset()?;
            (engine.config.data.as_str(), &stand_in)
        }
        (None, None) => return Ok(()),
    };
    let judge = judge::Judge::new(
        judge::Against::images(name, dataset),
        &*wanted.extractor,
        eval_images(args),
        &engine.device,
    )?;
    let (config, networks) = (&engine.config, &engine.networks);
    let drawing = judge.drawing(config.seed, &networks.sample, engine.source.label_dim);
    let heun = |steps| Maker::Heun { teacher: networks.teacher.as_ref(), steps };
    // A generator starts as the teacher at the level of its own input.
    let teacher = networks.teacher.as_ref();
    let untrained = Maker::OneStep { generator: teacher, sigma_init: engine.sigma_init()? };
    let makers = [
        ("student", engine.maker()?),
        ("student, untrained", untrained),
        ("teacher", heun(1)),
        ("teacher", heun(5)),
        ("teacher", heun(9)),
        ("teacher", heun(18)),
    ];
    let rows = judge.rows(&makers, &drawing)?;
    if let Some(Row { report, .. }) = rows.first() {
        let (seconds, file) = (begun.elapsed().as_secs_f64(), "generator.safetensors");
        metric_log::append(folder, report, report.fd, seconds, file, &engine.device)?;
    }
    let results = serde_json::to_string_pretty(&rows)?;
    let write = |name: &str, bytes: &[u8]| run_folder::replace(&folder.join(name), bytes);
    write("results.json", results.as_bytes())?;
    write("results.md", judge::table(&rows).as_bytes())?;
    let grid = judge::grid(dataset, &drawing, &[heun(18), engine.maker()?])?;
    write("grid.png", &grid)?;
    if args.json {
        say!("{results}")?
    } else {
        say!("{}", judge::table(&rows))?
    }
    if !args.smoke {
        note!("rows of {}: real, teacher, student", folder.join("grid.png").display());
    }
    Ok(())
}
