//! The options of EDM's two architectures, under the names of the EDM code base.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use kernels::Filter;

/// Embedding of the noise level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Embedding {
    /// Sines and cosines at geometric frequencies (DDPM++).
    Positional,
    /// Sines and cosines at random frequencies, never trained (NCSN++).
    Fourier,
}

/// Additional input of the encoder's levels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Encoder {
    /// Nothing.
    Standard,
    /// The downsampled image, through a 1×1 convolution.
    Skip,
    /// The downsampled features of the level above, through a convolution (NCSN++).
    Residual,
}

/// Resolutions at which the decoder has an output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Decoder {
    /// At the full resolution only.
    Standard,
    /// At every resolution, upsampled and summed.
    Skip,
}

/// The filter of up- and downsampling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ResampleFilter {
    /// `[1, 1]` (DDPM++, ADM).
    Box,
    /// `[1, 3, 3, 1]` (NCSN++).
    Tent,
}

impl From<ResampleFilter> for Filter {
    fn from(filter: ResampleFilter) -> Self {
        match filter {
            ResampleFilter::Box => Self::Box,
            ResampleFilter::Tent => Self::Tent,
        }
    }
}

/// Options of EDM's `SongUNet`: DDPM++ and NCSN++ (Song et al. 2021, arXiv:2011.13456, as
/// reimplemented by Karras et al. 2022, arXiv:2206.00364, App. F).
///
/// The default is EDM's DDPM++ for CIFAR-10.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SongConfig {
    /// Channels at the full resolution, before `channel_mult`.
    pub model_channels: usize,
    /// Channels of each level in units of `model_channels`; its length is the number of levels.
    pub channel_mult: Vec<usize>,
    /// Channels of the conditioning vector, in units of `model_channels`.
    pub channel_mult_emb: usize,
    /// Residual blocks of each level.
    pub num_blocks: usize,
    /// Resolutions with self-attention.
    pub attn_resolutions: Vec<usize>,
    /// Probability of dropping an activation while training.
    pub dropout: f64,
    /// Probability of dropping a sample's label while training.
    pub label_dropout: f64,
    /// Embedding of the noise level.
    pub embedding_type: Embedding,
    /// Channels of the noise embedding, in units of `model_channels`.
    pub channel_mult_noise: usize,
    /// Additional input of the encoder's levels.
    pub encoder_type: Encoder,
    /// Resolutions at which the decoder has an output.
    pub decoder_type: Decoder,
    /// The filter of up- and downsampling.
    pub resample_filter: ResampleFilter,
}

impl Default for SongConfig {
    fn default() -> Self {
        Self {
            model_channels: 128,
            channel_mult: vec![2, 2, 2],
            channel_mult_emb: 4,
            num_blocks: 4,
            attn_resolutions: vec![16],
            dropout: 0.13,
            label_dropout: 0.0,
            embedding_type: Embedding::Positional,
            channel_mult_noise: 1,
            encoder_type: Encoder::Standard,
            decoder_type: Decoder::Standard,
            resample_filter: ResampleFilter::Box,
        }
    }
}

impl SongConfig {
    /// EDM's NCSN++ for CIFAR-10.
    pub fn ncsnpp() -> Self {
        Self {
            embedding_type: Embedding::Fourier,
            channel_mult_noise: 2,
            encoder_type: Encoder::Residual,
            resample_filter: ResampleFilter::Tent,
            ..Self::default()
        }
    }

    pub(crate) fn validate(&self, resolution: usize) -> Result<()> {
        check_positive("channel_mult_noise", self.channel_mult_noise)?;
        let noise = self.model_channels.saturating_mul(self.channel_mult_noise);
        if !noise.is_multiple_of(2) || noise < 4 {
            let reason = format!("{noise} noise channels are not an even number of at least 4");
            return Err(Error::Option { option: "model_channels", reason });
        }
        check_shared(Shared {
            resolution,
            model_channels: self.model_channels,
            channel_mult: &self.channel_mult,
            channel_mult_emb: self.channel_mult_emb,
            num_blocks: self.num_blocks,
            dropout: [self.dropout, self.label_dropout],
        })
    }
}

/// Options of EDM's `DhariwalUNet`: ADM (Dhariwal & Nichol 2021, arXiv:2105.05233, as reimplemented
/// by Karras et al. 2022, arXiv:2206.00364, App. F).
///
/// The default is EDM's ADM for ImageNet at 64×64.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DhariwalConfig {
    /// Channels at the full resolution, before `channel_mult`.
    pub model_channels: usize,
    /// Channels of each level in units of `model_channels`; its length is the number of levels.
    pub channel_mult: Vec<usize>,
    /// Channels of the conditioning vector, in units of `model_channels`.
    pub channel_mult_emb: usize,
    /// Residual blocks of each level.
    pub num_blocks: usize,
    /// Resolutions with self-attention.
    pub attn_resolutions: Vec<usize>,
    /// Probability of dropping an activation while training.
    pub dropout: f64,
    /// Probability of dropping a sample's label while training.
    pub label_dropout: f64,
}

impl Default for DhariwalConfig {
    fn default() -> Self {
        Self {
            model_channels: 192,
            channel_mult: vec![1, 2, 3, 4],
            channel_mult_emb: 4,
            num_blocks: 3,
            attn_resolutions: vec![32, 16, 8],
            dropout: 0.1,
            label_dropout: 0.0,
        }
    }
}

impl DhariwalConfig {
    /// Attention heads of a block of this width: `channels // 64`, as EDM's `UNetBlock` with the
    /// `channels_per_head` of 64 that its ADM passes (NVlabs/edm, `training/networks.py`). 96 channels
    /// make one head of 96; fewer than 64 make none, so the block has no attention.
    pub(crate) fn heads(channels: usize) -> usize {
        const CHANNELS_PER_HEAD: usize = 64;
        channels / CHANNELS_PER_HEAD
    }

    pub(crate) fn validate(&self, resolution: usize) -> Result<()> {
        check_shared(Shared {
            resolution,
            model_channels: self.model_channels,
            channel_mult: &self.channel_mult,
            channel_mult_emb: self.channel_mult_emb,
            num_blocks: self.num_blocks,
            dropout: [self.dropout, self.label_dropout],
        })?;
        let last = self.channel_mult.len() - 1;
        for (level, mult) in self.channel_mult.iter().enumerate() {
            let channels = self.model_channels * mult;
            let attends = level == last || self.attn_resolutions.contains(&(resolution >> level));
            let heads = Self::heads(channels);
            if attends && heads != 0 && !channels.is_multiple_of(heads) {
                let reason = format!(
                    "{channels} channels at level {level}, which has attention, cannot be divided \
                     among {heads} heads, one for every 64 channels"
                );
                return Err(Error::Option { option: "model_channels", reason });
            }
        }
        if !self.model_channels.is_multiple_of(2) {
            let reason = format!("{} is odd", self.model_channels);
            return Err(Error::Option { option: "model_channels", reason });
        }
        Ok(())
    }
}

struct Shared<'a> {
    resolution: usize,
    model_channels: usize,
    channel_mult: &'a [usize],
    channel_mult_emb: usize,
    num_blocks: usize,
    dropout: [f64; 2],
}

/// Checks the options that both architectures share. The upper bounds keep a hostile file from
/// overflowing sizes; they are far above any trained network.
fn check_shared(options: Shared<'_>) -> Result<()> {
    check_positive("model_channels", options.model_channels)?;
    check_positive("channel_mult_emb", options.channel_mult_emb)?;
    if !(1..=MAX_BLOCKS).contains(&options.num_blocks) {
        let reason = format!("{} is not between 1 and {MAX_BLOCKS}", options.num_blocks);
        return Err(Error::Option { option: "num_blocks", reason });
    }
    let levels = options.channel_mult.len();
    if !(1..=MAX_LEVELS).contains(&levels) {
        let reason = format!("{levels} levels are not between 1 and {MAX_LEVELS}");
        return Err(Error::Option { option: "channel_mult", reason });
    }
    if !options.resolution.is_multiple_of(1 << (levels - 1)) {
        let reason = format!("{} cannot be halved {} times", options.resolution, levels - 1);
        return Err(Error::Option { option: "img_resolution", reason });
    }
    for &mult in options.channel_mult {
        check_positive("channel_mult", mult)?;
        check_groups(options.model_channels * mult)?;
    }
    check_groups(options.model_channels)?;
    for (option, p) in ["dropout", "label_dropout"].into_iter().zip(options.dropout) {
        if !(0.0..1.0).contains(&p) {
            let reason = format!("{p} is not a probability below 1");
            return Err(Error::Option { option, reason });
        }
    }
    Ok(())
}

/// Most levels of a network.
const MAX_LEVELS: usize = 12;
/// Most blocks of a level. A small file may ask for any number, and each takes time to build.
const MAX_BLOCKS: usize = 128;
/// Most of anything that is counted.
pub(crate) const MAX_COUNT: usize = 16_384;

pub(crate) fn check_positive(option: &'static str, value: usize) -> Result<()> {
    if !(1..=MAX_COUNT).contains(&value) {
        let reason = format!("{value} is not between 1 and {MAX_COUNT}");
        return Err(Error::Option { option, reason });
    }
    Ok(())
}

/// Channels that meet in the decoder are sums of level widths. If every width is a multiple of four
/// or of its group count, so are the sums; building the layout finds any remainder.
fn check_groups(channels: usize) -> Result<()> {
    if !channels.is_multiple_of(4) {
        let reason = format!("{channels} channels are not a multiple of 4, which group norm needs");
        return Err(Error::Option { option: "model_channels", reason });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_64_channels_rounded_down() {
        for (channels, heads) in [(32, 0), (64, 1), (96, 1), (128, 2), (160, 2), (352, 5)] {
            assert_eq!(DhariwalConfig::heads(channels), heads, "{channels}");
        }
    }
}
