//! What a run will take, told from its configuration before anything is allocated.

use divergence::{Method, Objective};
use models::NetworkConfig;

use crate::{
    Config, Error,
    assemble::{head, needs_discriminator, needs_head},
};

/// Bytes of a number: everything is f32.
const NUMBER: u64 = 4;

/// What a run will take on a CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Estimate {
    /// Parameters of the teacher, as many as the generator's.
    pub network_parameters: u64,
    /// Parameters of the fake score; 0 if the run trains none.
    pub fake_parameters: u64,
    /// Parameters of the discriminator's own; 0 if it has none, or if there is no discriminator.
    pub head_parameters: u64,
    /// Whether a discriminator is trained.
    pub discriminates: bool,
    /// Bytes by what they are for.
    pub memory: Memory,
}

/// Bytes by what they are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Weights of the teacher, the generator and its average, the fake score and the head.
    pub weights: u64,
    /// Adam's two moments of all that is trained.
    pub moments: u64,
    /// Gradients of one network; a second set where passes are added up.
    pub gradients: u64,
    /// What the networks of a step keep for the way back, of one batch.
    pub activations: u64,
}

impl Memory {
    /// All together. What the program itself, its data set and a layer's scratch take is not in it.
    pub fn total(&self) -> u64 {
        self.weights + self.moments + self.gradients + self.activations
    }
}

/// What a run takes whose teacher is of this network.
///
/// # Errors
///
/// If an option of the network is out of range.
pub fn estimate(config: &Config, network: &NetworkConfig) -> Result<Estimate, Error> {
    let parameters = network.parameter_count()? as u64;
    let discriminates = needs_discriminator(config);
    let head = match needs_head(config) {
        true => head(network).parameter_count()? as u64,
        false => 0,
    };
    let fakes = config.phase.iter().any(|phase| phase.method.needs_fake_score());
    let passes = if config.accumulation.get() == 1 { 1 } else { 2 };
    let mut activations = 0;
    for phase in &config.phase {
        activations = activations.max(fake_step(config, &phase.method, network)?);
        if phase.train_generator {
            activations = activations.max(generator_step(&phase.method, network)?);
        }
    }
    // An assembled run holds the fake score, with its moments, even if no phase trains it.
    let memory = Memory {
        weights: NUMBER * (4 * parameters + head),
        moments: NUMBER * 2 * (2 * parameters + head),
        gradients: NUMBER * passes * (parameters + head),
        activations: NUMBER * activations * config.batch.get() as u64,
    };
    Ok(Estimate {
        network_parameters: parameters,
        fake_parameters: if fakes { parameters } else { 0 },
        head_parameters: head,
        discriminates,
        memory,
    })
}

/// Numbers that the fake score's step keeps of one image: the passes on the student's image, and
/// through the encoder on a real one.
fn fake_step(config: &Config, method: &Method, network: &NetworkConfig) -> Result<u64, Error> {
    if !method.needs_fake_score() {
        return Ok(0);
    }
    let kept = network.kept()?;
    let dropout = if 0.0 < config.dropout.get() { kept.dropout } else { 0 };
    let fake = kept.encoder + kept.decoder + dropout;
    // Of dropout, the encoder has about its share.
    let real = kept.encoder + dropout * kept.encoder / (kept.encoder + kept.decoder).max(1);
    Ok(if method.needs_discriminator() { fake + real } else { fake } as u64)
}

/// Numbers that the generator's step keeps of one image: the generator's pass, and those of teacher
/// and fake score where the gradient goes through their input.
fn generator_step(method: &Method, network: &NetworkConfig) -> Result<u64, Error> {
    let kept = network.kept()?;
    let through_both = method.objective != Objective::Integral;
    let through_fake = (through_both && method.needs_fake_score()) || method.adversarial.is_some();
    let through_pairs = method.regression.is_some();
    let networks = [true, through_both, through_fake, through_pairs];
    let networks = networks.into_iter().filter(|it| *it).count();
    Ok((networks * (kept.encoder + kept.decoder)) as u64)
}
