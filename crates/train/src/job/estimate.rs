//! Estimate of a run's memory from its configuration, before anything is allocated.

use divergence::{Method, Objective};
use models::NetworkConfig;

use super::assemble::{head, needs_discriminator, needs_head};
use crate::{Config, Error};

/// Bytes of an element: everything is f32.
const ELEMENT: u64 = 4;

/// Estimate of a run on a CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Estimate {
    /// Parameters of the teacher; the generator has as many.
    pub network_parameters: u64,
    /// Parameters of the fake score; 0 if the run trains none.
    pub fake_parameters: u64,
    /// Parameters of the discriminator's own head; 0 without such a head.
    pub head_parameters: u64,
    /// True if a discriminator is trained.
    pub discriminates: bool,
    /// Bytes of memory.
    pub memory: Memory,
}

/// Bytes of memory, by use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Weights of the teacher, the generator and its average, the fake score with its average if it has
    /// one, and the head.
    pub weights: u64,
    /// Adam's two moments of all trained parameters.
    pub moments: u64,
    /// Gradients of one network; two sets if passes are accumulated.
    pub gradients: u64,
    /// Activations of one batch that the networks of a step keep for the backward pass.
    pub activations: u64,
}

impl Memory {
    /// Sum of all uses. The program itself, its data set and scratch memory of layers are not included.
    pub fn total(&self) -> u64 {
        self.weights + self.moments + self.gradients + self.activations
    }
}

/// Estimates a run with a teacher of this network.
///
/// # Errors
///
/// If an option of the network is out of range.
pub fn estimate(config: &Config, network: &NetworkConfig) -> Result<Estimate, Error> {
    let parameters = network.parameter_count()? as u64;
    let discriminates = needs_discriminator(config);
    let head = if needs_head(config) { head(network).parameter_count()? as u64 } else { 0 };
    let fakes = config.phase.iter().any(|phase| phase.method.needs_fake_score());
    let passes = if config.accumulation.get() == 1 { 1 } else { 2 };
    let mut activations = 0;
    for phase in &config.phase {
        activations = activations.max(fake_step(config, &phase.method, network)?);
        if phase.train_generator {
            activations = activations.max(generator_step(&phase.method, network)?);
        }
    }
    let averages = config.fake_ema.map_or(0, |_| parameters + head);
    // An assembled run holds the fake score, with its moments, even if no phase trains it.
    let memory = Memory {
        weights: ELEMENT * (4 * parameters + head + averages),
        moments: ELEMENT * 2 * (2 * parameters + head),
        gradients: ELEMENT * passes * (parameters + head),
        activations: ELEMENT * activations * config.batch.get() as u64,
    };
    Ok(Estimate {
        network_parameters: parameters,
        fake_parameters: if fakes { parameters } else { 0 },
        head_parameters: head,
        discriminates,
        memory,
    })
}

/// Elements that the fake score's step keeps per image: a pass on the student's image, and a pass
/// through the encoder on a real one.
fn fake_step(config: &Config, method: &Method, network: &NetworkConfig) -> Result<u64, Error> {
    if !method.needs_fake_score() {
        return Ok(0);
    }
    let kept = network.kept()?;
    let dropout = if 0.0 < config.dropout.get() { kept.dropout } else { 0 };
    let fake = kept.encoder + kept.decoder + dropout;
    // Dropout is spread over encoder and decoder in about the same proportion.
    let real = kept.encoder + dropout * kept.encoder / (kept.encoder + kept.decoder).max(1);
    Ok(if method.needs_discriminator() { fake + real } else { fake } as u64)
}

/// Elements that the generator's step keeps per image: the generator's pass, and the passes of
/// teacher and fake score if the gradient flows through their input.
fn generator_step(method: &Method, network: &NetworkConfig) -> Result<u64, Error> {
    let kept = network.kept()?;
    let through_both = method.objective != Objective::Integral;
    let through_fake = (through_both && method.needs_fake_score()) || method.adversarial.is_some();
    let through_pairs = method.regression.is_some();
    let networks = [true, through_both, through_fake, through_pairs];
    let networks = networks.into_iter().filter(|it| *it).count();
    Ok((networks * (kept.encoder + kept.decoder)) as u64)
}
