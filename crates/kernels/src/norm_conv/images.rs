//! The images that a layer reads: one tensor, or two concatenated along the channels.

use std::sync::Arc;

use candle_core::{Result, Shape, Tensor, bail};

use crate::channels::Channels;
use crate::conv2d::source::Source;
use crate::group_norm::moments::ChannelMoments;
use crate::group_norm::normal::{Normal, measure_all};
use crate::isa::Isa;
use crate::storage::Dense;

/// Detached images `[B, C, H, W]`, with the moments of their channels if these have been measured.
#[derive(Clone)]
pub(crate) struct Part {
    pub tensor: Tensor,
    pub moments: Option<Arc<Vec<ChannelMoments>>>,
}

/// One tensor of images, or two that are read as if concatenated along the channels.
#[derive(Clone)]
pub(crate) enum Images {
    /// One tensor.
    One([Part; 1]),
    /// Two tensors, in the order of their channels.
    Joined([Part; 2]),
}

impl Images {
    /// The tensors.
    pub(super) fn parts(&self) -> &[Part] {
        match self {
            Self::One(parts) => parts,
            Self::Joined(parts) => parts,
        }
    }

    /// Shape of the concatenation.
    pub(super) fn shape(&self) -> Result<Shape> {
        let [first, rest @ ..] = self.parts() else { bail!("norm_conv: no images") };
        let (batch, mut channels, height, width) = first.tensor.dims4()?;
        for Part { tensor, .. } in rest {
            let (other_batch, more, other_height, other_width) = tensor.dims4()?;
            if (batch, height, width) != (other_batch, other_height, other_width) {
                bail!(
                    "norm_conv: images {:?} and {:?} differ in more than channels",
                    first.tensor.shape(),
                    tensor.shape()
                );
            }
            channels += more;
        }
        Ok(Shape::from((batch, channels, height, width)))
    }

    /// Runs `f` on the elements.
    pub(super) fn with<R>(&self, f: impl FnOnce(&Channels<'_>) -> Result<R>) -> Result<R> {
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

    /// Moments of all channels, sample by sample. Unknown ones are measured.
    pub(super) fn moments(&self, isa: Isa) -> Result<Vec<ChannelMoments>> {
        let of = |part: &Part| match &part.moments {
            Some(moments) => Ok((moments.clone(), part.tensor.dim(1)?)),
            None => {
                let (_, channels, height, width) = part.tensor.dims4()?;
                let elements = Dense::of(&part.tensor)?;
                let x = Channels::new(&elements, channels, height * width);
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

/// The images as the convolution reads them: normalized if there are statistics.
pub(super) fn source<'a>(images: Channels<'a>, normal: Option<&'a Normal>) -> Source<'a> {
    match normal {
        Some(normal) => Source::normalized(images, normal),
        None => Source::plain(images),
    }
}
