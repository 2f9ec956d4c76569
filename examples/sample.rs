//! Samples images from a generator into a PNG file, with the crates `models` and `data` alone.
//!
//! ```sh
//! cargo run --release --bin sample -- [NETWORK.safetensors] [OUT.png]
//! ```

use std::error::Error;

use candle_core::{Device, Tensor};
use data::png;
use models::{
    NetworkFile,
    sampling::{Model, SampleSpec},
};

/// The one-step generator of Fashion-MNIST in this repository.
const STUDENT: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../assets/fashion-mnist-student/network.safetensors");

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let path = args.next().unwrap_or_else(|| STUDENT.to_owned());
    let out = args.next().unwrap_or_else(|| "samples.png".to_owned());

    // A teacher works as well: `Model` then samples with Heun's method in `model.steps` steps.
    let model = Model::new(NetworkFile::load(&path)?, &Device::Cpu)?;

    // Three rows of ten images. Classes alternate, so each column has one class.
    let spec = SampleSpec { seed: 7, ..model.spec(30) };
    let batches: Vec<Tensor> = spec.batches(model.sampler()).collect::<Result<_, _>>()?;
    let images = Tensor::cat(&batches, 0)?;

    std::fs::write(&out, png::grid(&images, 10)?)?;
    println!("{out}: {} images in {} evaluation each", spec.count, model.sampler().evaluations());
    Ok(())
}
