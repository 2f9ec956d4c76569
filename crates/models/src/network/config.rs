//! Everything that determines a network except its weights.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Network, UNet};
use crate::edm::precond::Precond;
use crate::error::{Error, Result};
use crate::layout::{Init, Layout, Scope};
use crate::params::{ParamSet, Params};
use crate::unet::Sizes;
use crate::unet::config::{DhariwalConfig, SongConfig, check_positive};
use crate::unet::dhariwal::DhariwalUNet;
use crate::unet::song::SongUNet;

/// Kind of U-Net, with its options.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Architecture {
    /// DDPM++ and NCSN++.
    Song(SongConfig),
    /// ADM.
    Dhariwal(DhariwalConfig),
}

/// A network: architecture, preconditioning and sizes. Stored in every network's file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkConfig {
    /// Height and width of the images.
    pub img_resolution: usize,
    /// Channels of the images.
    pub img_channels: usize,
    /// Classes; zero means unconditional.
    #[serde(default)]
    pub label_dim: usize,
    /// Parameters of the augmentation that the network is conditioned on; zero means none.
    #[serde(default)]
    pub augment_dim: usize,
    /// Standard deviation of the data, in data units.
    #[serde(default = "default_sigma_data")]
    pub sigma_data: f64,
    /// Least noise level to sample at.
    #[serde(default = "default_sigma_min")]
    pub sigma_min: f64,
    /// Greatest noise level to sample at.
    #[serde(default = "default_sigma_max")]
    pub sigma_max: f64,
    /// Preconditioning, which turns the raw network into a denoiser.
    #[serde(default)]
    pub precond: Precond,
    /// U-Net.
    pub architecture: Architecture,
}

fn default_sigma_data() -> f64 {
    0.5
}

fn default_sigma_min() -> f64 {
    0.002
}

fn default_sigma_max() -> f64 {
    80.0
}

impl NetworkConfig {
    /// A network with EDM's preconditioning and data scale, unconditional.
    pub fn new(architecture: Architecture, img_resolution: usize, img_channels: usize) -> Self {
        Self {
            img_resolution,
            img_channels,
            label_dim: 0,
            augment_dim: 0,
            sigma_data: default_sigma_data(),
            sigma_min: default_sigma_min(),
            sigma_max: default_sigma_max(),
            precond: Precond::default(),
            architecture,
        }
    }

    /// EDM's DDPM++ for CIFAR-10 (55.7 M parameters), with `label_dim` classes (0 or 10).
    pub fn cifar10_ddpmpp(label_dim: usize) -> Self {
        let architecture = Architecture::Song(SongConfig::default());
        Self { label_dim, augment_dim: EDM_AUGMENT_DIM, ..Self::new(architecture, 32, 3) }
    }

    /// EDM's NCSN++ for CIFAR-10, with `label_dim` classes (0 or 10).
    pub fn cifar10_ncsnpp(label_dim: usize) -> Self {
        let architecture = Architecture::Song(SongConfig::ncsnpp());
        Self { label_dim, augment_dim: EDM_AUGMENT_DIM, ..Self::new(architecture, 32, 3) }
    }

    /// EDM's DDPM++ for FFHQ and AFHQv2 at 64×64.
    pub fn ffhq64_ddpmpp() -> Self {
        let song = SongConfig { channel_mult: vec![1, 2, 2, 2], dropout: 0.05, ..<_>::default() };
        let config = Self::new(Architecture::Song(song), 64, 3);
        Self { augment_dim: EDM_AUGMENT_DIM, ..config }
    }

    /// EDM's ADM for ImageNet at 64×64, with 1000 classes (295.9 M parameters).
    pub fn imagenet64_adm() -> Self {
        let architecture = Architecture::Dhariwal(DhariwalConfig::default());
        Self { label_dim: 1000, ..Self::new(architecture, 64, 3) }
    }

    /// The same network with another probability of dropping an activation while training.
    #[must_use]
    pub fn with_dropout(mut self, probability: f64) -> Self {
        match &mut self.architecture {
            Architecture::Song(song) => song.dropout = probability,
            Architecture::Dhariwal(dhariwal) => dhariwal.dropout = probability,
        }
        self
    }

    /// Checks every option.
    ///
    /// # Errors
    ///
    /// Naming the option and the allowed values.
    pub fn validate(&self) -> Result<()> {
        check_positive("img_resolution", self.img_resolution)?;
        check_positive("img_channels", self.img_channels)?;
        for (option, value) in [("label_dim", self.label_dim), ("augment_dim", self.augment_dim)] {
            check_positive(option, value.max(1))?;
        }
        let numbers = [
            ("sigma_data", self.sigma_data),
            ("sigma_min", self.sigma_min),
            ("sigma_max", self.sigma_max - self.sigma_min),
        ];
        for (option, value) in numbers {
            if !(value.is_finite() && 0.0 < value) {
                let reason = "must be finite and positive, and sigma_max above sigma_min".into();
                return Err(Error::Option { option, reason });
            }
        }
        match self.precond {
            Precond::Vp { steps, .. } | Precond::Iddpm { steps, .. } => {
                check_positive("precond.steps", steps as usize)?;
            }
            Precond::Edm {} | Precond::Ve {} => (),
        }
        match &self.architecture {
            Architecture::Song(song) => song.validate(self.img_resolution),
            Architecture::Dhariwal(dhariwal) => dhariwal.validate(self.img_resolution),
        }
    }

    /// Initial weights by EDM's rules: a function of the seed and of each tensor's name.
    ///
    /// # Errors
    ///
    /// If an option is out of range.
    pub fn init(&self, seed: u64) -> Result<ParamSet> {
        self.layout()?.init(seed)
    }

    /// The network over these tensors.
    ///
    /// # Errors
    ///
    /// If an option is out of range, or naming a tensor that is missing or of another shape.
    pub fn build(&self, params: &Params) -> Result<Network> {
        self.validate()?;
        self.network(&Scope::root(params))
    }

    /// The shape of every tensor by name, constants included, without allocating any.
    ///
    /// # Errors
    ///
    /// If an option is out of range.
    pub fn shapes(&self) -> Result<BTreeMap<String, Vec<usize>>> {
        let layout = self.layout()?.0.into_iter();
        Ok(layout.map(|(key, spec)| (key, spec.shape)).collect())
    }

    /// Number of trained parameters.
    ///
    /// # Errors
    ///
    /// If an option is out of range.
    pub fn parameter_count(&self) -> Result<usize> {
        let layout = self.layout()?.0;
        let trained = layout.values().filter(|spec| spec.trained);
        Ok(trained.map(|spec| spec.shape.iter().product::<usize>()).sum())
    }

    /// Channels of the last encoder block's activation ([`Network::encode`]).
    pub fn bottleneck_channels(&self) -> usize {
        let (channels, mult) = match &self.architecture {
            Architecture::Song(song) => (song.model_channels, &song.channel_mult),
            Architecture::Dhariwal(adm) => (adm.model_channels, &adm.channel_mult),
        };
        channels * mult.last().copied().unwrap_or(0)
    }

    pub(crate) fn layout(&self) -> Result<Layout> {
        self.validate()?;
        Layout::of(|scope| self.network(scope))
    }

    fn network(&self, scope: &Scope<'_>) -> Result<Network> {
        let sizes = Sizes {
            resolution: self.img_resolution,
            in_channels: self.img_channels,
            out_channels: self.precond.out_channels(self.img_channels),
            label_dim: self.label_dim,
            augment_dim: self.augment_dim,
        };
        let model = scope.at("model");
        let unet = match &self.architecture {
            Architecture::Song(song) => UNet::Song(Box::new(SongUNet::new(&model, song, sizes)?)),
            Architecture::Dhariwal(dhariwal) => {
                UNet::Dhariwal(Box::new(DhariwalUNet::new(&model, dhariwal, sizes)?))
            }
        };
        let table = self.precond.table();
        if !table.is_empty() {
            scope.buffer("u", &[table.len()], Init::Values(table))?;
        }
        Ok(Network::new(self.clone(), unet))
    }
}

/// Parameters of EDM's augmentation pipe as its official configurations use it.
const EDM_AUGMENT_DIM: usize = 9;
