//! `uni-instruct eval`: figures of one file against real images, with gates.

use std::{fmt, path::PathBuf, str::FromStr};

use candle_core::Device;
use models::{Network, NetworkConfig};
use train::evaluate::{Maker, Row};

use crate::{exit::GateNotMet, inputs, judge, output::say};

/// Arguments of `uni-instruct eval`.
#[derive(clap::Args)]
pub struct Args {
    /// A generator or a teacher: a file, or the name of an embedded one.
    file: String,
    /// Real images.
    #[arg(long, default_value = inputs::FASHION_MNIST)]
    data: String,
    /// Images to make.
    #[arg(long, default_value_t = 1000)]
    count: usize,
    /// Seed of the latents.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Steps of Heun's sampler, for a teacher: 2 N - 1 evaluations [default: 18].
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1000))]
    steps: Option<u16>,
    /// Feature network; without it, the embedded one of Fashion-MNIST.
    #[arg(long)]
    features: Option<PathBuf>,
    /// Exit with 6 unless it holds, as in `fid<5` or `recall>0.4`.
    #[arg(long, value_name = "FIGURE<NUMBER")]
    require: Vec<Gate>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Where it runs: cpu, cuda, cuda:N or metal.
    #[arg(long, default_value = "cpu")]
    device: String,
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<()> {
    judge::check_count("--count", args.count)?;
    let device = inputs::device(&args.device)?;
    let model = Model::load(&args.file, args.steps, &device)?;
    let dataset = inputs::dataset_for(&model.config, &args.data)?;
    train::assemble::check_data(&model.config, &dataset, &args.data)?;
    let extractor = inputs::extractor(args.features.as_deref())?;
    let judge = judge::Judge::new(&dataset, &*extractor, args.count, &device)?;
    let sample = model.sample_shape();
    let drawing = judge.drawing(args.seed, &sample, model.config.label_dim);
    let rows = judge.rows(&[(model.name(), model.maker())], &drawing)?;
    match args.json {
        true => say!("{}", serde_json::to_string_pretty(&rows)?)?,
        false => say!("{}", judge::table(&rows))?,
    }
    args.require.iter().try_for_each(|gate| gate.check(&rows[0]))
}

/// A network that makes images, told apart by its file.
pub struct Model {
    /// What it is.
    pub config: NetworkConfig,
    network: Network,
    /// Level of a generator's input; `None` for a teacher.
    sigma_init: Option<f64>,
    steps: usize,
}

impl Model {
    /// Reads a file; a teacher will take these steps, 18 if not told.
    ///
    /// # Errors
    ///
    /// If the file is not usable, or steps are given for a generator, which takes one evaluation.
    pub fn load(name: &str, steps: Option<u16>, device: &Device) -> anyhow::Result<Self> {
        let (file, _) = inputs::network(name)?;
        let sigma_init = file.provenance.entries.get(judge::SIGMA_INIT);
        let sigma_init = sigma_init.map(|text| level(name, text)).transpose()?;
        if sigma_init.is_some() && steps.is_some() {
            let reason = "a one-step generator takes one evaluation; leave it out";
            return Err(train::Error::unusable("--steps", reason).into());
        }
        let network = file.config.build(&file.params.to_device(device)?.frozen())?;
        let steps = steps.unwrap_or(DEFAULT_STEPS).into();
        Ok(Self { config: file.config, network, sigma_init, steps })
    }

    /// As a maker of images.
    pub fn maker(&self) -> Maker<'_> {
        match self.sigma_init {
            Some(sigma_init) => Maker::OneStep { generator: &self.network, sigma_init },
            None => Maker::Heun { teacher: &self.network, steps: self.steps },
        }
    }

    /// The network itself.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// What it is called in a table.
    pub fn name(&self) -> &'static str {
        if self.sigma_init.is_some() { "student" } else { "teacher" }
    }

    /// Shape of one image.
    pub fn sample_shape(&self) -> [usize; 3] {
        [self.config.img_channels, self.config.img_resolution, self.config.img_resolution]
    }
}

/// Steps of a teacher's sampler: 35 evaluations, EDM's for 32x32.
const DEFAULT_STEPS: u16 = 18;

/// A generator's input level, as its file tells it.
fn level(name: &str, text: &str) -> Result<f64, models::Error> {
    let number: Option<f64> = text.parse().ok();
    number.filter(|it| it.is_finite() && 0.0 < *it).ok_or_else(|| {
        let expected = "a positive number".to_owned();
        let fault =
            models::Error::Metadata { key: judge::SIGMA_INIT, expected, found: text.to_owned() };
        fault.in_file(name)
    })
}

/// A bound on a figure.
#[derive(Clone, Debug)]
struct Gate {
    figure: String,
    below: bool,
    bound: f64,
}

/// The Fréchet distance of Inception's features, which `--features inception` makes; of others it has
/// no value.
const FID: &str = "fid";

impl FromStr for Gate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let at = text.find(['<', '>']).ok_or("expected a figure, < or >, and a number")?;
        let (figure, rest) = text.split_at(at);
        let bound = rest[1..].trim().parse().map_err(|_| format!("`{}`: no number", &rest[1..]))?;
        let figure = figure.trim().to_owned();
        const FIGURES: [&str; 8] =
            ["fd", FID, "kid", "precision", "recall", "density", "coverage", "accuracy"];
        match FIGURES.contains(&figure.as_str()) {
            true => Ok(Self { figure, below: rest.starts_with('<'), bound }),
            false => Err(format!("no figure `{figure}`; there are {}", FIGURES.join(", "))),
        }
    }
}

impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}{}", self.figure, if self.below { '<' } else { '>' }, self.bound)
    }
}

impl Gate {
    fn check(&self, row: &Row) -> anyhow::Result<()> {
        let report = serde_json::to_value(&row.report)?;
        let figure = match self.figure.as_str() {
            FID if judge::is_fid(&row.report) => "fd",
            figure => figure,
        };
        let found = report[figure].as_f64();
        let holds = |found| if self.below { found < self.bound } else { self.bound < found };
        match found {
            Some(found) if holds(found) => Ok(()),
            Some(found) => Err(GateNotMet(format!("required {self}, measured {found}")).into()),
            None => Err(GateNotMet(format!("required {self}, which has no value here")).into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Gate;

    #[test]
    fn gates_read_and_print() {
        for (text, expected) in [("fid<5", Some("fid<5")), (" recall > 0.4", Some("recall>0.4"))] {
            assert_eq!(text.parse::<Gate>().ok().map(|it| it.to_string()).as_deref(), expected);
        }
        for text in ["fd", "fidd<5", "fd<x", "<5"] {
            assert!(text.parse::<Gate>().is_err(), "{text}");
        }
    }
}
