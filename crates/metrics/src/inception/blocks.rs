//! The architecture as a table, in the order of the convolutions in the file.

use kernels::Window;

/// Step of a path.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    /// A convolution with bias and ReLU.
    Convolve(Shape),
    /// Maximum over 3×3 at every other pixel.
    Halve,
    /// Mean over 3×3.
    Average,
    /// Maximum over 3×3.
    Largest,
    /// Several paths from the same input, with their outputs concatenated.
    Fork(&'static [&'static [Step]]),
}

/// Shape of a convolution: input and output channels, height and width of the kernel, positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) inputs: usize,
    pub(super) outputs: usize,
    pub(super) kernel: [usize; 2],
    pub(super) positions: Positions,
}

impl Step {
    /// Output channels for `inputs` channels.
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
    /// Shape of the kernel, `[O, I, h, w]`.
    pub(super) fn kernel(&self) -> [usize; 4] {
        [self.outputs, self.inputs, self.kernel[0], self.kernel[1]]
    }

    pub(super) fn window(&self) -> Window {
        match self.positions {
            Positions::Same => Window::same(self.kernel),
            Positions::Within(stride) => Window { size: self.kernel, stride, padding: [0; 2] },
        }
    }
}

/// Positions of a kernel on the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Positions {
    /// Every pixel, with padding.
    Same,
    /// Within the image, at this stride.
    Within(usize),
}

/// Convolution at every pixel.
const fn c(inputs: usize, outputs: usize, height: usize, width: usize) -> Step {
    Step::Convolve(Shape { inputs, outputs, kernel: [height, width], positions: Positions::Same })
}

/// 3×3 convolution within the image.
const fn within(inputs: usize, outputs: usize, stride: usize) -> Step {
    Step::Convolve(Shape { inputs, outputs, kernel: [3, 3], positions: Positions::Within(stride) })
}

use Step::{Average, Fork, Halve, Largest};

/// Layers before the blocks: 299×299×3 to 35×35×192.
pub(super) const STEM: &[Step] = &[
    within(3, 32, 2),
    within(32, 32, 1),
    c(32, 64, 3, 3),
    Halve,
    c(64, 80, 1, 1),
    within(80, 192, 1),
    Halve,
];

/// Blocks, each with its paths.
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

/// Index of the block with the spatial features, which are the first channels of its first path.
/// TensorFlow calls this path `mixed_6/conv` and counts the blocks from `mixed`, 0.
pub(super) const SPATIAL_BLOCK: usize = 6;

/// The two blocks of 160 channels.
#[rustfmt::skip]
const SEVENS: Step = Fork(&[
    &[c(768, 192, 1, 1)], &[c(768, 160, 1, 1), c(160, 160, 1, 7), c(160, 192, 7, 1)],
    &[c(768, 160, 1, 1), c(160, 160, 7, 1), c(160, 160, 1, 7), c(160, 160, 7, 1), c(160, 192, 1, 7)],
    &[Average, c(768, 192, 1, 1)],
]);

/// A 1×3 and a 3×1 convolution of the same input.
const CROSS: Step = Fork(&[&[c(384, 384, 1, 3)], &[c(384, 384, 3, 1)]]);

/// Lists the convolutions in the order of execution, which is also the order in the file.
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

/// Counts the multiplications of all convolutions for one image of this side.
pub(super) fn multiplications(side: usize) -> usize {
    /// Side of the output, and the sum.
    fn count(steps: &[Step], start: (usize, usize)) -> (usize, usize) {
        steps.iter().fold(start, |(side, sum), step| match step {
            Step::Convolve(shape) => {
                let side = match shape.positions {
                    Positions::Same => side,
                    Positions::Within(stride) => (side - shape.kernel[0]) / stride + 1,
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
