//! Ids of a run's random streams.
//!
//! Each use of randomness reads its own stream (see [`kernels::noise`]), so a new use never shifts
//! the values of another. An id is never reused, because a run is reproducible only with the same
//! ids.

use kernels::noise::NoiseStream;

/// A use of randomness, with the id of its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Use {
    /// Latents of the generator's update.
    GeneratorLatent = 1,
    /// Noise levels of the generator's update.
    GeneratorSigma = 2,
    /// Noise on the generator's samples in its own update.
    GeneratorNoise = 3,
    /// Labels of the generator's update.
    GeneratorLabel = 4,
    /// Latents of the fake score's update.
    FakeLatent = 5,
    /// Noise levels of the fake score's update.
    FakeSigma = 6,
    /// Noise on the samples in the fake score's update.
    FakeNoise = 7,
    /// Labels of the fake score's update.
    FakeLabel = 8,
    /// Order of the real images.
    RealOrder = 9,
    /// Noise on the real images.
    RealNoise = 10,
    /// Augmentation of images.
    Augment = 11,
    /// Dropout masks.
    Dropout = 12,
    /// Latents of the teacher's cached samples.
    PairLatent = 13,
    /// Labels of the teacher's cached samples.
    PairLabel = 14,
    /// Order of the cached pairs of a regression term.
    PairOrder = 15,
    /// Latents of sample grids and of evaluation.
    SampleLatent = models::sampling::LATENT_STREAM,
    /// Noise levels while a teacher is trained.
    TeacherSigma = 17,
    /// Noise while a teacher is trained.
    TeacherNoise = 18,
    /// Noise of a stochastic sampler.
    Churn = models::sampling::CHURN_STREAM,
    /// Pixels of placeholder images.
    PlaceholderPixel = 20,
    /// Classes of placeholder images.
    PlaceholderLabel = 21,
    /// Samples of a distribution that provides the real images.
    RealSample = 22,
    /// Noise along the path of a log-ratio.
    PathNoise = models::path_ratio::PATH_NOISE_STREAM,
    /// Noise levels along it.
    PathLevel = models::path_ratio::PATH_LEVEL_STREAM,
    /// Path integrals at the student's samples in the fake score's update.
    FakePath = 25,
    /// Path integrals at real images.
    RealPath = 26,
    /// Noise between the steps of a generator that is sampled from.
    SampleStepNoise = models::sampling::STEP_NOISE_STREAM,
    /// Steps of a generator's samples in its update.
    GeneratorStep = 28,
    /// Noise between its steps.
    GeneratorStepNoise = 29,
    /// Steps of a generator's samples in the fake score's update.
    FakeStep = 30,
    /// Noise between these steps.
    FakeStepNoise = 31,
}

/// The stream of one use, in a run with this seed.
pub fn stream(seed: u64, of: Use) -> NoiseStream {
    NoiseStream::new(seed, of as u32)
}

/// A seed for one use, for code that takes a seed and has its own streams.
pub fn derived_seed(seed: u64, of: Use) -> u64 {
    stream(seed, of).below(u64::MAX, 0, u64::MAX)
}
