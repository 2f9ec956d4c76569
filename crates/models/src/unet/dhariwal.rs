//! DhariwalUNet: ADM (Dhariwal & Nichol 2021, arXiv:2105.05233), in EDM's form (Karras et al. 2022,
//! arXiv:2206.00364, App. F.3 and Table 7).

use candle_core::Tensor;

use super::block::{Block, Pass, Place, Step};
use super::conditioning;
use super::config::DhariwalConfig;
use super::conv::{Conv, Linear, Norm, Resample, Start};
use super::embedding::Waves;
use super::song::Name;
use super::style::Style;
use super::{Sizes, UNetOutput};
use crate::denoiser::Conditioning;
use crate::error::Result;
use crate::layout::Scope;
use kernels::Filter;
use kernels::tape::{Plus, Value, layers};

/// Added to the variance in every group norm.
const EPS: f64 = 1e-5;

/// ADM.
#[derive(Debug)]
pub(crate) struct DhariwalUNet {
    sizes: Sizes,
    label_dropout: f64,
    waves: Waves,
    map_augment: Option<Linear>,
    map_layers: [Linear; 2],
    map_label: Option<Linear>,
    conv: Conv,
    /// In order of evaluation; each output is a skip connection.
    encoder: Vec<Block>,
    decoder: Vec<DecoderBlock>,
    out_norm: Norm,
    out_conv: Conv,
}

#[derive(Debug)]
struct DecoderBlock {
    /// True if a skip connection joins at its input.
    takes_skip: bool,
    block: Block,
}

impl DhariwalUNet {
    pub fn new(scope: &Scope<'_>, config: &DhariwalConfig, sizes: Sizes) -> Result<Self> {
        // A third of He's variance, as PyTorch's default layers start.
        let third = (1.0f64 / 3.0).sqrt();
        let start = Start::KaimingUniform { weight: third, bias: third };
        let start_zero = Start::KaimingUniform { weight: 0.0, bias: 0.0 };
        let channels = config.model_channels;
        let emb_channels = channels * config.channel_mult_emb;
        let linear = |name: &str, from, to| Linear::new(&scope.at(name), [from, to], start);
        let unbiased = |name: &str, from, to, start| match from {
            0 => Ok(None),
            from => Linear::unbiased(&scope.at(name), [from, to], start).map(Some),
        };
        let label_start = Start::KaimingNormal((sizes.label_dim as f64).sqrt());
        let style = Style {
            emb_channels,
            dropout: config.dropout,
            skip_scale: 1.0,
            eps: EPS,
            filter: Filter::Box,
            resample_proj: false,
            adaptive_scale: true,
            start,
            start_zero,
            start_attention: start,
        };
        let first = channels * config.channel_mult[0];
        let conv_scope = scope.at("enc").at(Name::level(sizes.resolution, 0).of("conv"));
        let conv = Conv::new(&conv_scope, [sizes.in_channels, first, 3], Resample::Keep, start)?;
        let mut builder = Builder { config, sizes, style, layer: 0, channels: first };
        let (encoder, skips) = builder.encoder(&scope.at("enc"))?;
        let decoder = builder.decoder(&scope.at("dec"), skips)?;
        let out = [builder.channels, sizes.out_channels, 3];
        Ok(Self {
            sizes,
            label_dropout: config.label_dropout,
            waves: Waves::positional(channels / 2, channels / 2),
            map_augment: unbiased("map_augment", sizes.augment_dim, channels, start_zero)?,
            map_layers: [
                linear("map_layer0", channels, emb_channels)?,
                linear("map_layer1", emb_channels, emb_channels)?,
            ],
            map_label: unbiased("map_label", sizes.label_dim, emb_channels, label_start)?,
            conv,
            encoder,
            decoder,
            out_norm: Norm::new(&scope.at("out_norm"), builder.channels, EPS)?,
            out_conv: Conv::new(&scope.at("out_conv"), out, Resample::Keep, start_zero)?,
        })
    }

    /// The raw output and the bottleneck, for `x: [B, C, H, W]` and `noise: [B]` as
    /// preconditioned.
    pub fn forward(
        &self,
        x: &Value,
        noise: &Tensor,
        cond: &Conditioning,
    ) -> candle_core::Result<UNetOutput> {
        let (emb, mut skips) = self.encode(x, noise, cond)?;
        let pass = Pass { emb: &emb, dropout: cond.dropout };
        let bottleneck = skips.last().expect("an encoder has a layer").clone();
        let mut x = bottleneck.clone();
        for DecoderBlock { takes_skip, block } in &self.decoder {
            x = if *takes_skip {
                let skip = skips.pop().expect("as many skips as decoder blocks");
                block.forward(&[&x, &skip], pass)?
            } else {
                block.forward(&[&x], pass)?
            };
        }
        let raw = self.out_conv.after(&[&x], Some(self.out_norm.silu()), Plus::Nothing)?;
        Ok(UNetOutput { raw, bottleneck })
    }

    /// The activation of the last encoder block: `[B, C', h, w]`.
    pub fn bottleneck(
        &self,
        x: &Value,
        noise: &Tensor,
        cond: &Conditioning,
    ) -> candle_core::Result<Value> {
        Ok(self.encode(x, noise, cond)?.1.pop().expect("an encoder has a layer"))
    }

    /// The conditioning vector, and the output of every encoder layer.
    fn encode(
        &self,
        x: &Value,
        noise: &Tensor,
        cond: &Conditioning,
    ) -> candle_core::Result<(Value, Vec<Value>)> {
        conditioning::check_input(x.tensor(), noise, &self.sizes)?;
        let emb = self.embed(x, noise, cond)?;
        let pass = Pass { emb: &emb, dropout: cond.dropout };
        let mut x = self.conv.forward(x)?;
        let mut skips = vec![x.clone()];
        for block in &self.encoder {
            x = block.forward(&[&x], pass)?;
            skips.push(x.clone());
        }
        Ok((emb, skips))
    }

    /// The conditioning vector, `[B, E]`.
    fn embed(&self, x: &Value, noise: &Tensor, cond: &Conditioning) -> candle_core::Result<Value> {
        let [cos, sin] = self.waves.forward(noise)?;
        let mut emb = x.constant(Tensor::cat(&[cos, sin], 1)?);
        let augment = conditioning::augment(cond, &self.sizes, x.tensor())?;
        if let (Some(map), Some(augment)) = (&self.map_augment, augment) {
            emb = layers::add(&emb, &map.forward(&x.constant(augment))?)?;
        }
        let [layer0, layer1] = &self.map_layers;
        let mut emb = layer1.forward(&layers::silu(&layer0.forward(&emb)?)?)?;
        let labels = conditioning::labels(cond, &self.sizes, self.label_dropout, x.tensor())?;
        if let (Some(map), Some(labels)) = (&self.map_label, labels) {
            emb = layers::add(&emb, &map.forward(&x.constant(labels))?)?;
        }
        layers::silu(&emb)
    }
}

/// Walks the levels, with the running number of channels.
struct Builder<'a> {
    config: &'a DhariwalConfig,
    sizes: Sizes,
    style: Style,
    layer: u32,
    channels: usize,
}

impl Builder<'_> {
    /// The encoder's blocks, and the channels of each skip connection.
    fn encoder(&mut self, scope: &Scope<'_>) -> Result<(Vec<Block>, Vec<usize>)> {
        let (mut blocks, mut skips) = (Vec::new(), vec![self.channels]);
        for (level, &mult) in self.config.channel_mult.iter().enumerate() {
            let name = Name::level(self.sizes.resolution, level);
            if level != 0 {
                let scope = scope.at(name.of("down"));
                blocks.push(self.block(&scope, 0, self.channels, Step::Down, false)?);
                skips.push(self.channels);
            }
            let attends = self.config.attn_resolutions.contains(&name.resolution);
            for i in 0..self.config.num_blocks {
                let scope = scope.at(name.of(&format!("block{i}")));
                let outputs = self.config.model_channels * mult;
                blocks.push(self.block(&scope, 0, outputs, Step::Keep, attends)?);
                skips.push(self.channels);
            }
        }
        Ok((blocks, skips))
    }

    fn decoder(&mut self, scope: &Scope<'_>, mut skips: Vec<usize>) -> Result<Vec<DecoderBlock>> {
        let mut blocks = Vec::new();
        let last = self.config.channel_mult.len() - 1;
        for (level, &mult) in self.config.channel_mult.iter().enumerate().rev() {
            let name = Name::level(self.sizes.resolution, level);
            let entry: &[_] = if level == last {
                &[("in0", Step::Keep, true), ("in1", Step::Keep, false)]
            } else {
                &[("up", Step::Up, false)]
            };
            for &(layer, step, attends) in entry {
                let block =
                    self.block(&scope.at(name.of(layer)), 0, self.channels, step, attends)?;
                blocks.push(DecoderBlock { takes_skip: false, block });
            }
            let attends = self.config.attn_resolutions.contains(&name.resolution);
            for i in 0..=self.config.num_blocks {
                let scope = scope.at(name.of(&format!("block{i}")));
                let skip = skips.pop().expect("as many skips as decoder blocks");
                let outputs = self.config.model_channels * mult;
                let block = self.block(&scope, skip, outputs, Step::Keep, attends)?;
                blocks.push(DecoderBlock { takes_skip: true, block });
            }
        }
        Ok(blocks)
    }

    /// The next block; `skip` channels join the running ones at its input.
    fn block(
        &mut self,
        scope: &Scope<'_>,
        skip: usize,
        outputs: usize,
        step: Step,
        attends: bool,
    ) -> Result<Block> {
        let inputs = self.channels + skip;
        let heads = if attends { DhariwalConfig::heads(outputs) } else { 0 };
        let place = Place { inputs, outputs, step, heads, layer: self.layer };
        self.layer += 1;
        self.channels = outputs;
        Block::new(scope, place, &self.style)
    }
}
