//! `uni-instruct teacher verify`: checks that a teacher is good enough for a distillation.

use std::{borrow::Cow, path::PathBuf};

use candle_core::{Device, Tensor};
use data::Dataset;
use eval::{Images, Plan, Request, Row, Subject};
use kernels::noise::NoiseStream;
use models::{Conditioning, Denoiser, sampling::Model};
use serde::Serialize;
use train::step::Noised;

use crate::{
    console,
    embedded::FASHION_MNIST,
    exit::GateNotMet,
    inputs,
    output::{note, say},
};

/// Noise levels of the denoising errors.
const LEVELS: [f64; 8] = [0.01, 0.05, 0.1, 0.3, 1.0, 3.0, 10.0, 40.0];
/// Images of the denoising errors.
const IMAGES: usize = 200;
/// Stream of the noise, which no run uses.
const STREAM: u32 = 0x5645_5249;

/// Arguments of `uni-instruct teacher verify`.
#[derive(clap::Args)]
pub struct Args {
    /// A teacher: a file, or the name of an embedded network.
    file: String,
    /// Real images.
    #[arg(long, default_value = FASHION_MNIST)]
    data: String,
    /// Number of images to sample for the Fréchet distance.
    #[arg(long, default_value_t = 500)]
    count: usize,
    /// Feature network: a file, `inception` for FID, or `embedded`, the network of Fashion-MNIST
    /// [default: embedded].
    #[arg(long)]
    features: Option<PathBuf>,
    /// Largest Fréchet distance of the teacher's samples for a go.
    #[arg(long, default_value_t = 10.0, value_parser = inputs::not_negative)]
    max_fd: f64,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Device: cpu, cuda, cuda:N or metal.
    #[arg(long, default_value = "cpu")]
    device: String,
}

/// Denoising error at a noise level, and the error of trivial denoisers.
#[derive(Serialize)]
struct Level {
    sigma: f64,
    /// Mean squared error per element.
    error: f64,
    /// Mean squared error of the best linear denoiser of a normal distribution with the data's scale:
    /// `σ² σ_data² / (σ² + σ_data²)`.
    trivial: f64,
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<()> {
    eval::check_count("--count", args.count)?;
    let device = inputs::device(&args.device)?;
    let (file, hash) = inputs::teacher(&args.file)?;
    let model = inputs::model(&args.file, None, &device)?;
    let dataset = inputs::dataset_for(&model.config, &args.data)?;
    let extractor = inputs::extractor(args.features.as_deref())?;
    let plan = Plan::resolve(Request {
        real: Some(Images { name: &args.data, dataset: Cow::Borrowed(&dataset) }),
        cache: inputs::feature_cache(),
        ..Request::new(Subject::model(&model, 0, args.count), &*extractor, &device)
    })?;
    let levels = LEVELS
        .iter()
        .map(|&sigma| level(&model, &dataset, sigma, &device))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let rows = plan.run(&mut console::evaluation())?;
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
        say!("\n{}", eval::table(&rows))?;
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

/// Reasons against a distillation; empty for a go.
fn reasons(levels: &[Level], row: &Row, max_fd: f64) -> Vec<String> {
    let mut reasons = Vec::new();
    for Level { sigma, error, trivial } in levels {
        // Above the data's scale every denoiser returns little more than the mean.
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
