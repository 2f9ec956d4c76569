//! `uni-instruct teacher`: training, export and verification of teachers.

use std::path::{Path, PathBuf};

use models::{NetworkFile, Provenance, Role};
use train::{
    run::Job,
    teacher::{Teacher, TeacherConfig},
};

use crate::{
    inputs, job,
    output::{note, say},
    run_folder,
    usage::Usage,
};

/// Verbs of `uni-instruct teacher`.
#[derive(clap::Subcommand)]
pub enum Verb {
    /// Train a teacher; a run with a checkpoint continues from it.
    Train(Train),
    /// Check that a teacher is good enough for a distillation.
    Verify(super::verify::Args),
    /// Write the averaged network of the newest checkpoint of a run as one file.
    Export(Export),
}

/// Arguments of `uni-instruct teacher train`.
#[derive(clap::Args)]
pub struct Train {
    /// TOML file of the run.
    config: PathBuf,
    /// Folder of the run.
    #[arg(long, default_value = "runs/teacher")]
    out: PathBuf,
    /// Change a key of the configuration, as in `optimizer.learning_rate=1e-4`.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Minutes of training, over all sessions, after which the run stops.
    #[arg(long, value_parser = inputs::not_negative)]
    minutes: Option<f64>,
    /// Print the resolved configuration and stop.
    #[arg(long)]
    dry_run: bool,
    /// Device: cpu, cuda, cuda:N or metal.
    #[arg(long, default_value = "cpu")]
    device: String,
}

/// Arguments of `uni-instruct teacher export`.
#[derive(clap::Args)]
pub struct Export {
    /// Folder of the run.
    run: PathBuf,
    /// File to write.
    #[arg(long)]
    out: PathBuf,
    /// License of the weights.
    #[arg(long)]
    licence: String,
}

/// Runs the command.
pub fn run(verb: &Verb) -> anyhow::Result<()> {
    match verb {
        Verb::Train(args) => train(args),
        Verb::Verify(args) => super::verify::run(args),
        Verb::Export(args) => export(args),
    }
}

fn train(args: &Train) -> anyhow::Result<()> {
    let name = args.config.display().to_string();
    let config = TeacherConfig::parse(&name, &inputs::text(&args.config)?, &args.set)?;
    let dataset = inputs::dataset(&config.data)?;
    let init = config.init.as_deref().map(inputs::teacher).transpose()?;
    let entries = [
        ("kind", "teacher".to_owned()),
        ("config", config.fingerprint()),
        ("data_sha256", dataset.content_hash()),
        ("init_blake3", init.as_ref().map_or("none".into(), |(_, hash)| hash.clone())),
    ];
    let provenance =
        run_folder::RunProvenance::new(entries, &["kind", "config", "data_sha256", "init_blake3"]);
    let mut teacher = Teacher::new(config, dataset, inputs::device(&args.device)?)?;
    if let Some((file, _)) = init {
        teacher.start_from(&file)?;
    }
    if args.dry_run {
        let parameters = teacher.state.trained.params.parameter_count();
        note!("parameters: {parameters}");
        return say!("{}", teacher.config.to_toml());
    }
    run_folder::claim(&args.out, &teacher.config.to_toml(), &provenance)?;
    job::run(&mut teacher, &args.out, args.minutes)
}

fn export(args: &Export) -> anyhow::Result<()> {
    let path = args.run.join("config.resolved.toml");
    let config = TeacherConfig::parse(&path.display().to_string(), &inputs::text(&path)?, &[])?;
    let dataset = inputs::dataset(&config.data)?;
    let (data, hash) = (dataset.content_hash(), config.fingerprint());
    let mut teacher = Teacher::new(config, dataset, inputs::device("cpu")?)?;
    teacher.resume(&newest(&args.run)?)?;
    let start = teacher.config.init.clone().unwrap_or_else(|| "random weights".into());
    let entries = [
        ("licence", args.licence.clone()),
        ("init", start),
        ("init_blake3", run_folder::entries(&args.run).remove("init_blake3").unwrap_or_default()),
        ("data", teacher.config.data.clone()),
        ("data_sha256", data),
        ("config", hash),
        ("images", teacher.progress().images.to_string()),
        ("program", format!("uni-instruct {}", env!("CARGO_PKG_VERSION"))),
    ];
    let entries = entries.map(|(key, value)| (key.to_owned(), value)).into();
    let config = teacher.config.network.clone();
    let params = teacher.state.ema;
    let (role, provenance) = (Role::Teacher, Provenance { entries });
    NetworkFile { config, params, role, provenance }.save(&args.out)?;
    say!("{}", args.out.display())?;
    Ok(())
}

/// The newest checkpoint of a run.
pub fn newest(run: &Path) -> anyhow::Result<PathBuf> {
    let found = train::state::latest_checkpoint(&run.join("checkpoints"))?;
    let reason = "it has no checkpoint; give the folder of a run";
    Ok(found.ok_or_else(|| Usage::new(run.display().to_string(), reason))?)
}
