//! Metrics of images against other images, with a feature network of the caller.

use std::borrow::Cow;

use candle_core::{Device, Tensor};
use uni_instruct_eval::{
    Images, Plan, Request, Subject,
    data::{Dataset, Labels},
    metrics::{self, Extracted, FeatureExtractor},
};

/// A feature network: the pixels themselves.
struct Pixels;

impl FeatureExtractor for Pixels {
    fn name(&self) -> &str {
        "pixels"
    }

    fn hash(&self) -> &str {
        "none"
    }

    fn dim(&self) -> usize {
        4
    }

    fn image_shape(&self) -> Option<[usize; 3]> {
        None
    }

    fn extract(&self, images: &Tensor) -> metrics::Result<Extracted> {
        Ok(Extracted { features: images.flatten_from(1)?, spatial: None, logits: None })
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let set = |step: usize| {
        let pixels = (0..4 * 12).map(|at| (at * step % 251) as u8).collect();
        Dataset::new("pixels", [1, 2, 2], pixels, Labels::None).map(Cow::Owned)
    };
    let plan = Plan::resolve(Request {
        real: Some(Images { name: "real", dataset: set(37)? }),
        ..Request::new(Subject::Images(set(53)?), &Pixels, &Device::Cpu)
    })?;
    let rows = plan.run(&mut |_| ())?;
    assert!(0.0 < rows[0].report.fd);
    println!("eval: Fréchet distance {:.4}", rows[0].report.fd);
    Ok(())
}
