//! Memory that a forward pass keeps for its backward pass, computed from sizes alone.

use super::{Architecture, NetworkConfig};
use crate::error::Result;
use crate::unet::config::DhariwalConfig;

/// Elements that the pass of one image keeps until its backward pass, on the CPU.
///
/// Convolutions keep their inputs, and attention its weights. Normalized, joined and added values are
/// recomputed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Elements kept by the encoder, all that a discriminator needs.
    pub encoder: usize,
    /// Elements kept by the decoder.
    pub decoder: usize,
    /// Elements that dropout adds to both: its output is a separate tensor.
    pub dropout: usize,
}

impl NetworkConfig {
    /// Elements that a pass keeps, without running one.
    ///
    /// # Errors
    ///
    /// If an option is out of range.
    pub fn kept(&self) -> Result<Kept> {
        let mut kept = Kept::default();
        for (key, shape) in self.shapes()? {
            let &[outputs, inputs, _, _] = shape.as_slice() else { continue };
            // `model.enc.32x32_block0.conv0.weight`, `model.out_conv.weight`
            let [.., layer, "weight"] = key.split('.').collect::<Vec<_>>()[..] else { continue };
            let pixels = resolution(&key).unwrap_or(self.img_resolution).pow(2);
            let resampled = ["_up.", "_down."].iter().any(|step| key.contains(step));
            let numbers = match layer {
                // Read by the second convolution; a resampled input is kept in addition.
                "conv0" if resampled => (outputs + inputs) * pixels,
                "conv0" => outputs * pixels,
                "qkv" => outputs * pixels + self.heads(inputs) * pixels * pixels,
                // The attended values and their sum with the input.
                "proj" => (inputs + outputs) * pixels,
                // Added and not kept.
                "skip" => 0,
                _ => outputs * pixels,
            };
            if key.contains(".enc.") {
                kept.encoder += numbers;
            } else {
                kept.decoder += numbers;
            }
            if layer == "conv0" {
                kept.dropout += outputs * pixels;
            }
        }
        Ok(kept)
    }

    /// Attention heads of a block of this width.
    fn heads(&self, channels: usize) -> usize {
        match self.architecture {
            Architecture::Song(_) => 1,
            Architecture::Dhariwal(_) => DhariwalConfig::heads(channels),
        }
    }
}

/// The resolution in a layer's name, as in `32x32_block0`.
fn resolution(key: &str) -> Option<usize> {
    key.split('.').find_map(|part| part.split_once('x')?.0.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unet::config::SongConfig;

    #[test]
    fn convolutions_keep_their_inputs() {
        let song = SongConfig {
            model_channels: 8,
            channel_mult: vec![1, 2],
            num_blocks: 1,
            attn_resolutions: vec![4],
            ..SongConfig::default()
        };
        let kept = NetworkConfig::new(Architecture::Song(song), 8, 1).kept().unwrap();
        // 8x8: conv 8 channels; block 8 + 8. 4x4: down 8 + 8 (resampled) + 8; block 16 + 16,
        // queries, keys and values 48, attended and sum 32, and 16 by 16 weights.
        let encoder = 64 * (8 + 16) + 16 * (24 + 32 + 48 + 32) + 256;
        assert_eq!(kept.encoder, encoder);
        // 4x4: in0 with attention, in1, two blocks; attention on the last of each level. 8x8: up,
        // two blocks, and the output.
        let attended = 16 * (48 + 32) + 256;
        let decoder = 16 * (4 * 32) + 2 * attended + 64 * (16 + 16 + 16 + 2 * 16 + 1);
        assert_eq!(kept.decoder, decoder);
        assert_eq!(kept.dropout, 64 * 8 + 16 * (8 + 16) + 16 * (4 * 16) + 64 * (16 + 2 * 8));
    }
}
