//! Operations of a case: multiplications and additions of its convolutions, linear maps and
//! attention, by the direct method.
//!
//! They follow from the names and shapes of a network's tensors: `enc.16x16_block0.conv0.weight` is
//! applied at every pixel of 16×16. Norms, activations and sums are below 1 % and not counted. A
//! method with fewer multiplications, such as Winograd's, can exceed the peak on this scale.

use divergence::{FakeScoreSource, preset};
use metrics::Inception;
use models::NetworkConfig;

use crate::Result;
use crate::case::{Task, Work};

/// Counts the operations of one iteration.
///
/// # Errors
///
/// If the network is invalid.
pub fn of(work: &Work) -> Result<f64> {
    match work {
        Work::Product { size } => Ok(2.0 * (*size as f64).powi(3)),
        Work::Network { network, batch, task } => {
            Ok(forward(network)? * *batch as f64 * passes(task))
        }
        Work::Features { images } => Ok(2.0 * Inception::multiplications() as f64 * *images as f64),
        // Both covariances and their product. Decompositions differ between implementations and are
        // not counted.
        Work::Frechet { rows, dim } => {
            let (rows, dim) = (*rows as f64, *dim as f64);
            Ok(2.0 * 2.0 * rows * dim.powi(2) + 2.0 * dim.powi(3))
        }
    }
}

/// Number of forward passes with the cost of a task: each of the two gradients of a layer costs as
/// much as its forward pass.
fn passes(task: &Task) -> f64 {
    const FORWARD: f64 = 1.0;
    const INPUT: f64 = 2.0;
    const WEIGHTS: f64 = 3.0;
    match task {
        Task::Forward | Task::Generate => FORWARD,
        Task::Input => INPUT,
        Task::Weights => WEIGHTS,
        Task::Heun { steps } => (2 * steps - 1) as f64,
        Task::Step { preset: name } => {
            let Some(row) = preset(name) else { return f64::NAN };
            let trained = row.method.fake_score == FakeScoreSource::Trained;
            let denoisers =
                if row.method.needs_input_gradient() { 2.0 * INPUT } else { 2.0 * FORWARD };
            // The fake score is trained on samples of the generator.
            let fake = if trained { FORWARD + WEIGHTS } else { 0.0 };
            fake + WEIGHTS + denoisers
        }
    }
}

/// Counts the operations of a forward pass of one image.
///
/// # Errors
///
/// If the network is invalid.
pub fn forward(network: &NetworkConfig) -> Result<f64> {
    let shapes = network.shapes()?;
    let count = |(name, shape): (&String, &Vec<usize>)| {
        let pixels = side(name, network.img_resolution).pow(2);
        let convolution = match (name.ends_with(".weight"), shape.as_slice()) {
            (true, [outputs, inputs, height, width]) => outputs * inputs * height * width * pixels,
            (true, [outputs, inputs]) => outputs * inputs,
            _ => 0,
        };
        // Attention multiplies all pairs of pixels twice, for the weights and for the values.
        let attention = match (name.ends_with(".qkv.weight"), shape.first()) {
            (true, Some(packed)) => 2 * packed / 3 * pixels * pixels,
            _ => 0,
        };
        2.0 * (convolution + attention) as f64
    };
    Ok(shapes.iter().map(count).sum())
}

/// Side of a layer's feature map: from its name, else the side of the images.
fn side(name: &str, resolution: usize) -> usize {
    let parts = name.split(['.', '_']).filter_map(|part| part.split_once('x'));
    let mut sides =
        parts.filter_map(|(height, width)| height.parse().ok().filter(|_: &usize| height == width));
    sides.next().unwrap_or(resolution)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::networks;

    #[test]
    fn layers_are_counted_at_their_resolution() {
        assert_eq!(side("model.enc.16x16_block0.conv0.weight", 64), 16);
        assert_eq!(side("model.out_conv.weight", 64), 64);
    }

    /// Counted by hooks on a PyTorch network of the same options: 28.9 and 169.5 GFLOP.
    #[test]
    fn counts_agree_with_a_profiler() {
        let giga = |network, batch| forward(&network).unwrap() * batch / 1e9;
        assert!((giga(networks::small(3, 32), 32.0) - 28.9).abs() < 0.1);
        assert!((giga(networks::cifar10(), 4.0) - 169.5).abs() < 0.3);
    }

    /// The paper counts 5 billion multiplications (Szegedy et al. 2016, sec. 6), hooks on PyTorch's
    /// modules count 5.711.
    #[test]
    fn inception_has_the_published_cost() {
        let giga = Inception::multiplications() as f64 / 1e9;
        assert!((giga - 5.711).abs() < 1e-3, "{giga}");
    }

    #[test]
    fn an_expansion_is_eleven_passes_and_an_integral_nine() {
        let step = |preset: &str| passes(&Task::Step { preset: preset.into() });
        assert_eq!([step("sid"), step("diff-instruct")], [11.0, 9.0]);
    }
}
