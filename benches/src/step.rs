//! One update of a distillation, by the engine of `train`.

use candle_core::Device;
use divergence::Method;
use models::{NetworkConfig, NetworkFile, Provenance, Role};
use train::assemble::{RunInputs, assemble};
use train::step::{RandomInputs, Use};
use train::{Config, Engine, Outcome, Phase};

use crate::pass::weights;
use crate::{Error, Result};

/// Seed of the teacher's weights.
pub const TEACHER_SEED: u64 = 1;
/// Seeds of the other networks' weights. With equal weights of teacher and fake score, the gap and
/// the generator's gradient would be zero.
const GENERATOR_SEED: u64 = 2;
const FAKE_SEED: u64 = 3;

/// Builds the engine before its first update.
///
/// # Errors
///
/// If the preset is unknown or needs images.
pub fn engine(network: &NetworkConfig, batch: usize, preset: &str) -> Result<Engine> {
    let method: Method = divergence::preset(preset)
        .ok_or_else(|| format!("no method `{preset}`; run `uni-instruct list` for all names"))?
        .method
        .clone();
    let phase = Phase { images: u64::MAX, train_generator: true, method };
    let config = Config { batch: batch.try_into()?, phase: vec![phase], ..Config::default() };
    let players = [TEACHER_SEED, GENERATOR_SEED, FAKE_SEED];
    let [teacher, generator, fake] = players.map(|seed| weights(network, seed));
    let file = NetworkFile {
        config: network.clone(),
        params: teacher?,
        role: Role::Teacher,
        provenance: Provenance::default(),
    };
    let inputs = RunInputs {
        teacher: file,
        teacher_hash: String::new(),
        dataset: None,
        features: None,
        student: None,
        device: Device::Cpu,
    };
    // No samples of the teacher are needed, so nothing is written to the folder.
    let engine = assemble(config, inputs, &std::env::temp_dir(), |_, _| Ok(()))?;
    engine.state.generator.params.set_from(&generator?.tensors())?;
    engine.state.fake.params.set_from(&fake?.tensors())?;
    Ok(engine)
}

/// Runs one update.
///
/// # Errors
///
/// If a network fails, or a loss or gradient is not finite: the update is skipped then, and its
/// time is not comparable.
pub fn run(engine: &mut Engine) -> Result<()> {
    match engine.update()? {
        Outcome::Applied(_) => Ok(()),
        Outcome::Skipped(what) => Err(Error::from(format!("{what} is not finite"))),
    }
}

/// Draws the random tensors of an engine's first update, with the peer's names for them.
///
/// # Errors
///
/// If a tensor operation fails.
pub fn first_draws(engine: &Engine) -> Result<Vec<(&'static str, candle_core::Tensor)>> {
    let random = RandomInputs {
        seed: engine.config.seed,
        position: 0,
        batch: engine.config.batch.get(),
        sample: &engine.networks.sample,
        dtype: engine.dtype,
        device: &engine.device,
    };
    let method = &engine.config.phase_at(0)?.1.method;
    let mixed = Some((engine.config.fake_share.get(), &method.sigma_law));
    Ok(vec![
        ("fake_z", random.normal(Use::FakeLatent)?),
        ("fake_sigma", random.sigma(Use::FakeSigma, &method.fake_sigma_law, mixed)?),
        ("fake_noise", random.normal(Use::FakeNoise)?),
        ("z", random.normal(Use::GeneratorLatent)?),
        ("sigma", random.sigma(Use::GeneratorSigma, &method.sigma_law, None)?),
        ("noise", random.normal(Use::GeneratorNoise)?),
    ])
}
