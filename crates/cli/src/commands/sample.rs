//! `uni-instruct sample`: images of a generator or a teacher.

use std::{num::NonZeroUsize, path::PathBuf};

use anyhow::Context;
use candle_core::Tensor;
use data::png;
use models::sampling::{MAX_COUNT, SampleSpec};

use crate::{inputs, output::say, run_folder, usage::Usage};

/// Arguments of `uni-instruct sample`.
#[derive(clap::Args)]
pub struct Args {
    /// A generator or a teacher: a file, or the name of an embedded network.
    file: String,
    /// Number of images.
    #[arg(long, default_value = "50")]
    count: NonZeroUsize,
    /// Seed of the latents; the same seed gives the same images.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Class of all images; without it, classes alternate.
    #[arg(long)]
    class: Option<u32>,
    /// Steps of an image [default: 18 of a teacher, all of a generator]. A teacher has Heun's sampler:
    /// N steps take 2 N - 1 network evaluations. A generator takes one evaluation for each step, and at
    /// most as many steps as it was trained for.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1000))]
    steps: Option<u16>,
    /// A PNG file, with all images in a grid, or a folder, with one file per image.
    #[arg(long, default_value = "samples.png")]
    out: PathBuf,
    /// Columns of the grid.
    #[arg(long, default_value_t = 10)]
    columns: usize,
    /// Device: cpu, cuda, cuda:N or metal.
    #[arg(long, default_value = "cpu")]
    device: String,
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let device = inputs::device(&args.device)?;
    let model = inputs::model(&args.file, args.steps, &device)?;
    let label_dim = model.config.label_dim;
    if args.class.is_some_and(|class| label_dim <= class as usize) {
        let reason = match label_dim {
            0 => "the network is unconditional; leave out --class".to_owned(),
            k => format!("the network has {k} classes; give a number from 0 to {}", k - 1),
        };
        return Err(Usage::new("--class", reason).into());
    }
    let count = args.count.get();
    if MAX_COUNT < count {
        let reason = format!("{count} are too many; give at most {MAX_COUNT}");
        return Err(Usage::new("--count", reason).into());
    }
    let spec = SampleSpec { seed: args.seed, class: args.class, ..model.spec(count) };
    let images = spec.batches(model.sampler()).collect::<candle_core::Result<Vec<Tensor>>>()?;
    let images = Tensor::cat(&images, 0)?;
    if args.out.extension().is_some_and(|extension| extension == "png") {
        run_folder::replace(&args.out, &png::grid(&images, args.columns)?)?;
    } else {
        let fault = || format!("{}: cannot write", args.out.display());
        std::fs::create_dir_all(&args.out).with_context(fault)?;
        for i in 0..count {
            let path = args.out.join(format!("{i:06}.png"));
            run_folder::replace(&path, &png::grid(&images.narrow(0, i, 1)?, 1)?)?;
        }
    }
    say!("{}", args.out.display())?;
    Ok(())
}
