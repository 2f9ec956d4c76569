//! `uni-instruct ref-stats`: statistics of real images, made once, to take Fréchet distances from.

use std::path::PathBuf;

use metrics::{Origin, ReferenceStats};

use crate::{feature_cache, inputs, judge, output::say};

/// Verbs of `uni-instruct ref-stats`.
#[derive(clap::Subcommand)]
pub enum Verb {
    /// Write the mean and covariance of a data set's features, and beside them what they are of.
    Write(Write),
    /// Say what a file of statistics is of.
    Show(Show),
}

/// Arguments of `uni-instruct ref-stats write`.
#[derive(clap::Args)]
pub struct Write {
    /// File to write, an `.npz` with `mu` and `sigma` as EDM's.
    file: PathBuf,
    /// Images: all of them are taken.
    #[arg(long, default_value = inputs::FASHION_MNIST)]
    data: String,
    /// Pad the images with black to this side first, as `eval` does for a network of that size;
    /// without it, to what the feature network takes.
    #[arg(long, value_name = "PIXELS")]
    pad_to: Option<usize>,
    /// Feature network: a file, or `inception` for FID; without it, the embedded one of
    /// Fashion-MNIST.
    #[arg(long)]
    features: Option<PathBuf>,
    /// Where it runs: cpu, cuda, cuda:N or metal.
    #[arg(long, default_value = "cpu")]
    device: String,
}

/// Arguments of `uni-instruct ref-stats show`.
#[derive(clap::Args)]
pub struct Show {
    /// A file of statistics, ours or another tool's.
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
        None => judge::fitting(dataset, &*extractor)?,
        Some(side) => match side.checked_sub(height).filter(|margin| margin % 2 == 0) {
            Some(margin) => dataset.pad(margin / 2)?,
            None => {
                let reason = format!("images of {height} pixels cannot be padded evenly to that");
                return Err(train::Error::unusable(format!("--pad-to {side}"), reason).into());
            }
        },
    };
    judge::check_fits(&*extractor, dataset.shape())?;
    judge::check_count("images", dataset.len())?;
    let features = feature_cache::features("the real images", &dataset, &*extractor, &device)?;
    let statistics = ReferenceStats::of(&features, judge::dataset_id(&args.data, &dataset))?;
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
        None => say!("of                unknown: there is no file beside it that says")?,
    }
    Ok(())
}
