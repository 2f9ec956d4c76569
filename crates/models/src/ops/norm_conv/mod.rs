//! A convolution with what comes before and after it, each image while it is in the cache: the
//! images are joined and normalised as they are read, and what is to be added to the output is added
//! as it is written. On the way back, too, the gradient goes through the normalisation image by
//! image. Neither the joined nor the normalised images exist in memory.
//!
//! For the networks' own reverse pass ([`crate::tape`]); elsewhere the parts are called one by one,
//! and these are tested against them.

mod kernel;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use candle_core::{Result, Shape, Tensor, bail};

use super::buffer::{SharedSlice, as_uninit};
use super::channels::Channels;
use super::conv2d::cpu::{by_input, by_input_each, by_weight, forward, geometry};
use super::conv2d::source::Source;
use super::group_norm::moments::{ChannelMoments, measure};
use super::group_norm::normal::{Normal, Recipe, SampleSums, measure_all};
use super::isa::Isa;
use super::storage::{Dense, tensor};

use kernel::{add_multiple, finish};

/// Images `[B, C, H, W]`, detached, and the moments of their channels if somebody knows them.
#[derive(Clone)]
pub(crate) struct Part {
    pub tensor: Tensor,
    pub moments: Option<Arc<Vec<ChannelMoments>>>,
}

/// Images, or two of them to be read as if joined along the channels.
#[derive(Clone)]
pub(crate) enum Images {
    /// One tensor.
    One([Part; 1]),
    /// Two, one after the other.
    Joined([Part; 2]),
}

impl Images {
    /// The tensors.
    fn parts(&self) -> &[Part] {
        match self {
            Self::One(parts) => parts,
            Self::Joined(parts) => parts,
        }
    }

    /// The shape when joined.
    fn shape(&self) -> Result<Shape> {
        let [first, rest @ ..] = self.parts() else { bail!("no images") };
        let (batch, mut channels, height, width) = first.tensor.dims4()?;
        for Part { tensor, .. } in rest {
            let (other_batch, more, other_height, other_width) = tensor.dims4()?;
            if (batch, height, width) != (other_batch, other_height, other_width) {
                let first = first.tensor.shape();
                bail!("{first:?} and {:?} differ in more than channels", tensor.shape());
            }
            channels += more;
        }
        Ok(Shape::from((batch, channels, height, width)))
    }

    /// Runs `f` on the numbers.
    fn with<R>(&self, f: impl FnOnce(&Channels<'_>) -> Result<R>) -> Result<R> {
        match self {
            Self::One([x]) => {
                let (_, channels, height, width) = x.tensor.dims4()?;
                f(&Channels::new(&Dense::of(&x.tensor)?, channels, height * width))
            }
            Self::Joined([a, b]) => {
                let (_, _, height, width) = a.tensor.dims4()?;
                let counts = [a.tensor.dim(1)?, b.tensor.dim(1)?];
                let (a, b) = (Dense::of(&a.tensor)?, Dense::of(&b.tensor)?);
                f(&Channels::joined([(&a, counts[0]), (&b, counts[1])], height * width))
            }
        }
    }

    /// The moments of all channels, sample by sample; what is not known is measured.
    fn moments(&self, isa: Isa) -> Result<Vec<ChannelMoments>> {
        let of = |part: &Part| match &part.moments {
            Some(moments) => Ok((moments.clone(), part.tensor.dim(1)?)),
            None => {
                let (_, channels, height, width) = part.tensor.dims4()?;
                let numbers = Dense::of(&part.tensor)?;
                let x = Channels::new(&numbers, channels, height * width);
                Ok::<_, candle_core::Error>((Arc::new(measure_all(isa, &x)), channels))
            }
        };
        let parts: Vec<_> = self.parts().iter().map(of).collect::<Result<_>>()?;
        let batch = self.parts()[0].tensor.dim(0)?;
        let of_sample = |sample: usize| {
            parts.iter().flat_map(move |(moments, channels)| {
                moments[sample * channels..][..*channels].iter().copied()
            })
        };
        Ok((0..batch).flat_map(of_sample).collect())
    }
}

/// A group norm to go through, with silu after it if so wanted.
#[derive(Clone, Copy)]
pub(crate) struct Norm<'a> {
    /// `[C]`, or `[B, C]` with one for each sample; so is `bias`.
    pub weight: &'a Tensor,
    pub bias: &'a Tensor,
    pub groups: usize,
    pub eps: f64,
    pub silu: bool,
}

/// What is added to a convolution's output.
pub(crate) enum Added<'a> {
    Nothing,
    /// `[B, C]`, to every pixel.
    Channels(&'a Tensor),
    /// An image of the output's shape; then all is multiplied by the factor.
    Residual(&'a Tensor, f64),
}

/// What [`norm_conv`] gives.
pub(crate) struct NormConv {
    pub output: Part,
    /// The norm's statistics, for the way back.
    pub normal: Option<Normal>,
}

/// `(conv(norm(x)) + bias + added) · factor`.
///
/// If `measuring`, the moments of the output's channels are taken while they are in the cache: for
/// whoever normalises them next.
///
/// # Errors
///
/// If the shapes do not fit.
pub(super) fn norm_conv(
    isa: Isa,
    x: &Images,
    norm: Option<Norm<'_>>,
    weight: &Tensor,
    bias: &Tensor,
    added: &Added<'_>,
    measuring: bool,
) -> Result<NormConv> {
    let geometry = geometry(&x.shape()?, weight.shape())?;
    let pixels = geometry.pixels();
    let (weight, bias) = (Dense::of(weight)?, Dense::of(bias)?);
    let channels = geometry.outputs;
    let shape = Shape::from((geometry.batch, channels, geometry.height, geometry.width));
    let fits = match added {
        Added::Nothing => true,
        Added::Channels(c) => c.dims() == [geometry.batch, channels],
        Added::Residual(residual, _) => residual.shape() == &shape,
    };
    let whole = weight.len() == channels * geometry.inputs * geometry.taps();
    if !fits || !whole || bias.len() != channels {
        bail!("norm_conv: the operands do not fit images of {:?}", x.shape()?);
    }
    let normal = norm.map(|norm| normal(isa, x, norm)).transpose()?;
    let moments = measuring.then(|| MeasuredOutput::new(geometry.batch * channels));
    let measured = |sample: usize, channel: usize, of: ChannelMoments| {
        if let Some(moments) = &moments {
            moments.put(sample * channels + channel, of);
        }
    };
    let y = x.with(|x| {
        let source = match &normal {
            Some(normal) => Source::normalised(*x, normal),
            None => Source::plain(*x),
        };
        Ok(match added {
            Added::Nothing => {
                forward(isa, &source, &weight, Some(&bias), &geometry, &|sample, y| {
                    for (channel, y) in y.chunks_exact(pixels).enumerate().filter(|_| measuring) {
                        measured(sample, channel, measure(isa, y));
                    }
                })
            }
            Added::Channels(c) => {
                let c = Dense::of(c)?;
                forward(isa, &source, &weight, None, &geometry, &|sample, y| {
                    for (channel, y) in y.chunks_exact_mut(pixels).enumerate() {
                        let shift = bias[channel] + c[sample * channels + channel];
                        measured(sample, channel, finish(isa, y, None, shift, 1.0));
                    }
                })
            }
            Added::Residual(residual, factor) => {
                let residual = Dense::of(residual)?;
                forward(isa, &source, &weight, None, &geometry, &|sample, y| {
                    let residual = &residual[sample * channels * pixels..][..channels * pixels];
                    let rows = y.chunks_exact_mut(pixels).zip(residual.chunks_exact(pixels));
                    for (channel, (y, residual)) in rows.enumerate() {
                        let of = finish(isa, y, Some(residual), bias[channel], *factor as f32);
                        measured(sample, channel, of);
                    }
                })
            }
        })
    })?;
    let moments = moments.map(|it| Arc::new(it.moments));
    Ok(NormConv { output: Part { tensor: tensor(y, &shape)?, moments }, normal })
}

/// The moments of an output's channels, which tasks of different samples write side by side.
struct MeasuredOutput {
    moments: Vec<ChannelMoments>,
    shared: SharedSlice<ChannelMoments>,
}

impl MeasuredOutput {
    fn new(len: usize) -> Self {
        let mut moments = vec![ChannelMoments::default(); len];
        let shared = SharedSlice::new(&mut moments);
        Self { moments, shared }
    }

    /// Takes those of channel number `at`.
    fn put(&self, at: usize, moments: ChannelMoments) {
        // SAFETY: a sample is finished by one task only, and the vector is not touched otherwise
        // while `self` is borrowed.
        unsafe { self.shared.write(at, moments) };
    }
}

fn normal(isa: Isa, x: &Images, norm: Norm<'_>) -> Result<Normal> {
    let Norm { weight, bias, groups, eps, silu } = norm;
    let (batch, channels, height, width) = x.shape()?.dims4()?;
    if groups == 0 || !channels.is_multiple_of(groups) {
        bail!("group_norm: {groups} groups do not divide the {channels} channels");
    }
    for tensor in [weight, bias] {
        if tensor.dims() != [channels] && tensor.dims() != [batch, channels] {
            bail!("group_norm: {:?} does not fit {channels} channels", tensor.shape());
        }
    }
    let (weight, bias) = (Dense::of(weight)?, Dense::of(bias)?);
    let recipe = Recipe { isa, weight: &weight, bias: &bias, groups, eps: eps as f32, silu };
    let moments = x.moments(isa)?.into_iter();
    Ok(Normal::new(moments, [batch, channels, height * width], recipe))
}

/// The gradient by the weight, of this shape; `grad` is that by the output, over `factor`.
///
/// # Errors
///
/// If the shapes do not fit.
pub(super) fn weight_gradient(
    isa: Isa,
    x: &Images,
    normal: Option<&Normal>,
    weight: &Shape,
    grad: &Tensor,
    factor: f64,
) -> Result<Tensor> {
    let geometry = geometry(&x.shape()?, weight)?;
    let grad = Dense::of(grad)?;
    let mut by_weight = x.with(|x| {
        let source = match normal {
            Some(normal) => Source::normalised(*x, normal),
            None => Source::plain(*x),
        };
        Ok(by_weight(isa, &source, &grad, &geometry))
    })?;
    if factor != 1.0 {
        by_weight.iter_mut().for_each(|it| *it *= factor as f32);
    }
    tensor(by_weight, weight)
}

/// What [`input_gradients`] gives.
pub(crate) struct InputGradients {
    /// By each of the images, one or two.
    pub images: Vec<Tensor>,
    /// By the norm's weight and bias for each sample and channel, `[B, C]` each.
    pub norm: Option<[Tensor; 2]>,
}

/// The gradients by the images, plus `more` of each times its factor, and by the norm's parameters;
/// `grad` is that by the output, over `factor`.
///
/// # Errors
///
/// If the shapes do not fit.
pub(super) fn input_gradients(
    isa: Isa,
    x: &Images,
    normal: Option<&Normal>,
    weight: &Tensor,
    (grad, factor): (&Tensor, f64),
    more: [Option<(Tensor, f64)>; 2],
) -> Result<InputGradients> {
    let shape = x.shape()?;
    let geometry = geometry(&shape, weight.shape())?;
    let (batch, channels, pixels) = (geometry.batch, geometry.inputs, geometry.pixels());
    let scaled = (factor != 1.0).then(|| weight * factor).transpose()?;
    let (weight, grad) = (Dense::of(scaled.as_ref().unwrap_or(weight))?, Dense::of(grad)?);
    let more = MoreOf::new(&more)?;
    let sums = SampleSums::new(batch, channels);
    let gradients = x.with(|x| {
        let back = |sample: usize, grad: &mut [f32]| {
            let more = |channel| more.channel(x, sample, channel);
            match normal {
                Some(normal) => normal.back(x, sample, None, as_uninit(grad), &sums, more),
                None => {
                    for (channel, grad) in grad.chunks_exact_mut(pixels).enumerate() {
                        if let Some((more, factor)) = more(channel) {
                            add_multiple(isa, grad, more, factor);
                        }
                    }
                }
            }
        };
        Ok(match x.as_one() {
            Some(_) => vec![by_input(isa, &grad, &weight, &geometry, &back)],
            None => {
                let split = Split::new(x);
                by_input_each(isa, &grad, &weight, &geometry, &|sample, grad| {
                    back(sample, grad);
                    split.put(sample, grad);
                });
                split.into_parts()
            }
        })
    })?;
    let images =
        x.parts().iter().zip(gradients).map(|(part, grad)| tensor(grad, part.tensor.shape()));
    let norm = normal.is_some().then(|| {
        let of = |sums| tensor(sums, &Shape::from((batch, channels)));
        let [bias, weight] = sums.into_parts();
        Ok::<_, candle_core::Error>([of(weight)?, of(bias)?])
    });
    Ok(InputGradients { images: images.collect::<Result<_>>()?, norm: norm.transpose()? })
}

/// What else is in the gradients by one or two images.
struct MoreOf<'a>([Option<(Dense<'a>, f32)>; 2]);

impl<'a> MoreOf<'a> {
    fn new([a, b]: &'a [Option<(Tensor, f64)>; 2]) -> Result<Self> {
        let of = |it: &'a Option<(Tensor, f64)>| {
            let Some((tensor, factor)) = it else { return Ok::<_, candle_core::Error>(None) };
            Ok(Some((Dense::of(tensor)?, *factor as f32)))
        };
        Ok(Self([of(a)?, of(b)?]))
    }

    fn channel(&self, x: &Channels<'_>, sample: usize, channel: usize) -> Option<(&[f32], f32)> {
        let (part, _) = x.locate(channel);
        let (numbers, factor) = self.0[part].as_ref()?;
        Some((&numbers[x.range(sample, channel)], *factor))
    }
}

/// The gradients by two images, which tasks of different samples write side by side.
struct Split<'a> {
    channels: &'a Channels<'a>,
    parts: [Vec<f32>; 2],
    shared: [SharedSlice<f32>; 2],
}

impl<'a> Split<'a> {
    fn new(channels: &'a Channels<'a>) -> Self {
        let mut parts = channels.lens().map(|len| vec![0f32; len]);
        let shared = parts.each_mut().map(|part| SharedSlice::new(part));
        Self { channels, parts, shared }
    }

    /// Takes the gradient `[C₁ + C₂, P]` of a sample.
    fn put(&self, sample: usize, grad: &[f32]) {
        for (channel, grad) in grad.chunks_exact(self.channels.pixels()).enumerate() {
            let (part, _) = self.channels.locate(channel);
            let range = self.channels.range(sample, channel);
            // SAFETY: a sample is put by one task only, and the part is not touched otherwise
            // while `self` is borrowed.
            unsafe { self.shared[part].write_slice(range.start, grad) };
        }
    }

    fn into_parts(self) -> Vec<Vec<f32>> {
        self.parts.into()
    }
}
