//! An affine map of an image, sampled without aliasing.
//!
//! As in EDM, the image is reflected at its edges, upsampled twofold by an orthogonal lowpass
//! filter, sampled bilinearly on a grid of the same resolution, and downsampled by the same filter.
//! Downsampling inverts upsampling, because the filter is orthogonal: the identity map changes
//! nothing. Points farther than one image beyond the edges are 0.

use std::f64::consts::FRAC_1_SQRT_2;

use super::affine::Affine;

/// Daubechies' least asymmetric orthogonal wavelet of six vanishing moments, "sym6": the lowpass
/// filter (Daubechies 1992, "Ten lectures on wavelets", Table 6.3), of sum √2.
pub(super) const LOWPASS: [f64; 12] = [
    0.015404109327027373,
    0.0034907120842174702,
    -0.11799011114819057,
    -0.048311742585633,
    0.4910559419267466,
    0.787641141030194,
    0.3379294217276218,
    -0.07263752278646252,
    -0.021060292512300564,
    0.04472490177066578,
    0.0017677118642428036,
    -0.007800708325034148,
];

/// Tap on the sample itself: the filter's center of mass is at 5.1.
const CENTER: usize = 5;
/// Taps before and after it.
const REST: usize = LOWPASS.len() - 1 - CENTER;
/// Reach of the filter, in pixels.
const REACH: f64 = (LOWPASS.len() / 4) as f64;

/// Replaces each pixel of a plane of rows of `width` by the value at the point that `source` maps
/// it to, both relative to the center.
pub(super) fn warp(plane: &mut [f32], width: usize, source: &Affine) {
    let height = plane.len() / width;
    let center = [width, height].map(|side| (side as f64 - 1.0) / 2.0);
    let margin = margins(width, height, source);
    let (fine, fine_width) = upsample_2d(plane, width, margin);
    let fine = Plane { width: fine_width, values: &fine };

    // The fine grid of the result reaches beyond it by the filter's taps.
    let (grid_width, grid_height) =
        (2 * (width - 1) + LOWPASS.len(), 2 * (height - 1) + LOWPASS.len());
    let at = |index: usize, axis: usize| (index as f64 - CENTER as f64) / 2.0 - center[axis];
    let mut grid = Vec::with_capacity(grid_width * grid_height);
    for y in 0..grid_height {
        for x in 0..grid_width {
            let [from_x, from_y] = source.map([at(x, 0), at(y, 1)]);
            let index = |from: f64, axis: usize| 2.0 * (from + center[axis] + margin[axis] as f64);
            grid.push(fine.bilinear(index(from_x, 0), index(from_y, 1)));
        }
    }
    downsample_2d(&grid, grid_width, plane, width);
}

/// Pixels of reflected image needed left and right, above and below.
fn margins(width: usize, height: usize, source: &Affine) -> [usize; 2] {
    let half = [width, height].map(|side| (side as f64 - 1.0) / 2.0);
    let mut far = [0f64; 2];
    for (x, y) in [(-1.0, -1.0), (1.0, -1.0), (-1.0, 1.0), (1.0, 1.0)] {
        let corner = source.map([x * (half[0] + REACH), y * (half[1] + REACH)]);
        far = [far[0].max(corner[0].abs()), far[1].max(corner[1].abs())];
    }
    // An extreme map cannot ask for more than one reflection holds; `as` saturates.
    let margin = |axis: usize, side: usize| {
        ((far[axis] + REACH - half[axis]).ceil().max(0.0) as usize).min(side - 1)
    };
    [margin(0, width), margin(1, height)]
}

/// Upsamples the image and its margins twofold; returns values and width.
fn upsample_2d(plane: &[f32], width: usize, margin: [usize; 2]) -> (Vec<f64>, usize) {
    let height = plane.len() / width;
    let (wide, high) = (2 * (width + 2 * margin[0]), 2 * (height + 2 * margin[1]));
    let mut rows = Vec::with_capacity(height * wide);
    for row in plane.chunks_exact(width) {
        rows.extend((0..wide).map(|to| {
            taps(to, width, margin[0])
                .map(|(weight, from)| weight * f64::from(row[from]))
                .sum::<f64>()
        }));
    }
    let mut fine = vec![0.0; high * wide];
    for (to, out) in fine.chunks_exact_mut(wide).enumerate() {
        for (weight, from) in taps(to, height, margin[1]) {
            let row = &rows[from * wide..][..wide];
            out.iter_mut().zip(row).for_each(|(out, value)| *out += weight * value);
        }
    }
    (fine, wide)
}

/// Weights and coarse indices of the terms of sample `to` of the fine signal with margins.
fn taps(to: usize, side: usize, margin: usize) -> impl Iterator<Item = (f64, usize)> {
    // Coarse sample i reaches fine samples 2 i - CENTER + tap.
    let first = to.saturating_sub(REST).div_ceil(2);
    let last = ((to + CENTER) / 2).min(side + 2 * margin - 1);
    (first..=last).map(move |from| {
        let tap = to + CENTER - 2 * from;
        // √2 keeps a constant constant.
        (LOWPASS[tap] / FRAC_1_SQRT_2, reflect(from, side, margin))
    })
}

/// Index in the image of an index with margins; the edge pixel itself is not repeated.
pub(super) fn reflect(index: usize, side: usize, margin: usize) -> usize {
    let inside = index.abs_diff(margin);
    if index < margin || inside < side { inside } else { 2 * (side - 1) - inside }
}

/// Downsamples into `plane`, of rows of `width`: the transpose of upsampling.
fn downsample_2d(grid: &[f64], grid_width: usize, plane: &mut [f32], width: usize) {
    let filter = |window: &mut dyn Iterator<Item = f64>| -> f64 {
        LOWPASS.iter().zip(window).map(|(tap, value)| tap * FRAC_1_SQRT_2 * value).sum()
    };
    let mut rows = Vec::with_capacity(grid.len() / grid_width * width);
    for row in grid.chunks_exact(grid_width) {
        rows.extend((0..width).map(|x| filter(&mut row[2 * x..].iter().copied())));
    }
    for (y, out) in plane.chunks_exact_mut(width).enumerate() {
        for (x, out) in out.iter_mut().enumerate() {
            *out = filter(&mut rows[2 * y * width + x..].iter().step_by(width).copied()) as f32;
        }
    }
}

/// Rows of one length.
struct Plane<'a> {
    width: usize,
    values: &'a [f64],
}

impl Plane<'_> {
    /// Interpolates between the four values around a point; values outside are 0.
    fn bilinear(&self, x: f64, y: f64) -> f64 {
        let (left, top) = (x.floor(), y.floor());
        let (right_share, bottom_share) = (x - left, y - top);
        let row = |y: f64| {
            self.get(left, y) * (1.0 - right_share) + self.get(left + 1.0, y) * right_share
        };
        row(top) * (1.0 - bottom_share) + row(top + 1.0) * bottom_share
    }

    fn get(&self, x: f64, y: f64) -> f64 {
        let height = self.values.len() / self.width;
        let inside = 0.0 <= x && x < self.width as f64 && 0.0 <= y && y < height as f64;
        if inside { self.values[y as usize * self.width + x as usize] } else { 0.0 }
    }
}
