//! `uni-instruct ref-stats`: statistics of real images, the reference of Fréchet distances.

use std::{borrow::Cow, path::PathBuf};

use metrics::{Origin, ReferenceStats};

use crate::{console, embedded, inputs, output::say, usage::Usage};

/// Verbs of `uni-instruct ref-stats`.
#[derive(clap::Subcommand)]
pub enum Verb {
    /// Write mean and covariance of a data set's features, and their provenance in a second file.
    Write(Write),
    /// Show the provenance of a file of statistics.
    Show(Show),
}

/// Arguments of `uni-instruct ref-stats write`.
#[derive(clap::Args)]
pub struct Write {
    /// File to write: an `.npz` with `mu` and `sigma`, as in EDM's files.
    file: PathBuf,
    /// Images; all of them are used.
    #[arg(long, default_value = embedded::FASHION_MNIST)]
    data: String,
    /// Side to pad the images to with black, as `eval` does for a network of that size [default: side
    /// that the feature network requires].
    #[arg(long, value_name = "PIXELS")]
    pad_to: Option<usize>,
    /// Feature network: a file, `inception` for FID, or `embedded`, the network of Fashion-MNIST
    /// [default: embedded].
    #[arg(long)]
    features: Option<PathBuf>,
    /// Device: cpu, cuda, cuda:N or metal.
    #[arg(long, default_value = "cpu")]
    device: String,
}

/// Arguments of `uni-instruct ref-stats show`.
#[derive(clap::Args)]
pub struct Show {
    /// A file of statistics, of this program or of another.
    file: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(verb: &Verb) -> anyhow::Result<()> {
    match verb {
        Verb::Write(args) => write(args),
        Verb::Show(args) => show(args),
    }
}

fn write(args: &Write) -> anyhow::Result<()> {
    let device = inputs::device(&args.device)?;
    let extractor = inputs::extractor(args.features.as_deref())?;
    let dataset = inputs::dataset(&args.data)?;
    let [_, height, _] = dataset.shape();
    let dataset = match args.pad_to {
        None => eval::pad_for(&*extractor, Cow::Owned(dataset))?.into_owned(),
        Some(side) => match side.checked_sub(height).filter(|margin| margin % 2 == 0) {
            Some(margin) => dataset.pad(margin / 2)?,
            None => {
                let reason = format!(
                    "images of {height} pixels cannot be padded evenly to this side; give {height} \
                     plus an even number"
                );
                return Err(Usage::new(format!("--pad-to {side}"), reason).into());
            }
        },
    };
    eval::check_shape(&*extractor, dataset.shape())?;
    eval::check_count("images", dataset.len())?;
    let (cache, progress) = (inputs::feature_cache(), &mut console::evaluation());
    let features =
        eval::features("the real images", &dataset, &*extractor, cache, &device, progress)?;
    let statistics = ReferenceStats::of(&features, eval::dataset_id(&args.data, &dataset))?;
    statistics.write(&args.file)?;
    say!("{}", args.file.display())?;
    Ok(())
}

fn show(args: &Show) -> anyhow::Result<()> {
    let statistics = ReferenceStats::read(&args.file)?;
    let features = statistics.gaussian.dim();
    let spatial = statistics.spatial.as_ref().map(metrics::Gaussian::dim);
    if args.json {
        let facts = serde_json::json!({
            "features": features, "spatial_features": spatial, "of": statistics.origin,
        });
        say!("{}", serde_json::to_string_pretty(&facts)?)?;
        return Ok(());
    }
    say!("features          {features}")?;
    say!("spatial features  {}", spatial.map_or("none".to_owned(), |it| it.to_string()))?;
    match &statistics.origin {
        Some(Origin { dataset, extractor }) => {
            say!("images            {} of {}", dataset.images, dataset.name)?;
            say!("their sha256      {}", dataset.hash)?;
            say!("feature network   {}", extractor.name)?;
            say!("its blake3        {}", extractor.hash)?;
            say!("resize            {}", extractor.resize)?;
        }
        None => {
            let path = args.file.display();
            say!("provenance        unknown: there is no file {path}.json next to it")?;
        }
    }
    Ok(())
}
