//! A network that makes images: a one-step generator or a teacher under a sampler.

use candle_core::Device;
use models::{Network, NetworkConfig, Role};
use train::evaluate::Maker;

use crate::inputs;

/// A network that makes images, told apart by its file.
pub struct Model {
    /// What it is.
    pub config: NetworkConfig,
    network: Network,
    role: Role,
    steps: usize,
}

impl Model {
    /// Reads a file; a teacher will take these steps, 18 if not told.
    ///
    /// # Errors
    ///
    /// If the file is not usable, or steps are given for a generator, which takes one evaluation.
    pub fn load(name: &str, steps: Option<u16>, device: &Device) -> anyhow::Result<Self> {
        let (file, _) = inputs::network(name)?;
        if file.role != Role::Teacher && steps.is_some() {
            let reason = "a one-step generator takes one evaluation; leave it out";
            return Err(train::Error::unusable("--steps", reason).into());
        }
        let network = file.config.build(&file.params.to_device(device)?.frozen())?;
        let steps = steps.unwrap_or(DEFAULT_STEPS).into();
        Ok(Self { config: file.config, network, role: file.role, steps })
    }

    /// As a maker of images.
    pub fn maker(&self) -> Maker<'_> {
        match self.role {
            Role::Generator { sigma_init } => {
                Maker::OneStep { generator: &self.network, sigma_init }
            }
            Role::Teacher => Maker::Heun { teacher: &self.network, steps: self.steps },
        }
    }

    /// The network itself.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// What it is called in a table.
    pub fn name(&self) -> &'static str {
        if self.role == Role::Teacher { "teacher" } else { "student" }
    }

    /// Shape of one image.
    pub fn sample_shape(&self) -> [usize; 3] {
        [self.config.img_channels, self.config.img_resolution, self.config.img_resolution]
    }
}

/// Steps of a teacher's sampler: 35 evaluations, EDM's for 32x32.
const DEFAULT_STEPS: u16 = 18;
