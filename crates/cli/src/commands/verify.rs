//! `uni-instruct teacher verify`: is this teacher worth distilling?

use std::path::PathBuf;

use candle_core::{Device, Tensor};
use data::Dataset;
use kernels::noise::NoiseStream;
use models::{Conditioning, Denoiser};
use serde::Serialize;
use train::{evaluate::Row, step::Noised};

use crate::{
    exit::GateNotMet,
    inputs, judge,
    model::Model,
    output::{note, say},
};

/// Levels at which the denoising error is measured.
const LEVELS: [f64; 8] = [0.01, 0.05, 0.1, 0.3, 1.0, 3.0, 10.0, 40.0];
/// Images that it is measured on.
const IMAGES: usize = 200;
/// Stream of the noise, apart from those of runs.
const STREAM: u32 = 0x5645_5249;

/// Arguments of `uni-instruct teacher verify`.
#[derive(clap::Args)]
pub struct Args {
    /// A teacher.
    file: String,
    /// Real images.
    #[arg(long, default_value = inputs::FASHION_MNIST)]
    data: String,
    /// Images to make for the Fréchet distance.
    #[arg(long, default_value_t = 500)]
    count: usize,
    /// Feature network; without it, the embedded one of Fashion-MNIST.
    #[arg(long)]
    features: Option<PathBuf>,
    /// Largest Fréchet distance of its own samples that is a go.
    #[arg(long, default_value_t = 10.0, value_parser = inputs::not_negative)]
    max_fd: f64,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Where it runs: cpu, cuda, cuda:N or metal.
    #[arg(long, default_value = "cpu")]
    device: String,
}

/// Denoising error at a level, against the trivial denoisers.
#[derive(Serialize)]
struct Level {
    sigma: f64,
    /// Mean squared error an element.
    error: f64,
    /// The same of the better of doing nothing and answering the mean of a normal law of the data's
    /// scale: `σ² σ_data² / (σ² + σ_data²)`.
    trivial: f64,
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<()> {
    judge::check_count("--count", args.count)?;
    let device = inputs::device(&args.device)?;
    let (file, hash) = inputs::teacher(&args.file)?;
    let model = Model::load(&args.file, None, &device)?;
    let dataset = inputs::dataset_for(&model.config, &args.data)?;
    train::assemble::check_data(&model.config, &dataset, &args.data)?;
    let extractor = inputs::extractor(args.features.as_deref())?;
    let judge = judge::Judge::new(
        judge::Against::images(&args.data, &dataset),
        &*extractor,
        args.count,
        &device,
    )?;
    let levels = LEVELS
        .iter()
        .map(|&sigma| level(&model, &dataset, sigma, &device))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let sample = model.sample_shape();
    let drawing = judge.drawing(0, &sample, model.config.label_dim);
    let rows = judge.rows(&[("teacher", model.maker())], &drawing)?;
    let reasons = reasons(&levels, &rows[0], args.max_fd);
    if args.json {
        let facts = serde_json::json!({
            "blake3": hash, "config": file.config, "provenance": file.provenance,
            "levels": levels, "figures": rows[0], "go": reasons.is_empty(), "reasons": reasons,
        });
        say!("{}", serde_json::to_string_pretty(&facts)?)?;
    } else {
        say!("blake3      {hash}")?;
        say!("parameters  {}", file.params.parameter_count())?;
        let licence = file.provenance.entries.get("licence");
        say!("licence     {}", licence.map_or("unknown", String::as_str))?;
        say!("\n{}", toml::to_string(&file.config)?)?;
        say!("sigma    error      trivial")?;
        for Level { sigma, error, trivial } in &levels {
            say!("{sigma:<8} {error:<10.6} {trivial:.6}")?;
        }
        say!("\n{}", judge::table(&rows))?;
    }
    match reasons.first() {
        None => {
            note!("go");
            Ok(())
        }
        Some(_) => Err(GateNotMet(format!("no go: {}", reasons.join("; "))).into()),
    }
}

fn level(model: &Model, dataset: &Dataset, sigma: f64, device: &Device) -> anyhow::Result<Level> {
    let indices: Vec<usize> = (0..IMAGES.min(dataset.len())).collect();
    let batch = dataset.batch(&indices, device)?;
    let labels = batch.labels.filter(|_| model.config.label_dim != 0);
    let noise = NoiseStream::new(0, STREAM).normal_tensor(0, batch.images.shape(), device)?;
    let levels = Tensor::full(sigma as f32, indices.len(), device)?;
    let noised = Noised::new(batch.images, &levels, &noise)?;
    let denoised = model.network().denoise(&noised.x, &levels, &Conditioning::labels(labels))?;
    let error = (denoised - &noised.x0)?.sqr()?.mean_all()?.to_scalar::<f32>()?;
    let (noise, data) = (sigma * sigma, model.config.sigma_data.powi(2));
    Ok(Level { sigma, error: f64::from(error), trivial: noise * data / (noise + data) })
}

/// Why not; empty for a go.
fn reasons(levels: &[Level], row: &Row, max_fd: f64) -> Vec<String> {
    let mut reasons = Vec::new();
    for Level { sigma, error, trivial } in levels {
        // Beyond the data's own scale every denoiser answers little more than the mean.
        if (error.is_nan() || trivial < error) && *sigma <= 3.0 {
            let worse = format!(
                "at sigma {sigma} its error is {error:.2e}, above the trivial {trivial:.2e}"
            );
            reasons.push(worse);
        }
    }
    if row.report.fd.is_nan() || max_fd < row.report.fd {
        reasons.push(format!("FD is {:.3}, above {max_fd}", row.report.fd));
    }
    reasons
}
