//! `uni-instruct eval`: metrics of a network or of images against real images, with gates.

use std::{
    borrow::Cow,
    path::{Path, PathBuf},
    time::Instant,
};

use data::Dataset;
use eval::{EvalProtocol, Gate, Images, Plan, Quoted, Request, Subject, metric_log};
use models::sampling::Model;

use crate::{
    console,
    embedded::FASHION_MNIST,
    inputs,
    output::{note, say},
    run_folder,
    usage::Usage,
};

/// Arguments of `uni-instruct eval`.
#[derive(clap::Args)]
pub struct Args {
    /// A generator or a teacher, by file or embedded name; with --images, a set of images.
    file: String,
    /// Evaluate existing images, in any format that `dataset check` reads.
    #[arg(long, conflicts_with_all = ["count", "seed", "steps", "protocol"])]
    images: bool,
    /// Real images [default: fashion-mnist; with --reference, none].
    #[arg(long)]
    data: Option<String>,
    /// Statistics of real images for the Fréchet distances, from `ref-stats write` or another program.
    #[arg(long, value_name = "FILE.npz")]
    reference: Option<PathBuf>,
    /// Training images of the network, to detect copies; --data must then hold other images.
    #[arg(long, value_name = "DATA")]
    training: Option<String>,
    /// Picture to write: the images nearest to a training image, each above that image.
    #[arg(long, value_name = "FILE.png", requires = "training")]
    pairs: Option<PathBuf>,
    /// Number of images to sample.
    #[arg(long, default_value_t = 1000)]
    count: usize,
    /// Seed of the latents.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Steps of a teacher's sampler, Heun's method; N steps take 2 N - 1 network evaluations
    /// [default: 18].
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1000))]
    steps: Option<u16>,
    /// Sample several times and report the metrics as a paper does.
    #[arg(long, value_enum)]
    protocol: Option<ProtocolName>,
    /// Resamples for confidence intervals; 0 for no intervals [default: 100; with inception, 20].
    #[arg(long)]
    bootstrap: Option<usize>,
    /// Feature network: a file, `inception` for FID, or `embedded`, the network of Fashion-MNIST
    /// [default: embedded].
    #[arg(long)]
    features: Option<PathBuf>,
    /// Exit with code 6 unless the bound holds, as in `fid<5` or `recall>0.4`.
    #[arg(long, value_name = "METRIC<NUMBER")]
    require: Vec<Gate>,
    /// Folder whose `metric-NAME.jsonl` gets a line.
    #[arg(long, value_name = "FOLDER")]
    log: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Device: cpu, cuda, cuda:N or metal.
    #[arg(long, default_value = "cpu")]
    device: String,
}

/// Protocols of papers.
#[derive(Clone, Copy, clap::ValueEnum)]
enum ProtocolName {
    /// Three sets of latents; the metrics of the set with the lowest Fréchet distance (Karras et al.
    /// 2022, arXiv:2206.00364, appendix F.1).
    Edm,
    /// Ten sets of latents; mean and standard deviation of every metric (Zhou et al. 2024,
    /// arXiv:2404.04057).
    Sid,
}

impl From<ProtocolName> for EvalProtocol {
    fn from(name: ProtocolName) -> Self {
        match name {
            ProtocolName::Edm => Self::Edm,
            ProtocolName::Sid => Self::Sid,
        }
    }
}

/// Subsets for the kernel distance, as in public tools.
const KID_SUBSETS: usize = 100;

/// The evaluated network or images.
enum Evaluated {
    Network(Box<Model>),
    Images(Dataset),
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let begun = Instant::now();
    let data = data(args)?;
    let device = inputs::device(&args.device)?;
    let evaluated = if args.images {
        Evaluated::Images(inputs::dataset(&args.file)?)
    } else {
        eval::check_count("--count", args.count)?;
        Evaluated::Network(Box::new(inputs::model(&args.file, args.steps, &device)?))
    };
    let subject = match &evaluated {
        Evaluated::Network(model) => Subject::model(model, args.seed, args.count),
        Evaluated::Images(dataset) => Subject::Images(Cow::Borrowed(dataset)),
    };
    let extractor = inputs::extractor(args.features.as_deref())?;
    let protocol = args.protocol.map(EvalProtocol::from);
    let plan = Plan::resolve(Request {
        real: data.map(images).transpose()?,
        statistics: args.reference.as_deref(),
        training: args.training.as_deref().map(images).transpose()?,
        protocol,
        replicates: args.bootstrap,
        kid_subsets: KID_SUBSETS,
        cache: inputs::feature_cache(),
        ..Request::new(subject, &*extractor, &device)
    })?;
    let rows = plan.run(&mut console::evaluation())?;
    let quoted = Quoted::of(protocol, &rows);
    if args.json {
        let facts = serde_json::json!({ "rows": rows, "quoted": quoted });
        say!("{}", serde_json::to_string_pretty(&facts)?)?;
    } else {
        say!("{}", eval::table(&rows))?;
        match &rows[..] {
            [row] => say!("{}", eval::list(&row.report))?,
            _ => say!("{}", quoted.text())?,
        }
    }
    let report = &rows[0].report;
    if let Some(folder) = &args.log {
        let (value, seconds) = (quoted.metrics["fd"], begun.elapsed().as_secs_f64());
        metric_log::append(folder, report, value, seconds, &args.file, &device)?;
    }
    if let Some(path) = &args.pairs {
        write_pairs(path, plan.nearest_pairs(report)?)?;
    }
    for gate in &args.require {
        gate.check(&quoted.metrics)?;
    }
    Ok(())
}

/// Name of the real images; checks the options that one can check without reading a file.
fn data(args: &Args) -> Result<Option<&str>, Usage> {
    if args.bootstrap == Some(1) {
        let reason = "one resample has no spread; give 2 or more, or 0 for no intervals";
        return Err(Usage::new("--bootstrap 1", reason));
    }
    let default = args.reference.is_none().then_some(FASHION_MNIST);
    let data = args.data.as_deref().or(default);
    if args.training.is_some() && data.is_none() {
        let reason = "the comparison needs images that the network was not trained on as well; \
                      give them as --data";
        return Err(Usage::new("--training", reason));
    }
    Ok(data)
}

fn images(name: &str) -> anyhow::Result<Images<'_>> {
    Ok(Images { name, dataset: Cow::Owned(inputs::dataset(name)?) })
}

fn write_pairs(path: &Path, picture: Option<Vec<u8>>) -> anyhow::Result<()> {
    let Some(picture) = picture else { return Ok(()) };
    run_folder::replace(path, &picture)?;
    note!("{}: images nearest to a training image, each above that image", path.display());
    Ok(())
}
