//! The table of cases.

use models::NetworkConfig;
use serde::Serialize;

use crate::networks;

/// One row: something to be timed against its peer.
#[derive(Clone, Debug, Serialize)]
pub struct Case {
    /// What it is called on the command line and in tables.
    pub name: String,
    /// What is done in one iteration.
    pub work: Work,
    /// Whether the short run has it.
    pub quick: bool,
    /// Our time over PyTorch's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<Target>,
    /// Our peak memory over PyTorch's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<Target>,
    /// Where it stands in a plot of growing cost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scaling: Option<Scaling>,
}

/// What a ratio must not exceed, and what it is meant to reach.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Target {
    /// Largest ratio that passes.
    pub floor: f64,
    /// The ratio that is aimed at.
    pub goal: f64,
}

/// A point of a plot.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Scaling {
    /// What grows.
    pub axis: Axis,
    /// Where on the axis.
    pub at: usize,
}

/// What a cost grows with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Axis {
    /// Channels at full resolution.
    Channels,
    /// Height and width of the images.
    Resolution,
    /// Images in a pass.
    Batch,
    /// Threads that the process may use.
    Threads,
}

/// What is done in one iteration.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Work {
    /// A product of two square matrices: the machine's peak.
    Product {
        /// Rows and columns.
        size: usize,
    },
    /// Something that a network does.
    Network {
        /// Which network.
        network: NetworkConfig,
        /// Images at once.
        batch: usize,
        /// What it does.
        act: Act,
    },
    /// Inception's features, from images in [-1, 1] to 2048 numbers each: rounding to bytes, resize to
    /// 299×299, the network with its batch norms folded in (PyTorch's, too).
    Features {
        /// Images of 3×32×32.
        images: usize,
    },
    /// The Fréchet distance of two sets of features: mean and covariance of each in f64, and the
    /// distance. The peer does what pytorch-fid does, with NumPy and SciPy's `sqrtm`.
    Frechet {
        /// Rows of a set.
        rows: usize,
        /// Features of a row.
        dim: usize,
    },
}

/// What a network does in one iteration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Act {
    /// Denoises, without gradients.
    Forward,
    /// Denoises, and the gradient of all weights.
    Weights,
    /// Denoises with frozen weights, and the gradient of the input.
    Input,
    /// One update of a distillation: of the fake score, then of the generator.
    Step {
        /// A method without discriminator, by its name in `divergence::presets`.
        preset: String,
    },
    /// Makes samples in one evaluation.
    Generate,
    /// Makes samples with EDM's deterministic Heun sampler.
    Heun {
        /// Steps: `2 · steps − 1` evaluations.
        steps: usize,
    },
}

/// Rows and columns at which a matrix product is at its peak on the machines that were tried.
const PEAK_SIZE: usize = 2048;

/// Images of a batch for features: an evaluation has thousands.
const FEATURE_IMAGES: usize = 16;
/// Rows of each of two sets of features: more than features, for covariances of full rank.
const FEATURE_ROWS: usize = 5000;
/// Features of the network of FID.
const INCEPTION_FEATURES: usize = 2048;

/// Of what the scaling plots vary one quantity at a time: channels, resolution, batch.
const SCALING_ORIGIN: (usize, usize, usize) = (32, 32, 16);

/// All cases: the machine's peak, what has targets, what has none yet, the points of the plots.
pub fn cases() -> Vec<Case> {
    let quick = true;
    let mut cases = vec![row("sgemm", Work::Product { size: PEAK_SIZE }, quick, None)];
    let small = |act| network(networks::small(3, 32), 32, act);
    let cifar10 = |act| network(networks::cifar10(), 4, act);
    let step = |resolution, preset: &str| {
        network(networks::small(1, resolution), 64, Act::Step { preset: preset.into() })
    };
    let adm = |act| network(networks::imagenet64_shallow(), 2, act);
    let rows = [
        row("small-forward", small(Act::Forward), quick, target(0.50, 0.40)),
        row("small-weights", small(Act::Weights), quick, target(0.72, 0.60)),
        row("small-input", small(Act::Input), quick, target(0.75, 0.60)),
        row("cifar10-forward", cifar10(Act::Forward), quick, target(0.55, 0.48)),
        row("cifar10-weights", cifar10(Act::Weights), false, target(0.70, 0.60)),
        row("cifar10-input", cifar10(Act::Input), false, target(0.65, 0.55)),
        row("imagenet64-forward", adm(Act::Forward), false, None),
        row("imagenet64-weights", adm(Act::Weights), false, target(0.75, 0.60)),
        Case {
            memory: target(0.90, 0.65),
            ..row("step-sid-32", step(32, "sid"), false, target(0.70, 0.57))
        },
        row("step-sid-16", step(16, "sid"), quick, target(0.75, 0.60)),
        row("step-diff-instruct-32", step(32, "diff-instruct"), false, None),
        row("step-diff-instruct-16", step(16, "diff-instruct"), false, None),
        row(
            "generate-64",
            network(networks::small(3, 32), 64, Act::Generate),
            quick,
            target(0.50, 0.40),
        ),
        row("heun-18", network(networks::small(3, 32), 8, Act::Heun { steps: 18 }), false, None),
    ];
    cases.extend(rows);
    let features = Work::Features { images: FEATURE_IMAGES };
    cases.push(row("inception-features", features, false, target(1.0, 0.70)));
    let frechet = Work::Frechet { rows: FEATURE_ROWS, dim: INCEPTION_FEATURES };
    cases.push(row("fid-statistics", frechet, false, target(1.0, 0.50)));
    cases.extend(scaling());
    cases
}

/// One plot an axis: forward and backward by weights of the small network.
fn scaling() -> Vec<Case> {
    let (channels, resolution, batch) = SCALING_ORIGIN;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let powers = |from: usize, to: usize| (from..=to).filter(|it| it.is_power_of_two());
    let point = |axis, at, name: &str, [channels, resolution, batch]: [usize; 3]| {
        let network = network(networks::ddpmpp(3, resolution, channels), batch, Act::Weights);
        let scaling = Some(Scaling { axis, at });
        Case { scaling, ..row(&format!("{name}-{at}"), network, false, None) }
    };
    let mut cases = Vec::new();
    for at in powers(16, 128) {
        cases.push(point(Axis::Channels, at, "channels", [at, resolution, batch]));
    }
    for at in powers(8, 64) {
        cases.push(point(Axis::Resolution, at, "resolution", [channels, at, batch]));
    }
    for at in powers(1, 64) {
        cases.push(point(Axis::Batch, at, "batch", [channels, resolution, at]));
    }
    for at in powers(1, cores) {
        cases.push(point(Axis::Threads, at, "threads", [channels, resolution, batch]));
    }
    cases
}

fn row(name: &str, work: Work, quick: bool, time: Option<Target>) -> Case {
    Case { name: name.into(), work, quick, time, memory: None, scaling: None }
}

fn network(network: NetworkConfig, batch: usize, act: Act) -> Work {
    Work::Network { network, batch, act }
}

fn target(floor: f64, goal: f64) -> Option<Target> {
    Some(Target { floor, goal })
}

/// The case of this name.
///
/// # Errors
///
/// If there is none.
pub fn find(name: &str) -> crate::Result<Case> {
    let found = cases().into_iter().find(|case| case.name == name);
    found.ok_or_else(|| format!("no case `{name}`; `subject list` names all").into())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_unique_and_networks_valid() {
        let mut names = BTreeSet::new();
        for case in cases() {
            assert!(names.insert(case.name.clone()), "{} twice", case.name);
            if let Work::Network { network, .. } = &case.work {
                network.validate().unwrap();
            }
            for target in [case.time, case.memory].into_iter().flatten() {
                assert!(target.goal < target.floor, "{}", case.name);
            }
        }
    }

    #[test]
    fn a_step_needs_no_images() {
        for case in cases() {
            if let Work::Network { act: Act::Step { preset }, .. } = &case.work {
                let method = &divergence::preset(preset).expect("a known preset").method;
                assert!(!method.needs_discriminator() && method.regression.is_none(), "{preset}");
            }
        }
    }
}
