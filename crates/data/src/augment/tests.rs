//! The transformations, their labels and their probabilities.

use candle_core::{Device, Tensor};
use proptest::prelude::*;

use super::affine::Affine;
use super::warp::{LOWPASS, reflect, warp};
use super::{AugmentPipe, LABEL_LEN, Transform};

const SIDE: usize = 32;

/// Makes a smooth blob around `(x, y)` pixels from the center, of standard deviations `(sx, sy)`.
fn blob([x, y]: [f64; 2], [sx, sy]: [f64; 2]) -> Vec<f32> {
    let center = (SIDE as f64 - 1.0) / 2.0;
    let value = |at: usize| {
        let (dx, dy) = ((at % SIDE) as f64 - center - x, (at / SIDE) as f64 - center - y);
        (-(dx / sx).powi(2) / 2.0 - (dy / sy).powi(2) / 2.0).exp() as f32
    };
    (0..SIDE * SIDE).map(value).collect()
}

#[track_caller]
fn assert_images_close(got: &[f32], expected: &[f32], tolerance: f32) {
    let error = got.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(error < tolerance, "largest error {error}, allowed {tolerance}");
}

/// Checks that `transform` maps a blob at `from` of size 3 to a blob at `to` of size `size`.
///
/// Compared within 12 pixels of the center: farther out the reflected edges become visible.
#[track_caller]
fn check_moves(transform: Transform, from: [f64; 2], to: [f64; 2], size: [f64; 2]) {
    let mut image = blob(from, [3.0, 3.0]);
    transform.apply(&mut image, SIDE);
    let center = (SIDE as f64 - 1.0) / 2.0;
    let inside =
        |at: &usize| ((at % SIDE) as f64 - center).hypot((at / SIDE) as f64 - center) < 12.0;
    let cut = |image: &[f32]| -> Vec<f32> {
        (0..SIDE * SIDE).filter(inside).map(|at| image[at]).collect()
    };
    // Error of bilinear interpolation on a grid of step 1/2: at most 2 · (1/2)² / 8 · max f'' = 0.7
    // %. Error of the filter's offset of 0.05 pixels: 2 % after half a turn.
    assert_images_close(&cut(&image), &cut(&blob(to, size)), 0.026);
}

fn images(count: usize) -> Tensor {
    let value = |at: usize| ((at * 7919) % 256) as f32 / 127.5 - 1.0;
    let values = (0..count * 3 * 64).map(value).collect();
    Tensor::from_vec(values, (count, 3, 8, 8), &Device::Cpu).unwrap()
}

fn rows(tensor: &Tensor) -> Vec<Vec<f32>> {
    tensor.flatten_from(1).unwrap().to_vec2().unwrap()
}

/// The filter is determined by its sum √2, orthogonality to its even shifts, and six vanishing
/// moments.
#[test]
fn the_lowpass_filter_is_orthogonal_with_six_vanishing_moments() {
    let sum: f64 = LOWPASS.iter().sum();
    assert!((sum - 2f64.sqrt()).abs() < 1e-12);
    for shift in 0..6 {
        let product: f64 = LOWPASS.iter().zip(&LOWPASS[2 * shift..]).map(|(a, b)| a * b).sum();
        let wanted = if shift == 0 { 1.0 } else { 0.0 };
        assert!((product - wanted).abs() < 1e-10, "shift {shift}: {product}");
    }
    for power in 0..6 {
        let moment: f64 = (0i32..)
            .zip(LOWPASS)
            .map(|(k, tap)| f64::from(1 - 2 * (k % 2)) * f64::from(k - 5).powi(power) * tap)
            .sum();
        assert!(moment.abs() < 1e-7, "moment {power}: {moment}");
    }
}

#[test]
fn the_identity_map_changes_nothing() {
    let image = rows(&images(1)).remove(0)[..64].to_vec();
    let mut warped = image.clone();
    warp(&mut warped, 8, &Affine::scale(1.0, 1.0));
    assert_images_close(&warped, &image, 1e-5);
}

#[test]
fn reflection_does_not_repeat_the_edge() {
    let indices: Vec<_> = (0..10).map(|it| reflect(it, 4, 3)).collect();
    assert_eq!(indices, [3, 2, 1, 0, 1, 2, 3, 2, 1, 0]);
}

#[test]
fn a_constant_image_stays_constant() {
    let mut image = vec![0.7f32; SIDE * SIDE];
    let transform =
        Transform { angle: 0.7, shift: [0.5, -1.0], scale: 0.3, ..Transform::default() };
    transform.apply(&mut image, SIDE);
    assert_images_close(&image, &vec![0.7; SIDE * SIDE], 1e-3);
}

#[test]
fn probability_zero_is_the_identity_with_zero_labels() {
    let images = images(20);
    let (out, labels) = AugmentPipe::edm(0.0).apply(&images, 5, 0).unwrap();
    assert_eq!(rows(&out), rows(&images));
    assert!(rows(&labels).iter().flatten().all(|&it| it == 0.0));
}

#[test]
fn flips_are_exact_and_labeled() {
    let only_flips = AugmentPipe {
        scale: 0.0,
        rotate_frac: 0.0,
        aniso: 0.0,
        translate_frac: 0.0,
        ..AugmentPipe::edm(1.0)
    };
    let images = images(64);
    let (out, labels) = only_flips.apply(&images, 1, 0).unwrap();
    let mut counts = [0; 4];
    for ((image, out), label) in rows(&images).iter().zip(rows(&out)).zip(rows(&labels)) {
        let (xflip, yflip) = (label[0] == 1.0, label[1] == 1.0);
        counts[usize::from(xflip) + 2 * usize::from(yflip)] += 1;
        assert!(label[2..].iter().all(|&it| it == 0.0));
        for (at, value) in out.into_iter().enumerate() {
            let (plane, y, x) = (at / 64, at / 8 % 8, at % 8);
            let (y, x) = (if yflip { 7 - y } else { y }, if xflip { 7 - x } else { x });
            assert_eq!(value, image[plane * 64 + y * 8 + x]);
        }
    }
    assert!(counts.iter().all(|&it| 6 < it), "{counts:?}");
}

#[test]
fn shifts_go_right_and_down_by_an_eighth_of_the_side() {
    let transform = Transform { shift: [1.5, -0.5], ..Transform::default() };
    check_moves(transform, [0.0, 0.0], [6.0, -2.0], [3.0, 3.0]);
    assert_eq!(transform.label(), [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.5, -0.5]);
}

#[test]
fn rotations_are_counterclockwise() {
    for angle in [0.5f64, 2.0, -1.0] {
        let transform = Transform { angle, ..Transform::default() };
        // To the right of the center, then up, y pointing down.
        check_moves(transform, [6.0, 0.0], [6.0 * angle.cos(), -6.0 * angle.sin()], [3.0, 3.0]);
        let label = transform.label();
        assert_eq!(label[3..5], [(angle.cos() - 1.0) as f32, angle.sin() as f32]);
        assert!(label.iter().enumerate().all(|(at, &it)| matches!(at, 3 | 4) || it == 0.0));
    }
}

#[test]
fn scales_are_powers_of_two() {
    let transform = Transform { scale: 2.0, ..Transform::default() };
    let factor = 2f64.powf(0.4);
    check_moves(transform, [4.0, 2.0], [4.0 * factor, 2.0 * factor], [3.0 * factor; 2]);
    assert_eq!(transform.label()[2], 2.0);
    let smaller = Transform { scale: -1.5, ..Transform::default() };
    check_moves(
        smaller,
        [4.0, 2.0],
        [4.0, 2.0].map(|it| it * 2f64.powf(-0.3)),
        [3.0 * 2f64.powf(-0.3); 2],
    );
}

#[test]
fn stretching_keeps_the_area_along_any_axis() {
    let factor = 2f64.powf(0.3);
    let along_x = Transform { aniso: 1.5, ..Transform::default() };
    check_moves(along_x, [3.0, 3.0], [3.0 * factor, 3.0 / factor], [3.0 * factor, 3.0 / factor]);
    assert_eq!(along_x.label()[5..7], [1.5, 0.0]);
    let quarter = std::f64::consts::FRAC_PI_2;
    let along_y = Transform { aniso_angle: quarter, ..along_x };
    check_moves(along_y, [3.0, 3.0], [3.0 / factor, 3.0 * factor], [3.0 / factor, 3.0 * factor]);
    assert!(along_y.label()[5].abs() < 1e-6 && along_y.label()[6] == 1.5);
    // A point on a diagonal axis moves along it, in the direction of the label's sign.
    let axis = Transform { aniso_angle: quarter / 2.0, ..along_x };
    let [x, y] = axis.source(SIDE, SIDE).map([1.0, -1.0]);
    assert!((x - 1.0 / factor).abs() < 1e-12 && (y + 1.0 / factor).abs() < 1e-12);
}

/// The inverse undoes the shift before the scale; otherwise the shift would be scaled.
#[test]
fn transformations_have_edms_order() {
    let transform = Transform { scale: 5.0, shift: [1.0, 0.0], angle: 1.0, ..Transform::default() };
    let [x, y] = transform.source(SIDE, SIDE).map([4.0, 0.0]);
    assert!(x.abs() < 1e-12 && y.abs() < 1e-12, "the center is shown at the shift: {x} {y}");
}

#[test]
fn transformations_have_their_probability_and_variance() {
    let (count, chance) = (20_000, 0.25);
    let pipe = AugmentPipe::edm(chance);
    let drawn: Vec<_> = (0..count).map(|it| Transform::draw(&pipe, 9, it)).collect();
    let share = |holds: &dyn Fn(&Transform) -> bool| {
        drawn.iter().filter(|it| holds(it)).count() as f64 / count as f64
    };
    #[rustfmt::skip]
    let table: [(&str, f64, f64); 7] = [
        ("xflip", share(&|it| it.xflip), 0.5),
        ("yflip", share(&|it| it.yflip), chance / 2.0),
        ("scale", share(&|it| it.scale != 0.0), chance),
        ("rotation", share(&|it| it.angle != 0.0), chance),
        ("stretch", share(&|it| it.aniso != 0.0), chance),
        ("its axis", share(&|it| it.aniso_angle != 0.0), chance / 2.0),
        ("shift", share(&|it| it.shift != [0.0; 2]), chance),
    ];
    for (name, got, expected) in table {
        // Standard error below 0.0036.
        assert!((got - expected).abs() < 0.015, "{name}: {got}, expected {expected}");
    }
    let square = |value: &dyn Fn(&Transform) -> f64| {
        drawn.iter().map(|it| value(it).powi(2)).sum::<f64>() / (count as f64 * chance)
    };
    let angle = std::f64::consts::PI.powi(2) / 3.0;
    for (got, expected) in [
        (square(&|it| it.scale), 1.0),
        (square(&|it| it.aniso), 1.0),
        (square(&|it| it.shift[0]), 1.0),
        (square(&|it| it.shift[1]), 1.0),
        (square(&|it| it.angle), angle),
    ] {
        assert!((got / expected - 1.0).abs() < 0.08, "mean square {got}, expected {expected}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn a_sample_depends_on_its_position_alone(seed: u64, start in 0u64..1 << 40, cut in 1usize..4) {
        let images = images(4);
        let pipe = AugmentPipe::edm(0.8);
        let (whole, labels) = pipe.apply(&images, seed, start).unwrap();
        let rest = images.narrow(0, cut, 4 - cut).unwrap();
        let (part, part_labels) = pipe.apply(&rest, seed, start + cut as u64).unwrap();
        prop_assert_eq!(&rows(&whole)[cut..], rows(&part));
        prop_assert_eq!(&rows(&labels)[cut..], rows(&part_labels));
        prop_assert_eq!(labels.dims(), [4, LABEL_LEN]);
        prop_assert!(rows(&whole).iter().flatten().all(|it| it.is_finite()));
    }

    #[test]
    fn extreme_maps_and_tiny_images_are_finite(side in 1usize..5, scale in -60.0..60.0, shift in -1e6..1e6) {
        let transform = Transform { scale, shift: [shift, 0.0], angle: 1.0, ..Transform::default() };
        let mut image = vec![1f32; side * side];
        transform.apply(&mut image, side);
        prop_assert!(image.iter().all(|it| it.is_finite()));
    }
}
