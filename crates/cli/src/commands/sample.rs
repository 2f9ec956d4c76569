//! `uni-instruct sample`: images from a generator in one evaluation, or from a teacher in many.

use std::{num::NonZeroUsize, path::PathBuf};

use anyhow::Context;
use candle_core::Tensor;
use data::png;
use train::evaluate::Drawing;

use crate::model::Model;
use crate::{inputs, output::say, run_folder};

/// Images in one forward pass.
const BATCH: usize = 64;

/// Arguments of `uni-instruct sample`.
#[derive(clap::Args)]
pub struct Args {
    /// A generator or a teacher: a file, or the name of an embedded one.
    file: String,
    /// How many images.
    #[arg(long, default_value = "50")]
    count: NonZeroUsize,
    /// Seed of the latents: the same seed gives the same images.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Class of all images; without it, classes take turns.
    #[arg(long)]
    class: Option<u32>,
    /// Steps of Heun's sampler, for a teacher: 2 N - 1 evaluations [default: 18].
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1000))]
    steps: Option<u16>,
    /// A PNG (one grid), or a folder (one file an image).
    #[arg(long, default_value = "samples.png")]
    out: PathBuf,
    /// Columns of a grid.
    #[arg(long, default_value_t = 10)]
    columns: usize,
    /// Where it runs: cpu, cuda, cuda:N or metal.
    #[arg(long, default_value = "cpu")]
    device: String,
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let device = inputs::device(&args.device)?;
    let model = Model::load(&args.file, args.steps, &device)?;
    let label_dim = model.config.label_dim;
    if args.class.is_some_and(|class| label_dim <= class as usize) {
        let reason = match label_dim {
            0 => "the network is unconditional; leave out --class".to_owned(),
            k => format!("the network has {k} classes, counted from 0"),
        };
        return Err(train::Error::unusable("--class", reason).into());
    }
    let (count, sample) = (args.count.get(), model.sample_shape());
    let drawing = Drawing {
        seed: args.seed,
        first: 0,
        count,
        batch: BATCH,
        sample: &sample,
        label_dim,
        class: args.class,
        device: &device,
    };
    let images = drawing.batches(model.maker()).collect::<Result<Vec<Tensor>, _>>()?;
    let images = Tensor::cat(&images, 0)?;
    if args.out.extension().is_some_and(|ending| ending == "png") {
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
