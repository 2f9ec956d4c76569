//! `uni-instruct features`: training of the feature network of the metrics.

use std::path::PathBuf;

use metrics::FeatureNetFile;
use models::Provenance;
use train::{
    classifier::{Classifier, ClassifierConfig, accuracy},
    run::Job,
};

use super::teacher::newest;
use crate::{embedded, inputs, job, output::say, run_folder};

/// Verbs of `uni-instruct features`.
#[derive(clap::Subcommand)]
pub enum Verb {
    /// Train the feature network; a run with a checkpoint continues from it.
    Train(Train),
    /// Measure the newest checkpoint of a run on test images, and write it as one file.
    Export(Export),
}

/// Arguments of `uni-instruct features train`.
#[derive(clap::Args)]
pub struct Train {
    /// TOML file.
    config: PathBuf,
    /// Folder of the run.
    #[arg(long, default_value = "runs/features")]
    out: PathBuf,
    /// Change a key of the configuration.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Print the resolved configuration and stop.
    #[arg(long)]
    dry_run: bool,
    /// Device: cpu, cuda, cuda:N or metal.
    #[arg(long, default_value = "cpu")]
    device: String,
}

/// Arguments of `uni-instruct features export`.
#[derive(clap::Args)]
pub struct Export {
    /// Folder of the run.
    run: PathBuf,
    /// File to write.
    #[arg(long)]
    out: PathBuf,
    /// Labeled images that the network was not trained on.
    #[arg(long, default_value = embedded::FASHION_MNIST)]
    test: String,
    /// License of the weights.
    #[arg(long)]
    licence: String,
}

/// Runs the command.
pub fn run(verb: &Verb) -> anyhow::Result<()> {
    match verb {
        Verb::Train(args) => train(args),
        Verb::Export(args) => export(args),
    }
}

fn train(args: &Train) -> anyhow::Result<()> {
    let name = args.config.display().to_string();
    let config = ClassifierConfig::parse(&name, &inputs::text(&args.config)?, &args.set)?;
    let dataset = inputs::dataset(&config.data)?;
    let entries = [
        ("kind", "feature network".to_owned()),
        ("config", config.fingerprint()),
        ("data_sha256", dataset.content_hash()),
    ];
    let provenance = run_folder::RunProvenance::new(entries, &["kind", "config", "data_sha256"]);
    let mut classifier = Classifier::new(config, dataset, inputs::device(&args.device)?)?;
    if args.dry_run {
        return say!("{}", classifier.config.to_toml());
    }
    run_folder::claim(&args.out, &classifier.config.to_toml(), &provenance)?;
    job::run(&mut classifier, &args.out, None)
}

fn export(args: &Export) -> anyhow::Result<()> {
    let path = args.run.join("config.resolved.toml");
    let config = ClassifierConfig::parse(&path.display().to_string(), &inputs::text(&path)?, &[])?;
    let (device, pad) = (inputs::device("cpu")?, config.pad);
    let dataset = inputs::dataset(&config.data)?;
    let data = dataset.content_hash();
    let mut classifier = Classifier::new(config, dataset, device.clone())?;
    classifier.resume(&newest(&args.run)?)?;
    let entries = [
        ("licence", args.licence.clone()),
        ("data", classifier.config.data.clone()),
        ("data_sha256", data),
        ("images", classifier.progress().images.to_string()),
        ("test", args.test.clone()),
    ];
    let entries = entries.map(|(key, value)| (key.to_owned(), value)).into();
    let params = classifier.state.ema;
    let mut file = FeatureNetFile { params, accuracy: 0.0, provenance: Provenance { entries } };
    let test = inputs::dataset(&args.test)?.pad(pad)?;
    file.accuracy = accuracy(&file.extractor()?, &test, &device)?;
    file.save(&args.out)?;
    say!("{}: accuracy {:.2} %", args.out.display(), 100.0 * file.accuracy)?;
    Ok(())
}
