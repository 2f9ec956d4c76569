//! The Fréchet distance of two sets of images.

use std::borrow::Cow;

use candle_core::Device;
use data::{Dataset, Labels};
use metrics::{FeatureNet, FeatureNetFile};
use uni_instruct_eval::{Images, Plan, Request, Subject};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let set = |level: u8| {
        let pixels = (0..8 * 32 * 32).map(|at| level.wrapping_add((at % 97) as u8)).collect();
        Dataset::new("a set", [1, 32, 32], pixels, Labels::None)
    };
    let (real, evaluated) = (set(10)?, set(90)?);
    let params = FeatureNet::init(1)?;
    let file = FeatureNetFile { params, accuracy: 0.1, provenance: Default::default() };
    let extractor = file.extractor()?;
    let plan = Plan::resolve(Request {
        real: Some(Images { name: "real", dataset: Cow::Owned(real) }),
        ..Request::new(Subject::Images(Cow::Owned(evaluated)), &extractor, &Device::Cpu)
    })?;
    let rows = plan.run(&mut |_| ())?;
    println!("eval:\n{}", uni_instruct_eval::table(&rows));
    Ok(())
}
