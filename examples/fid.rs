//! Fréchet distance between two sets of images.
//!
//! ```sh
//! cargo run --release --bin fid -- REAL GENERATED [FEATURES]
//! ```
//!
//! REAL and GENERATED are folders of PNG files, or any other format that `data::Dataset` reads.
//! FEATURES is the file of a feature network. With Inception's file, which
//! `uni-instruct dataset fetch inception` downloads, the result is the FID of the literature.

use std::{borrow::Cow, error::Error, path::Path};

use candle_core::Device;
use data::Dataset;
use eval::{Images, Plan, Request, Subject};
use metrics::{FeatureExtractor, FeatureNetFile, Inception};
use pickle::FileBytes;

/// The feature network of Fashion-MNIST in this repository.
const FEATURES: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../assets/fashion-mnist-features/network.safetensors");

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (real, generated, features) = match args.as_slice() {
        [real, generated] => (real, generated, FEATURES),
        [real, generated, features] => (real, generated, features.as_str()),
        _ => return Err("usage: fid REAL GENERATED [FEATURES]".into()),
    };
    let open = |path| Dataset::open(Path::new(path));
    let extractor = extractor(features)?;

    // The plan pads the images to the size of the network, and checks both sets.
    let plan = Plan::resolve(Request {
        real: Some(Images { name: real, dataset: Cow::Owned(open(real)?) }),
        ..Request::new(Subject::Images(Cow::Owned(open(generated)?)), &*extractor, &Device::Cpu)
    })?;
    let rows = plan.run(&mut |event| eprintln!("{event:?}"))?;

    let report = &rows[0].report;
    let name = if eval::is_fid(report) { "FID" } else { "FD" };
    println!("{name} {:.4} on features of {}", report.fd, report.extractor.name);
    println!("{}", eval::list(report));
    Ok(())
}

fn extractor(path: &str) -> Result<Box<dyn FeatureExtractor>, Box<dyn Error>> {
    let bytes = FileBytes::read(Path::new(path))?;
    if Inception::is_in(&bytes) {
        return Ok(Box::new(Inception::of_file(&bytes)?));
    }
    Ok(Box::new(FeatureNetFile::from_bytes(path, bytes.bytes())?.extractor()?))
}
