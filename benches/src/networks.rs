//! The networks of the benchmarks.

use models::unet::config::{DhariwalConfig, SongConfig};
use models::{Architecture, NetworkConfig};

/// A small DDPM++ for CPUs: 32 channels, 1.75 M parameters.
pub fn small(img_channels: usize, resolution: usize) -> NetworkConfig {
    ddpmpp(img_channels, resolution, 32)
}

/// DDPM++ of three levels with two blocks each, and attention at 16×16.
pub fn ddpmpp(img_channels: usize, resolution: usize, model_channels: usize) -> NetworkConfig {
    let song = SongConfig {
        model_channels,
        channel_mult: vec![1, 2, 2],
        num_blocks: 2,
        attn_resolutions: vec![16],
        dropout: 0.0,
        ..SongConfig::default()
    };
    NetworkConfig::new(Architecture::Song(song), resolution, img_channels)
}

/// EDM's DDPM++ for CIFAR-10, without dropout and augmentation labels.
pub fn cifar10() -> NetworkConfig {
    let song = SongConfig { dropout: 0.0, ..SongConfig::default() };
    NetworkConfig::new(Architecture::Song(song), 32, 3)
}

/// EDM's ADM for ImageNet at 64×64, with one block per level instead of three, without labels.
pub fn imagenet64_shallow() -> NetworkConfig {
    let adm = DhariwalConfig { num_blocks: 1, dropout: 0.0, ..DhariwalConfig::default() };
    NetworkConfig::new(Architecture::Dhariwal(adm), 64, 3)
}
