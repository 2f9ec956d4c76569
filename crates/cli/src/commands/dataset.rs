//! `uni-instruct dataset`: fetch, check and rewrite data sets.

use std::path::{Path, PathBuf};

use data::{Dataset, edm_zip};

use crate::{inputs, output::say};

/// Verbs of `uni-instruct dataset`.
#[derive(clap::Subcommand)]
pub enum Verb {
    /// Download a published set and check it.
    Fetch(Fetch),
    /// Read a set and show its content.
    Check(Check),
    /// Rewrite a set as a zip file or folder in EDM's format.
    Build(Build),
}

/// Arguments of `uni-instruct dataset fetch`.
#[derive(clap::Args)]
pub struct Fetch {
    /// Name: fashion-mnist, cifar10, or inception (the feature network of FID).
    name: String,
    /// Parent of the set's folder.
    #[arg(long, default_value = "data-cache")]
    out: PathBuf,
}

/// Arguments of `uni-instruct dataset check`.
#[derive(clap::Args)]
pub struct Check {
    /// File, folder or name of an embedded set.
    data: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Arguments of `uni-instruct dataset build`.
#[derive(clap::Args)]
pub struct Build {
    /// File, folder or name of an embedded set.
    data: String,
    /// Zip file (ending in .zip) or folder to write; must not exist.
    #[arg(long)]
    out: PathBuf,
}

/// Runs the command.
pub fn run(verb: &Verb) -> anyhow::Result<()> {
    match verb {
        Verb::Fetch(args) => fetch(&args.name, &args.out),
        Verb::Check(args) => check(&inputs::dataset(&args.data)?, args.json),
        Verb::Build(args) => {
            edm_zip::write(&inputs::dataset(&args.data)?, &args.out)?;
            say!("{}", args.out.display())?;
            Ok(())
        }
    }
}

fn fetch(name: &str, out: &Path) -> anyhow::Result<()> {
    let bar = indicatif::ProgressBar::new(0);
    let path = data::fetch(name, out, &mut |progress| {
        bar.set_length(progress.total.unwrap_or(0));
        bar.set_position(progress.bytes);
        bar.set_message(progress.source.to_string());
    })?;
    bar.finish_and_clear();
    say!("{}", path.display())?;
    Ok(())
}

fn check(dataset: &Dataset, json: bool) -> anyhow::Result<()> {
    let (images, shape, classes) = (dataset.len(), dataset.shape(), dataset.classes());
    let hash = dataset.content_hash();
    if json {
        let facts = serde_json::json!({
            "images": images, "shape": shape, "classes": classes,
            "class_names": dataset.class_names(), "sha256": hash,
        });
        say!("{facts}")?;
        return Ok(());
    }
    say!("images   {images}")?;
    say!("shape    {shape:?} (channels, height, width)")?;
    say!("classes  {classes} {}", dataset.class_names().join(", "))?;
    say!("sha256   {hash}")?;
    Ok(())
}
