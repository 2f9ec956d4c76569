//! A small U-Net as a teacher, sampled.

use candle_core::{DType, Device, Tensor};
use uni_instruct_models::edm::sampler::{SamplerConfig, sample};
use uni_instruct_models::unet::config::SongConfig;
use uni_instruct_models::{Architecture, Conditioning, NetworkConfig};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let song = SongConfig { model_channels: 8, channel_mult: vec![1], ..SongConfig::default() };
    let config = NetworkConfig::new(Architecture::Song(song), 8, 1);
    let network = config.build(&config.init(42)?.frozen())?;
    let latents = Tensor::ones((2, 1, 8, 8), DType::F32, &Device::Cpu)?;
    let heun = SamplerConfig::heun(2);
    let cond = Conditioning::default();
    // The deterministic sampler adds no noise.
    let images = sample(&network, &heun, &latents, &cond, &mut |_, _| unreachable!())?;
    assert_eq!(images.dims(), [2, 1, 8, 8]);
    println!("models: {:?}", images.shape());
    Ok(())
}
