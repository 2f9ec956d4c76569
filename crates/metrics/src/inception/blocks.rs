//! The architecture as a table, in the order in which the file has the convolutions.

use kernels::Window;

/// A step along a path.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    /// A convolution with bias and ReLU.
    Convolve(Shape),
    /// The largest of 3×3, at every other pixel.
    Halve,
    /// The mean of 3×3.
    Average,
    /// The largest of 3×3.
    Largest,
    /// Several paths from here, their ends joined.
    Fork(&'static [&'static [Step]]),
}

/// A convolution: channels in and out, height and width of the kernel, and how it moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) inputs: usize,
    pub(super) outputs: usize,
    pub(super) kernel: [usize; 2],
    pub(super) moves: Moves,
}

impl Step {
    /// Channels of what it makes of `inputs` channels.
    pub(super) fn outputs(&self, inputs: usize) -> usize {
        match self {
            Self::Convolve(shape) => shape.outputs,
            Self::Halve | Self::Average | Self::Largest => inputs,
            Self::Fork(paths) => {
                let end = |steps: &&[Self]| steps.iter().fold(inputs, |it, step| step.outputs(it));
                paths.iter().map(end).sum()
            }
        }
    }
}

impl Shape {
    /// `[O, I, h, w]`
    pub(super) fn kernel(&self) -> [usize; 4] {
        [self.outputs, self.inputs, self.kernel[0], self.kernel[1]]
    }

    pub(super) fn window(&self) -> Window {
        match self.moves {
            Moves::Same => Window::same(self.kernel),
            Moves::Within(stride) => Window { size: self.kernel, stride, padding: [0; 2] },
        }
    }
}

/// How a kernel moves over the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moves {
    /// Over every pixel.
    Same,
    /// Within the image, by so many pixels.
    Within(usize),
}

/// A convolution over every pixel.
const fn c(inputs: usize, outputs: usize, height: usize, width: usize) -> Step {
    Step::Convolve(Shape { inputs, outputs, kernel: [height, width], moves: Moves::Same })
}

/// A 3×3 convolution within the image.
const fn within(inputs: usize, outputs: usize, stride: usize) -> Step {
    Step::Convolve(Shape { inputs, outputs, kernel: [3, 3], moves: Moves::Within(stride) })
}

use Step::{Average, Fork, Halve, Largest};

/// Before the blocks: 299×299×3 to 35×35×192.
pub(super) const STEM: &[Step] = &[
    within(3, 32, 2),
    within(32, 32, 1),
    c(32, 64, 3, 3),
    Halve,
    c(64, 80, 1, 1),
    within(80, 192, 1),
    Halve,
];

/// The paths of each block.
#[rustfmt::skip]
pub(super) const BLOCKS: &[Step] = &[
    // 35×35
    Fork(&[&[c(192, 64, 1, 1)], &[c(192, 48, 1, 1), c(48, 64, 5, 5)],
      &[c(192, 64, 1, 1), c(64, 96, 3, 3), c(96, 96, 3, 3)], &[Average, c(192, 32, 1, 1)]]),
    Fork(&[&[c(256, 64, 1, 1)], &[c(256, 48, 1, 1), c(48, 64, 5, 5)],
      &[c(256, 64, 1, 1), c(64, 96, 3, 3), c(96, 96, 3, 3)], &[Average, c(256, 64, 1, 1)]]),
    Fork(&[&[c(288, 64, 1, 1)], &[c(288, 48, 1, 1), c(48, 64, 5, 5)],
      &[c(288, 64, 1, 1), c(64, 96, 3, 3), c(96, 96, 3, 3)], &[Average, c(288, 64, 1, 1)]]),
    // to 17×17
    Fork(&[&[within(288, 384, 2)], &[c(288, 64, 1, 1), c(64, 96, 3, 3), within(96, 96, 2)], &[Halve]]),
    Fork(&[&[c(768, 192, 1, 1)], &[c(768, 128, 1, 1), c(128, 128, 1, 7), c(128, 192, 7, 1)],
      &[c(768, 128, 1, 1), c(128, 128, 7, 1), c(128, 128, 1, 7), c(128, 128, 7, 1), c(128, 192, 1, 7)],
      &[Average, c(768, 192, 1, 1)]]),
    SEVENS, SEVENS,
    Fork(&[&[c(768, 192, 1, 1)], &[c(768, 192, 1, 1), c(192, 192, 1, 7), c(192, 192, 7, 1)],
      &[c(768, 192, 1, 1), c(192, 192, 7, 1), c(192, 192, 1, 7), c(192, 192, 7, 1), c(192, 192, 1, 7)],
      &[Average, c(768, 192, 1, 1)]]),
    // to 8×8
    Fork(&[&[c(768, 192, 1, 1), within(192, 320, 2)],
      &[c(768, 192, 1, 1), c(192, 192, 1, 7), c(192, 192, 7, 1), within(192, 192, 2)], &[Halve]]),
    Fork(&[&[c(1280, 320, 1, 1)], &[c(1280, 384, 1, 1), CROSS],
      &[c(1280, 448, 1, 1), c(448, 384, 3, 3), CROSS], &[Average, c(1280, 192, 1, 1)]]),
    Fork(&[&[c(2048, 320, 1, 1)], &[c(2048, 384, 1, 1), CROSS],
      &[c(2048, 448, 1, 1), c(448, 384, 3, 3), CROSS], &[Largest, c(2048, 192, 1, 1)]]),
];

/// The block whose first path's first channels are the spatial features: TensorFlow calls that path
/// `mixed_6/conv`, and counts the blocks from `mixed`, 0.
pub(super) const SPATIAL_BLOCK: usize = 6;

/// The two blocks of 160 channels.
#[rustfmt::skip]
const SEVENS: Step = Fork(&[
    &[c(768, 192, 1, 1)], &[c(768, 160, 1, 1), c(160, 160, 1, 7), c(160, 192, 7, 1)],
    &[c(768, 160, 1, 1), c(160, 160, 7, 1), c(160, 160, 1, 7), c(160, 160, 7, 1), c(160, 192, 1, 7)],
    &[Average, c(768, 192, 1, 1)],
]);

/// A row and a column side by side.
const CROSS: Step = Fork(&[&[c(384, 384, 1, 3)], &[c(384, 384, 3, 1)]]);

/// The convolutions in the order in which they run, which is that of the file.
pub(super) fn convolutions() -> Vec<Shape> {
    fn collect(steps: &[Step], found: &mut Vec<Shape>) {
        for step in steps {
            match step {
                Step::Convolve(shape) => found.push(*shape),
                Step::Fork(paths) => paths.iter().for_each(|steps| collect(steps, found)),
                Step::Halve | Step::Average | Step::Largest => (),
            }
        }
    }
    let mut found = Vec::new();
    collect(STEM, &mut found);
    collect(BLOCKS, &mut found);
    found
}

/// Multiplications of all convolutions for one image of this side.
pub(super) fn multiplications(side: usize) -> usize {
    /// The side of what comes out, and the sum.
    fn count(steps: &[Step], start: (usize, usize)) -> (usize, usize) {
        steps.iter().fold(start, |(side, sum), step| match step {
            Step::Convolve(shape) => {
                let side = match shape.moves {
                    Moves::Same => side,
                    Moves::Within(stride) => (side - shape.kernel[0]) / stride + 1,
                };
                (side, sum + shape.kernel().iter().product::<usize>() * side.pow(2))
            }
            Step::Halve => ((side - 3) / 2 + 1, sum),
            Step::Average | Step::Largest => (side, sum),
            Step::Fork(paths) => {
                paths.iter().fold((side, sum), |(_, sum), steps| count(steps, (side, sum)))
            }
        })
    }
    count(BLOCKS, count(STEM, (side, 0))).1
}
