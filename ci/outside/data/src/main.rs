//! A batch of an augmented stream, without downloads or archives: a file that is one is an error which
//! names the feature.

use candle_core::Device;
use uni_instruct_data::{AugmentPipe, Dataset, Error, Labels, Stream, edm_zip};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let labels = Labels::Classes { classes: 2, of_image: vec![0, 1, 1] };
    let dataset = Dataset::new("example", [1, 8, 8], (0..3 * 8 * 8).collect(), labels)?;
    let batch = Stream { dataset: &dataset, seed: 1 }.batch_at(1000, 4, &Device::Cpu)?;
    let (images, parameters) = AugmentPipe::edm(0.12).apply(&batch.images, 1, 1000)?;
    assert_eq!((images.dims(), parameters.dims()), (&[4, 1, 8, 8][..], &[4, 9][..]));
    let archive = [&b"PK\x05\x06"[..], &[0; 18]].concat();
    let archived = "../../assets/fashion-mnist#test".as_ref();
    let errors = [edm_zip::from_bytes(&archive, "x.zip").err(), Dataset::open(archived).err()];
    for error in errors {
        assert!(matches!(error, Some(Error::Disabled { feature: "archives", .. })), "{error:?}");
    }
    println!("data: {:?}", images.shape());
    Ok(())
}
