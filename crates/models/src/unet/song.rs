//! SongUNet: DDPM++ and NCSN++ (Song et al. 2021, arXiv:2011.13456), in EDM's form (Karras et al.
//! 2022, arXiv:2206.00364, App. F.2 and Table 7).

use candle_core::Tensor;

use super::block::{Block, Pass, Place, Step};
use super::conditioning;
use super::config::{Decoder, Encoder, SongConfig};
use super::conv::{Conv, Linear, Norm, Resample, Skip, Start};
use super::embedding::Waves;
use super::style::Style;
use super::{Sizes, UNetOutput};
use crate::denoiser::Conditioning;
use crate::error::Result;
use crate::layout::Scope;
use kernels::tape::{Plus, Value, layers};

/// Added to the variance in every group norm.
const EPS: f64 = 1e-6;
/// Gain of the layers that end a residual path, nearly zero.
const GAIN_ZERO: f64 = 1e-5;

/// DDPM++ or NCSN++.
#[derive(Debug)]
pub(crate) struct SongUNet {
    sizes: Sizes,
    label_dropout: f64,
    waves: Waves,
    map_label: Option<Linear>,
    map_augment: Option<Linear>,
    map_layers: [Linear; 2],
    encoder: Vec<EncoderLevel>,
    decoder: Vec<DecoderLevel>,
}

#[derive(Debug)]
struct EncoderLevel {
    entry: Entry,
    auxiliary: Auxiliary,
    blocks: Vec<Block>,
}

#[derive(Debug)]
enum Entry {
    Conv(Conv),
    Down(Box<Block>),
}

/// The second path through the encoder.
#[derive(Debug)]
enum Auxiliary {
    Absent,
    Skip { down: Skip, conv: Conv },
    Residual(Conv),
}

#[derive(Debug)]
struct DecoderLevel {
    /// Blocks before the first that takes a skip connection.
    entry: Vec<Block>,
    blocks: Vec<Block>,
    output: Option<OutputHead>,
}

#[derive(Debug)]
struct OutputHead {
    up: Option<Skip>,
    norm: Norm,
    conv: Conv,
}

/// Outputs of the encoder that the decoder reads.
struct Encoded {
    emb: Value,
    /// The output of every encoder layer, the last of them the bottleneck.
    skips: Vec<Value>,
}

impl SongUNet {
    pub fn new(scope: &Scope<'_>, config: &SongConfig, sizes: Sizes) -> Result<Self> {
        let start = Start::Xavier(1.0);
        let noise_channels = config.model_channels * config.channel_mult_noise;
        let emb_channels = config.model_channels * config.channel_mult_emb;
        let linear = |name: &str, from, to| Linear::new(&scope.at(name), [from, to], start);
        let map_label = match sizes.label_dim {
            0 => None,
            classes => Some(linear("map_label", classes, noise_channels)?),
        };
        let map_augment = match sizes.augment_dim {
            0 => None,
            dim => {
                let sizes = [dim, noise_channels];
                Some(Linear::unbiased(&scope.at("map_augment"), sizes, start)?)
            }
        };
        let style = Style {
            emb_channels,
            dropout: config.dropout,
            skip_scale: 0.5f64.sqrt(),
            eps: EPS,
            filter: config.resample_filter.into(),
            resample_proj: true,
            adaptive_scale: false,
            start,
            start_zero: Start::Xavier(GAIN_ZERO),
            start_attention: Start::Xavier(0.2f64.sqrt()),
        };
        let mut builder = Builder { config, sizes, style, layer: 0, channels: sizes.in_channels };
        let (encoder, skips) = builder.encoder(&scope.at("enc"))?;
        Ok(Self {
            sizes,
            label_dropout: config.label_dropout,
            waves: Waves::new(scope, config.embedding_type, noise_channels / 2)?,
            map_label,
            map_augment,
            map_layers: [
                linear("map_layer0", noise_channels, emb_channels)?,
                linear("map_layer1", emb_channels, emb_channels)?,
            ],
            encoder,
            decoder: builder.decoder(&scope.at("dec"), skips)?,
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
        let Encoded { emb, mut skips } = self.encode(x, noise, cond)?;
        let pass = Pass { emb: &emb, dropout: cond.dropout };
        let bottleneck = skips.last().expect("an encoder has a layer").clone();
        let (mut x, mut raw) = (bottleneck.clone(), None);
        for level in &self.decoder {
            for block in &level.entry {
                x = block.forward(&[&x], pass)?;
            }
            for block in &level.blocks {
                let skip = skips.pop().expect("as many skips as decoder blocks");
                x = block.forward(&[&x, &skip], pass)?;
            }
            if let Some(head) = &level.output {
                raw = Some(head.forward(&x, raw)?);
            }
        }
        Ok(UNetOutput { raw: raw.expect("the last decoder level has an output"), bottleneck })
    }

    /// The activation of the last encoder block: `[B, C', h, w]`.
    pub fn bottleneck(
        &self,
        x: &Value,
        noise: &Tensor,
        cond: &Conditioning,
    ) -> candle_core::Result<Value> {
        Ok(self.encode(x, noise, cond)?.skips.pop().expect("an encoder has a layer"))
    }

    fn encode(
        &self,
        x: &Value,
        noise: &Tensor,
        cond: &Conditioning,
    ) -> candle_core::Result<Encoded> {
        conditioning::check_input(x.tensor(), noise, &self.sizes)?;
        let emb = self.embed(x, noise, cond)?;
        let pass = Pass { emb: &emb, dropout: cond.dropout };
        let mut skips: Vec<Value> = Vec::new();
        let (mut x, mut auxiliary) = (x.clone(), x.clone());
        for level in &self.encoder {
            x = match &level.entry {
                Entry::Conv(conv) => conv.forward(&x)?,
                Entry::Down(block) => block.forward(&[&x], pass)?,
            };
            match &level.auxiliary {
                Auxiliary::Absent => (),
                Auxiliary::Skip { down, conv } => {
                    auxiliary = down.forward(&[&auxiliary])?;
                    x = conv.after(&[&auxiliary], None, Plus::Residual(&x, 1.0))?;
                }
                Auxiliary::Residual(conv) => {
                    x = conv.after(&[&auxiliary], None, Plus::Residual(&x, 0.5f64.sqrt()))?;
                    auxiliary = x.clone();
                }
            }
            skips.push(x.clone());
            for block in &level.blocks {
                x = block.forward(&[&x], pass)?;
                skips.push(x.clone());
            }
        }
        Ok(Encoded { emb, skips })
    }

    /// The conditioning vector, `[B, E]`.
    fn embed(&self, x: &Value, noise: &Tensor, cond: &Conditioning) -> candle_core::Result<Value> {
        let [cos, sin] = self.waves.forward(noise)?;
        // Sines first, as DDPM++ and NCSN++ were trained.
        let mut emb = x.constant(Tensor::cat(&[sin, cos], 1)?);
        let labels = conditioning::labels(cond, &self.sizes, self.label_dropout, x.tensor())?;
        if let (Some(map), Some(labels)) = (&self.map_label, labels) {
            let unit = (labels * (self.sizes.label_dim as f64).sqrt())?;
            emb = layers::add(&emb, &map.forward(&x.constant(unit))?)?;
        }
        let augment = conditioning::augment(cond, &self.sizes, x.tensor())?;
        if let (Some(map), Some(augment)) = (&self.map_augment, augment) {
            emb = layers::add(&emb, &map.forward(&x.constant(augment))?)?;
        }
        for layer in &self.map_layers {
            emb = layers::silu(&layer.forward(&emb)?)?;
        }
        Ok(emb)
    }
}

impl OutputHead {
    /// Adds this level's image to the upsampled image of the levels below.
    fn forward(&self, x: &Value, below: Option<Value>) -> candle_core::Result<Value> {
        let norm = Some(self.norm.silu());
        match (&self.up, below) {
            (Some(up), Some(below)) => {
                self.conv.after(&[x], norm, Plus::Residual(&up.forward(&[&below])?, 1.0))
            }
            _ => self.conv.after(&[x], norm, Plus::Nothing),
        }
    }
}

/// Walks the levels, with the running number of channels.
struct Builder<'a> {
    config: &'a SongConfig,
    sizes: Sizes,
    style: Style,
    layer: u32,
    channels: usize,
}

impl Builder<'_> {
    /// The encoder, and the channels of each of its skip connections.
    fn encoder(&mut self, scope: &Scope<'_>) -> Result<(Vec<EncoderLevel>, Vec<usize>)> {
        let (mut levels, mut skips) = (Vec::new(), Vec::new());
        let mut auxiliary_channels = self.channels;
        for (level, &mult) in self.config.channel_mult.iter().enumerate() {
            let name = Name::level(self.sizes.resolution, level);
            let entry = if level == 0 {
                let sizes = [self.channels, self.config.model_channels, 3];
                self.channels = self.config.model_channels;
                let scope = scope.at(name.of("conv"));
                Entry::Conv(Conv::new(&scope, sizes, Resample::Keep, self.style.start)?)
            } else {
                let block = self.block(&scope.at(name.of("down")), 0, self.channels, Step::Down, 0);
                Entry::Down(Box::new(block?))
            };
            let auxiliary = match level {
                0 => Auxiliary::Absent,
                _ => self.auxiliary(scope, &name, &mut auxiliary_channels)?,
            };
            skips.push(self.channels);
            let mut blocks = Vec::new();
            let heads = usize::from(self.config.attn_resolutions.contains(&name.resolution));
            for i in 0..self.config.num_blocks {
                let scope = scope.at(name.of(&format!("block{i}")));
                let outputs = self.config.model_channels * mult;
                blocks.push(self.block(&scope, 0, outputs, Step::Keep, heads)?);
                skips.push(self.channels);
            }
            levels.push(EncoderLevel { entry, auxiliary, blocks });
        }
        Ok((levels, skips))
    }

    fn auxiliary(&self, scope: &Scope<'_>, name: &Name, channels: &mut usize) -> Result<Auxiliary> {
        let (filter, start) = (self.style.filter, self.style.start);
        Ok(match self.config.encoder_type {
            Encoder::Standard => Auxiliary::Absent,
            Encoder::Skip => {
                let sizes = [*channels, self.channels, 1];
                let scope_conv = scope.at(name.of("aux_skip"));
                Auxiliary::Skip {
                    down: Skip::resample(&scope.at(name.of("aux_down")), Resample::Down(filter))?,
                    conv: Conv::new(&scope_conv, sizes, Resample::Keep, start)?,
                }
            }
            Encoder::Residual => {
                let sizes = [*channels, self.channels, 3];
                *channels = self.channels;
                let scope = scope.at(name.of("aux_residual"));
                Auxiliary::Residual(Conv::new(&scope, sizes, Resample::FusedDown(filter), start)?)
            }
        })
    }

    fn decoder(&mut self, scope: &Scope<'_>, mut skips: Vec<usize>) -> Result<Vec<DecoderLevel>> {
        let mut levels = Vec::new();
        let last = self.config.channel_mult.len() - 1;
        for (level, &mult) in self.config.channel_mult.iter().enumerate().rev() {
            let name = Name::level(self.sizes.resolution, level);
            let same = self.channels;
            let entry = if level == last {
                let attending = self.block(&scope.at(name.of("in0")), 0, same, Step::Keep, 1)?;
                vec![attending, self.block(&scope.at(name.of("in1")), 0, same, Step::Keep, 0)?]
            } else {
                vec![self.block(&scope.at(name.of("up")), 0, same, Step::Up, 0)?]
            };
            let mut blocks = Vec::new();
            let attends = self.config.attn_resolutions.contains(&name.resolution);
            for i in 0..=self.config.num_blocks {
                let scope = scope.at(name.of(&format!("block{i}")));
                let skip = skips.pop().expect("as many skips as decoder blocks");
                let heads = usize::from(attends && i == self.config.num_blocks);
                let outputs = self.config.model_channels * mult;
                blocks.push(self.block(&scope, skip, outputs, Step::Keep, heads)?);
            }
            let output = match self.config.decoder_type {
                Decoder::Standard if level != 0 => None,
                _ => Some(self.output(scope, &name, level == last)?),
            };
            levels.push(DecoderLevel { entry, blocks, output });
        }
        Ok(levels)
    }

    fn output(&self, scope: &Scope<'_>, name: &Name, lowest: bool) -> Result<OutputHead> {
        let sizes = [self.channels, self.sizes.out_channels, 3];
        let conv = scope.at(name.of("aux_conv"));
        let up = match self.config.decoder_type {
            Decoder::Skip if !lowest => {
                let resample = Resample::Up(self.style.filter);
                Some(Skip::resample(&scope.at(name.of("aux_up")), resample)?)
            }
            _ => None,
        };
        Ok(OutputHead {
            up,
            norm: Norm::new(&scope.at(name.of("aux_norm")), self.channels, EPS)?,
            conv: Conv::new(&conv, sizes, Resample::Keep, self.style.start_zero)?,
        })
    }

    /// The next block; `skip` channels join the running ones at its input.
    fn block(
        &mut self,
        scope: &Scope<'_>,
        skip: usize,
        outputs: usize,
        step: Step,
        heads: usize,
    ) -> Result<Block> {
        let inputs = self.channels + skip;
        let place = Place { inputs, outputs, step, heads, layer: self.layer };
        self.layer += 1;
        self.channels = outputs;
        Block::new(scope, place, &self.style)
    }
}

/// The names of a level's layers: `32x32_block0`.
pub(super) struct Name {
    pub resolution: usize,
}

impl Name {
    pub fn level(resolution: usize, level: usize) -> Self {
        Self { resolution: resolution >> level }
    }

    pub fn of(&self, layer: &str) -> String {
        format!("{r}x{r}_{layer}", r = self.resolution)
    }
}
