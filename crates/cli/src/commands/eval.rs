//! `uni-instruct eval`: figures of one network, or of images, against real images, with gates.

use std::{path::PathBuf, time::Instant};

use anyhow::Context;
use candle_core::{Device, Tensor};
use data::{Dataset, png};
use metrics::{FeatureExtractor, NearestPair};
use train::evaluate::{Drawing, Row};

use crate::{
    figures::{self, Gate},
    inputs,
    judge::{self, Against, Judge},
    metric_log,
    model::Model,
    output::{note, say},
    protocol::{Protocol, Quoted},
    run_folder,
};

/// Arguments of `uni-instruct eval`.
#[derive(clap::Args)]
pub struct Args {
    /// A generator or a teacher, by file or embedded name; or, with --images, images.
    file: String,
    /// What is judged are images that are there already: any form that `dataset check` reads.
    #[arg(long, conflicts_with_all = ["count", "seed", "steps", "protocol"])]
    images: bool,
    /// Real images [default: fashion-mnist, or none beside --reference].
    #[arg(long)]
    data: Option<String>,
    /// Statistics of real images, by `ref-stats write` or other tools, to take distances from.
    #[arg(long, value_name = "FILE.npz")]
    reference: Option<PathBuf>,
    /// Images that the network was trained on; --data must be others. Tells whether it repeats them.
    #[arg(long, value_name = "DATA")]
    training: Option<String>,
    /// Picture to write of the images that are nearest to a training image, above that one.
    #[arg(long, value_name = "FILE.png", requires = "training")]
    pairs: Option<PathBuf>,
    /// Images to make.
    #[arg(long, default_value_t = 1000)]
    count: usize,
    /// Seed of the latents.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Steps of Heun's sampler, for a teacher: 2 N - 1 evaluations [default: 18].
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1000))]
    steps: Option<u16>,
    /// Make the images several times, as papers do, and quote the figures as they do.
    #[arg(long, value_enum)]
    protocol: Option<Protocol>,
    /// Resamples for confidence intervals; 0 for none [default: 100; of Inception's features, 20].
    #[arg(long)]
    bootstrap: Option<usize>,
    /// Feature network: a file, or `inception` for FID; without it, the embedded one of
    /// Fashion-MNIST.
    #[arg(long)]
    features: Option<PathBuf>,
    /// Exit with 6 unless it holds, as in `fid<5` or `recall>0.4`.
    #[arg(long, value_name = "FIGURE<NUMBER")]
    require: Vec<Gate>,
    /// Folder to append a line to, in its `metric-NAME.jsonl`.
    #[arg(long, value_name = "FOLDER")]
    log: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Where it runs: cpu, cuda, cuda:N or metal.
    #[arg(long, default_value = "cpu")]
    device: String,
}

/// Subsets for the kernel distance, as public tools have it.
const KID_SUBSETS: usize = 100;

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let begun = Instant::now();
    if args.bootstrap == Some(1) {
        let reason = "one resample has no spread; give 2 or more, or 0 for no intervals";
        return Err(train::Error::unusable("--bootstrap 1", reason).into());
    }
    let device = inputs::device(&args.device)?;
    let subject = if args.images {
        Subject::Images(inputs::dataset(&args.file)?)
    } else {
        judge::check_count("--count", args.count)?;
        Subject::Network(Box::new(Model::load(&args.file, args.steps, &device)?))
    };
    let extractor = inputs::extractor(args.features.as_deref())?;
    let subject = subject.fitting(&*extractor)?;
    let named = args.data.as_deref();
    let name = named.or(args.reference.is_none().then_some(inputs::FASHION_MNIST));
    let real = name.map(|name| subject.dataset(name)).transpose()?;
    let training = args.training.as_deref().map(|name| subject.dataset(name));
    let training = match (training.transpose()?, &real) {
        (Some(training), Some(real)) => Some(training.thin(real.len())?),
        (Some(_), None) => {
            let reason = "it takes images that were not trained on, too: give them as --data";
            return Err(train::Error::unusable("--training", reason).into());
        }
        (None, _) => None,
    };
    let against = Against {
        data: name.zip(real.as_ref()),
        statistics: args.reference.as_deref(),
        training: training.as_ref(),
        replicates: args.bootstrap,
        kid_subsets: KID_SUBSETS,
    };
    let count = subject.count(args);
    let judge = Judge::new(against, &*extractor, count, &device)?;
    let rows = match &subject {
        Subject::Images(dataset) => vec![judge.row_of_images("images", dataset)?],
        Subject::Network(model) => trials(args, model, &judge)?,
    };
    let quoted = Quoted::of(args.protocol, &rows);
    if args.json {
        let facts = serde_json::json!({ "rows": rows, "quoted": quoted });
        say!("{}", serde_json::to_string_pretty(&facts)?)?;
    } else {
        say!("{}", judge::table(&rows))?;
        match &rows[..] {
            [row] => say!("{}", figures::list(&row.report))?,
            _ => say!("{}", quoted.text())?,
        }
    }
    if let Some(folder) = &args.log {
        let (value, seconds) = (quoted.figures["fd"], begun.elapsed().as_secs_f64());
        metric_log::append(folder, &rows[0].report, value, seconds, &args.file, &device)?;
    }
    if let (Some(path), Some(training)) = (&args.pairs, &training) {
        let nearest = rows[0].report.memorization.iter().flat_map(|it| &it.nearest);
        let picture = pairs(args, &subject, &judge, training, nearest.copied().collect())?;
        run_folder::replace(path, &picture)?;
        note!("{}: nearest to a training image, above that image", path.display());
    }
    args.require.iter().try_for_each(|gate| gate.check(&quoted.figures))
}

/// What is judged.
enum Subject {
    Network(Box<Model>),
    Images(Dataset),
}

impl Subject {
    /// Images at the size that the feature network takes.
    fn fitting(self, extractor: &dyn FeatureExtractor) -> anyhow::Result<Self> {
        Ok(match self {
            Self::Images(dataset) => Self::Images(judge::fitting(dataset, extractor)?),
            network => network,
        })
    }

    /// A data set to compare with, of the size that it is compared at.
    fn dataset(&self, name: &str) -> anyhow::Result<Dataset> {
        match self {
            Self::Network(model) => {
                let dataset = inputs::dataset_for(&model.config, name)?;
                train::assemble::check_data(&model.config, &dataset, name)?;
                Ok(dataset)
            }
            Self::Images(images) => {
                let [_, side, _] = images.shape();
                let dataset = judge::pad_to(inputs::dataset(name)?, side)?;
                let [_, found, _] = dataset.shape();
                if found != side {
                    let reason = format!(
                        "its images have {found} pixels a side, those that are judged {side}: figures \
                         would be of the sizes; bring them to one size first"
                    );
                    return Err(train::Error::unusable(format!("data `{name}`"), reason).into());
                }
                Ok(dataset)
            }
        }
    }

    fn count(&self, args: &Args) -> usize {
        match self {
            Self::Network(_) => args.count,
            Self::Images(dataset) => dataset.len(),
        }
    }
}

/// A row a trial, each of latents of its own.
fn trials(args: &Args, model: &Model, judge: &Judge<'_>) -> anyhow::Result<Vec<Row>> {
    let sample = model.sample_shape();
    let drawing = judge.drawing(args.seed, &sample, model.config.label_dim);
    let Some(protocol) = args.protocol else {
        return judge.rows(&[(model.name(), model.maker())], &drawing);
    };
    let mut rows = Vec::new();
    for trial in 0..protocol.trials() {
        let name = format!("{}, trial {}", model.name(), trial + 1);
        let drawing = Drawing { first: trial * args.count, ..drawing.clone() };
        rows.extend(judge.rows(&[(&name, model.maker())], &drawing)?);
    }
    Ok(rows)
}

/// The images of these pairs, made again, in a row above the training images.
fn pairs(
    args: &Args,
    subject: &Subject,
    judge: &Judge<'_>,
    training: &Dataset,
    pairs: Vec<NearestPair>,
) -> anyhow::Result<Vec<u8>> {
    let device = &Device::Cpu;
    let indices: Vec<usize> = pairs.iter().map(|it| it.training).collect();
    let below = training.batch(&indices, device)?.images;
    let above = match subject {
        Subject::Images(dataset) => {
            let indices: Vec<usize> = pairs.iter().map(|it| it.generated).collect();
            dataset.batch(&indices, device)?.images
        }
        Subject::Network(model) => {
            let sample = model.sample_shape();
            let drawing = judge.drawing(args.seed, &sample, model.config.label_dim);
            let again = |pair: &NearestPair| -> anyhow::Result<Tensor> {
                let at = pair.generated;
                Ok(drawing.images(model.maker(), at, at + 1)?.to_device(device)?)
            };
            Tensor::cat(&pairs.iter().map(again).collect::<anyhow::Result<Vec<_>>>()?, 0)?
        }
    };
    let images = Tensor::cat(&[above, below], 0)?;
    png::grid(&images, pairs.len()).context("picture of the nearest pairs")
}
