//! The table of cases.

use models::NetworkConfig;
use serde::Serialize;

use crate::networks;

/// A case: work that is timed and compared with its peer.
#[derive(Clone, Debug, Serialize)]
pub struct Case {
    /// Name on the command line and in tables.
    pub name: String,
    /// Work of one iteration.
    pub work: Work,
    /// Flag of the cases in the short run.
    pub quick: bool,
    /// Target of our time over PyTorch's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<Target>,
    /// Target of our peak memory over PyTorch's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<Target>,
    /// Point in a plot of scaling.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scaling: Option<Scaling>,
}

/// Limit and goal of a ratio.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Target {
    /// Largest ratio that passes.
    pub floor: f64,
    /// Ratio aimed at.
    pub goal: f64,
}

/// Point in a plot of scaling.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Scaling {
    /// Quantity that varies.
    pub axis: Axis,
    /// Value of the quantity.
    pub at: usize,
}

/// Quantity that varies in a plot of scaling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Axis {
    /// Channels at full resolution.
    Channels,
    /// Height and width of the images.
    Resolution,
    /// Images in a pass.
    Batch,
    /// Threads of the process.
    Threads,
}

/// Work of one iteration.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Work {
    /// Product of two square matrices: the machine's peak.
    Product {
        /// Rows and columns.
        size: usize,
    },
    /// Task of a network.
    Network {
        /// Configuration of the network.
        network: NetworkConfig,
        /// Images in a batch.
        batch: usize,
        /// Task of one iteration.
        task: Task,
    },
    /// Inception's 2048 features of images in [-1, 1]: rounding to bytes, resize to 299×299, and
    /// the network with its batch norms folded in, also in PyTorch.
    Features {
        /// Images of 3×32×32.
        images: usize,
    },
    /// Fréchet distance of two sets of features: mean and covariance of each in f64, and the
    /// distance. The peer computes as pytorch-fid does, with NumPy and SciPy's `sqrtm`.
    Frechet {
        /// Rows of a set.
        rows: usize,
        /// Features of a row.
        dim: usize,
    },
}

/// Task of a network in one iteration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Task {
    /// Denoising without gradients.
    Forward,
    /// Denoising, and the gradient with respect to all weights.
    Weights,
    /// Denoising with frozen weights, and the gradient with respect to the images.
    Input,
    /// One update of a distillation: of the fake score, then of the generator.
    Step {
        /// Name of a method without discriminator in `divergence::presets`.
        preset: String,
    },
    /// Sampling in one evaluation.
    Generate,
    /// Sampling with EDM's deterministic Heun sampler.
    Heun {
        /// Steps: `2 · steps − 1` evaluations.
        steps: usize,
    },
}

/// Rows and columns at which a matrix product reaches its peak on the tested machines.
const PEAK_SIZE: usize = 2048;

/// Images in a batch for features; an evaluation has thousands.
const FEATURE_IMAGES: usize = 16;
/// Rows of each set of features: more than features, so that the covariances have full rank.
const FEATURE_ROWS: usize = 5000;
/// Number of features of FID's network.
const INCEPTION_FEATURES: usize = 2048;

/// Point at which the plots of scaling vary one quantity at a time: channels, resolution, batch.
const SCALING_ORIGIN: (usize, usize, usize) = (32, 32, 16);

/// Lists all cases: the machine's peak, whole networks with and without targets, the points of the
/// plots.
pub fn cases() -> Vec<Case> {
    let quick = true;
    let mut cases = vec![row("sgemm", Work::Product { size: PEAK_SIZE }, quick, None)];
    let small = |task| network(networks::small(3, 32), 32, task);
    let cifar10 = |task| network(networks::cifar10(), 4, task);
    let step = |resolution, preset: &str| {
        network(networks::small(1, resolution), 64, Task::Step { preset: preset.into() })
    };
    let adm = |task| network(networks::imagenet64_shallow(), 2, task);
    let rows = [
        row("small-forward", small(Task::Forward), quick, target(0.50, 0.40)),
        row("small-weights", small(Task::Weights), quick, target(0.72, 0.60)),
        row("small-input", small(Task::Input), quick, target(0.75, 0.60)),
        row("cifar10-forward", cifar10(Task::Forward), quick, target(0.55, 0.48)),
        row("cifar10-weights", cifar10(Task::Weights), false, target(0.70, 0.60)),
        row("cifar10-input", cifar10(Task::Input), false, target(0.65, 0.55)),
        row("imagenet64-forward", adm(Task::Forward), false, None),
        row("imagenet64-weights", adm(Task::Weights), false, target(0.75, 0.60)),
        Case {
            memory: target(0.90, 0.65),
            ..row("step-sid-32", step(32, "sid"), false, target(0.70, 0.57))
        },
        row("step-sid-16", step(16, "sid"), quick, target(0.75, 0.60)),
        row("step-diff-instruct-32", step(32, "diff-instruct"), false, None),
        row("step-diff-instruct-16", step(16, "diff-instruct"), false, None),
        row(
            "generate-64",
            network(networks::small(3, 32), 64, Task::Generate),
            quick,
            target(0.50, 0.40),
        ),
        row("heun-18", network(networks::small(3, 32), 8, Task::Heun { steps: 18 }), false, None),
    ];
    cases.extend(rows);
    let features = Work::Features { images: FEATURE_IMAGES };
    cases.push(row("inception-features", features, false, target(1.0, 0.70)));
    let frechet = Work::Frechet { rows: FEATURE_ROWS, dim: INCEPTION_FEATURES };
    cases.push(row("fid-statistics", frechet, false, target(1.0, 0.50)));
    cases.extend(scaling());
    cases
}

/// Lists the points of one plot for each axis: forward and backward passes of the small network.
fn scaling() -> Vec<Case> {
    let (channels, resolution, batch) = SCALING_ORIGIN;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let powers = |from: usize, to: usize| (from..=to).filter(|it| it.is_power_of_two());
    let point = |axis, at, name: &str, [channels, resolution, batch]: [usize; 3]| {
        let network = network(networks::ddpmpp(3, resolution, channels), batch, Task::Weights);
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

fn network(network: NetworkConfig, batch: usize, task: Task) -> Work {
    Work::Network { network, batch, task }
}

fn target(floor: f64, goal: f64) -> Option<Target> {
    Some(Target { floor, goal })
}

/// Finds the case with this name.
///
/// # Errors
///
/// If no case has this name.
pub fn find(name: &str) -> crate::Result<Case> {
    let found = cases().into_iter().find(|case| case.name == name);
    found.ok_or_else(|| format!("no case `{name}`; run `subject list` for all names").into())
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
    fn steps_need_no_images() {
        for case in cases() {
            if let Work::Network { task: Task::Step { preset }, .. } = &case.work {
                let method = &divergence::preset(preset).expect("a known preset").method;
                assert!(!method.needs_discriminator() && method.regression.is_none(), "{preset}");
            }
        }
    }
}
