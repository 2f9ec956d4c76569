//! Images whose channels are in one tensor or split over two. Decoder blocks read the two without
//! concatenating them.

use std::ops::Range;

/// Images `[B, C, P]` of `P` pixels.
#[derive(Clone, Copy)]
pub(super) struct Channels<'a> {
    parts: [&'a [f32]; 2],
    counts: [usize; 2],
    pixels: usize,
}

impl<'a> Channels<'a> {
    /// Images in one tensor.
    pub(super) fn new(images: &'a [f32], channels: usize, pixels: usize) -> Self {
        Self { parts: [images, &[]], counts: [channels, 0], pixels }
    }

    /// Images in two tensors, each with its number of channels.
    pub(super) fn joined(parts: [(&'a [f32], usize); 2], pixels: usize) -> Self {
        Self { parts: parts.map(|it| it.0), counts: parts.map(|it| it.1), pixels }
    }

    /// Number of channels of an image.
    pub(super) fn count(&self) -> usize {
        self.counts[0] + self.counts[1]
    }

    pub(super) fn pixels(&self) -> usize {
        self.pixels
    }

    pub(super) fn batch(&self) -> usize {
        self.parts[0].len() / (self.counts[0] * self.pixels)
    }

    /// The pixels of one channel.
    pub(super) fn channel(&self, sample: usize, channel: usize) -> &'a [f32] {
        &self.parts[self.locate(channel).0][self.range(sample, channel)]
    }

    /// Position of one channel's pixels in its tensor.
    pub(super) fn range(&self, sample: usize, channel: usize) -> Range<usize> {
        let (part, channel) = self.locate(channel);
        let start = (sample * self.counts[part] + channel) * self.pixels;
        start..start + self.pixels
    }

    /// Number of elements of each tensor.
    pub(super) fn lens(&self) -> [usize; 2] {
        self.parts.map(<[f32]>::len)
    }

    /// Index of the tensor with a channel, and index of the channel there.
    pub(super) fn locate(&self, channel: usize) -> (usize, usize) {
        match channel.checked_sub(self.counts[0]) {
            None => (0, channel),
            Some(channel) => (1, channel),
        }
    }

    /// All elements, if they are in one tensor.
    pub(super) fn as_one(&self) -> Option<&'a [f32]> {
        (self.counts[1] == 0).then_some(self.parts[0])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_a_channel_in_its_tensor() {
        let (a, b) = ([0f32, 1.0, 2.0, 3.0], [4f32, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0]);
        let joined = Channels::joined([(&a, 1), (&b, 2)], 2);
        assert_eq!((joined.batch(), joined.count(), joined.pixels()), (2, 3, 2));
        let channels: Vec<&[f32]> = (0..6).map(|it| joined.channel(it / 3, it % 3)).collect();
        let expected: [&[f32]; 6] = [&a[..2], &b[..2], &b[2..4], &a[2..], &b[4..6], &b[6..]];
        assert_eq!(channels, expected);
        assert!(joined.as_one().is_none());
        assert_eq!(Channels::new(&b, 2, 2).as_one(), Some(&b[..]));
    }
}
