//! Weights in the order in which the kernels read them.

use rayon::prelude::*;

use super::geometry::Geometry;

/// A weight `[O, I, k, k]`, for the forward convolution or for the gradient with respect to its
/// input.
///
/// That gradient is a convolution of the output's gradient, with input and output channels
/// exchanged and the kernels rotated by half a turn.
#[derive(Clone, Copy)]
pub(super) struct Weight<'a> {
    elements: &'a [f32],
    outputs: usize,
    inputs: usize,
    taps: usize,
    output_stride: usize,
    input_stride: usize,
    rotated: bool,
}

impl<'a> Weight<'a> {
    /// Weight of `geometry`, unchanged.
    pub(super) fn forward(elements: &'a [f32], geometry: &Geometry) -> Self {
        let (outputs, inputs, taps) = (geometry.outputs, geometry.inputs, geometry.taps());
        let (output_stride, input_stride) = (inputs * taps, taps);
        Self { elements, outputs, inputs, taps, output_stride, input_stride, rotated: false }
    }

    /// Weight of `geometry.backward()`, from the `elements` of the weight of `geometry`.
    pub(super) fn backward(elements: &'a [f32], geometry: &Geometry) -> Self {
        let (outputs, inputs, taps) = (geometry.inputs, geometry.outputs, geometry.taps());
        let (output_stride, input_stride) = (taps, outputs * taps);
        Self { elements, outputs, inputs, taps, output_stride, input_stride, rotated: true }
    }

    /// Returns the kernel from channel `input` to channel `output`, as a function of the tap.
    pub(super) fn kernel(&self, output: usize, input: usize) -> impl Fn(usize) -> f32 + use<'a> {
        let start = output * self.output_stride + input * self.input_stride;
        let kernel = &self.elements[start..start + self.taps];
        let (last, rotated) = (self.taps - 1, self.rotated);
        move |tap| kernel[if rotated { last - tap } else { tap }]
    }

    /// Returns the elements of that kernel for `k = 3`, in reverse order if they
    /// [are rotated](Self::is_rotated).
    #[cfg(target_arch = "x86_64")]
    pub(super) fn kernel_3x3(&self, output: usize, input: usize) -> &'a [f32; 9] {
        let start = output * self.output_stride + input * self.input_stride;
        self.elements[start..].first_chunk().expect("every kernel has nine elements")
    }

    /// Returns true if the elements of a kernel are read in reverse order.
    #[cfg(target_arch = "x86_64")]
    pub(super) fn is_rotated(&self) -> bool {
        self.rotated
    }

    /// Channels that the convolution sums over.
    pub(super) fn inputs(&self) -> usize {
        self.inputs
    }

    /// Channels of the output.
    pub(super) fn outputs(&self) -> usize {
        self.outputs
    }

    /// Copies the weight to a matrix `[O, I · k²]`, row by row.
    pub(super) fn matrix(&self) -> Vec<f32> {
        let row = self.inputs * self.taps;
        let mut matrix = vec![0.0; self.outputs * row];
        matrix.par_chunks_mut(row.max(1)).enumerate().for_each(|(output, row)| {
            for (input, kernel) in row.chunks_mut(self.taps).enumerate() {
                let source = self.kernel(output, input);
                kernel.iter_mut().enumerate().for_each(|(tap, it)| *it = source(tap));
            }
        });
        matrix
    }

    /// Copies the weight to `[O / size, I, k², size]`: for each term of the sum, the factors of a
    /// block of `size` output channels. Channels beyond the last are zero.
    #[cfg(target_arch = "x86_64")]
    pub(super) fn blocked(&self, size: usize) -> Vec<f32> {
        let block_len = self.inputs * self.taps * size;
        let mut packed = vec![0.0; self.outputs.div_ceil(size) * block_len];
        packed.par_chunks_mut(block_len.max(1)).enumerate().for_each(|(block, packed)| {
            let first = block * size;
            for lane in 0..size.min(self.outputs - first) {
                for (input, packed) in packed.chunks_mut(self.taps * size).enumerate() {
                    let source = self.kernel(first + lane, input);
                    (0..self.taps).for_each(|tap| packed[tap * size + lane] = source(tap));
                }
            }
        });
        packed
    }
}
