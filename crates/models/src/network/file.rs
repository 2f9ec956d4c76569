//! A network's file: weights under their PyTorch names, configuration, role, provenance.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::NetworkConfig;
use crate::error::{Error, Result};
use crate::generator::StepSchedule;
use crate::params::ParamSet;
use crate::tensor_file::TensorFile;

/// Version of the format: raised when older programs could misread a file.
const FORMAT_VERSION: &str = "1";
/// Kind of file, as opposed to checkpoints and others.
const KIND: &str = "network";
/// Entry of a generator's provenance that holds the noise level of its input. A teacher has none.
const SIGMA_INIT: &str = "sigma_init";
/// Entry of a generator's provenance that holds the number of its steps; absent for one.
const STEPS: &str = "steps";

/// Use that a network was trained for.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Role {
    /// A diffusion model: denoises at every noise level of its range, and samples by a sampler.
    #[default]
    Teacher,
    /// A generator: called at these noise levels, most often a single one.
    Generator(StepSchedule),
}

/// Origin of a network: licence, source, images trained, hash of the run's configuration...
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Provenance {
    /// Free text by key, in the order of the keys.
    ///
    /// The keys `sigma_init` and `steps` belong to [`NetworkFile::role`]: files of version 0.1 keep a
    /// generator's noise level there, so they are set when a file is written.
    pub entries: BTreeMap<String, String>,
}

/// A network with all that is needed to rebuild it.
#[derive(Clone, Debug)]
pub struct NetworkFile {
    /// Architecture, preconditioning and sizes.
    pub config: NetworkConfig,
    /// Weights and constants.
    pub params: ParamSet,
    /// Teacher or generator.
    pub role: Role,
    /// Origin of the weights.
    pub provenance: Provenance,
}

impl NetworkFile {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// Naming the file, and the tensor or entry that is at fault.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        Self::from_tensor_file(TensorFile::load(path)?).map_err(|err| err.in_file(path.display()))
    }

    /// Reads a file's bytes; errors call the file `name`.
    ///
    /// # Errors
    ///
    /// Naming the file, and the tensor or entry that is at fault.
    pub fn from_bytes(name: impl Display, bytes: &[u8]) -> Result<Self> {
        let file = TensorFile::from_bytes(&name, bytes)?;
        Self::from_tensor_file(file).map_err(|err| err.in_file(name))
    }

    /// Writes the file; an older one of the same name is replaced when the new one is complete.
    ///
    /// # Errors
    ///
    /// Naming the file: if it cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let file = self.to_tensor_file().map_err(|err| err.in_file(path.display()))?;
        file.save(path)
    }

    /// The bytes of the file: equal for equal contents.
    ///
    /// # Errors
    ///
    /// If a tensor cannot be read from its device.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        self.to_tensor_file()?.to_bytes()
    }

    fn to_tensor_file(&self) -> Result<TensorFile> {
        let metadata = Self::metadata(&self.config, self.role, &self.provenance)?;
        Ok(TensorFile { tensors: self.params.tensors(), metadata })
    }

    /// The metadata of a file with such a network.
    pub(crate) fn metadata(
        config: &NetworkConfig,
        role: Role,
        provenance: &Provenance,
    ) -> Result<BTreeMap<String, String>> {
        let json = |key, source| Error::Json { key, source };
        let config = serde_json::to_string(config).map_err(|err| json("config", err))?;
        let provenance = serde_json::to_string(&role.stated_in(provenance))
            .map_err(|err| json("provenance", err))?;
        let metadata = [
            ("format_version", FORMAT_VERSION.to_owned()),
            ("kind", KIND.to_owned()),
            ("config", config),
            ("provenance", provenance),
        ];
        Ok(metadata.map(|(key, value)| (key.to_owned(), value)).into())
    }

    fn from_tensor_file(file: TensorFile) -> Result<Self> {
        let entry = |key| file.metadata.get(key).ok_or(Error::NoMetadata { key });
        for (key, expected) in [("format_version", FORMAT_VERSION), ("kind", KIND)] {
            let found = entry(key)?;
            if found != expected {
                let (expected, found) = (expected.to_owned(), found.clone());
                return Err(Error::Metadata { key, expected, found });
            }
        }
        let json = |key, source| Error::Json { key, source };
        let config: NetworkConfig =
            serde_json::from_str(entry("config")?).map_err(|err| json("config", err))?;
        let provenance =
            serde_json::from_str(entry("provenance")?).map_err(|err| json("provenance", err))?;
        let role = Role::of(&provenance)?;
        let params = config.layout()?.fill(&file.tensors)?;
        Ok(Self { config, params, role, provenance })
    }
}

impl Role {
    /// A provenance that states this role.
    pub(crate) fn stated_in(self, provenance: &Provenance) -> Provenance {
        let mut provenance = provenance.clone();
        let entries = &mut provenance.entries;
        entries.remove(SIGMA_INIT);
        entries.remove(STEPS);
        if let Self::Generator(StepSchedule { sigma_init, steps }) = self {
            entries.insert(SIGMA_INIT.to_owned(), sigma_init.to_string());
            if steps != 1 {
                entries.insert(STEPS.to_owned(), steps.to_string());
            }
        }
        provenance
    }

    /// The role that a file's provenance states.
    fn of(provenance: &Provenance) -> Result<Self> {
        let Some(text) = provenance.entries.get(SIGMA_INIT) else { return Ok(Self::Teacher) };
        let number = text.parse().ok().filter(|it: &f64| it.is_finite() && 0.0 < *it);
        let sigma_init = number.ok_or_else(|| Error::Metadata {
            key: SIGMA_INIT,
            expected: "a positive number".to_owned(),
            found: text.clone(),
        })?;
        let steps = match provenance.entries.get(STEPS) {
            None => 1,
            Some(text) => {
                text.parse().ok().filter(|&it| 0 < it).ok_or_else(|| Error::Metadata {
                    key: STEPS,
                    expected: "a positive integer".to_owned(),
                    found: text.clone(),
                })?
            }
        };
        Ok(Self::Generator(StepSchedule { sigma_init, steps }))
    }
}
