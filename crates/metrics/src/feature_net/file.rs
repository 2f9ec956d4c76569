//! File of a trained feature network: weights, accuracy, provenance, and a hash of the weights.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::Path;

use models::{ParamSet, Provenance, TensorFile};

use super::{ARCHITECTURE, FeatureNet, TrainedFeatureNet};
use crate::Result;
use crate::metadata::{expect, json, parse, text};

/// Kind of the file, in its metadata.
const KIND: &str = "feature-network";

/// A trained [`FeatureNet`] with its accuracy and provenance.
#[derive(Clone, Debug)]
pub struct FeatureNetFile {
    /// Weights.
    pub params: ParamSet,
    /// Share of the test images that it classifies correctly, in [0, 1].
    pub accuracy: f64,
    /// Data, license, length of training: free text.
    pub provenance: Provenance,
}

impl FeatureNetFile {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// Naming the file: if it cannot be read or is of another kind, or if its weights are not
    /// finite or do not match the hash in the file.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let file = TensorFile::load(path)?;
        Ok(Self::from_tensor_file(&file).map_err(|err| err.in_file(path.display()))?)
    }

    /// Tests whether a file's metadata declares a feature network.
    pub fn is_in(file: &TensorFile) -> bool {
        file.metadata.get("kind").is_some_and(|kind| kind == KIND)
    }

    /// Decodes a file's bytes; `name` names them in errors.
    ///
    /// # Errors
    ///
    /// As [`Self::load`].
    pub fn from_bytes(name: impl Display, bytes: &[u8]) -> Result<Self> {
        let file = TensorFile::from_bytes(&name, bytes)?;
        Ok(Self::from_tensor_file(&file).map_err(|err| err.in_file(name))?)
    }

    /// Writes the file, which is complete or absent.
    ///
    /// # Errors
    ///
    /// Naming the file: if it cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        Ok(self.to_tensor_file()?.save(path)?)
    }

    /// Computes a hash of architecture and weights, on which the features depend.
    ///
    /// # Errors
    ///
    /// If the weights cannot be read from their device.
    pub fn hash(&self) -> Result<String> {
        Ok(hash(&self.params.tensors())?)
    }

    /// Builds the feature extractor.
    ///
    /// # Errors
    ///
    /// If the weights do not fit the architecture.
    pub fn extractor(&self) -> Result<TrainedFeatureNet> {
        Ok(TrainedFeatureNet { net: FeatureNet::new(&self.params.frozen())?, hash: self.hash()? })
    }

    fn to_tensor_file(&self) -> models::Result<TensorFile> {
        let tensors = self.params.tensors();
        let metadata = BTreeMap::from([
            text("kind", KIND),
            text("architecture", ARCHITECTURE),
            text("hash", &hash(&tensors)?),
            json("accuracy", &self.accuracy)?,
            json("provenance", &self.provenance)?,
        ]);
        Ok(TensorFile { tensors, metadata })
    }

    fn from_tensor_file(file: &TensorFile) -> models::Result<Self> {
        expect(file, "kind", KIND)?;
        expect(file, "architecture", ARCHITECTURE)?;
        let params = FeatureNet::init(0)?;
        // Checks names, shapes and finiteness.
        params.set_from(&file.tensors)?;
        expect(file, "hash", &hash(&params.tensors())?)?;
        let accuracy = parse(file, "accuracy")?;
        let provenance = parse(file, "provenance")?;
        Ok(Self { params, accuracy, provenance })
    }
}

fn hash(tensors: &BTreeMap<String, candle_core::Tensor>) -> models::Result<String> {
    let metadata = BTreeMap::from([text("architecture", ARCHITECTURE)]);
    let bytes = TensorFile { tensors: tensors.clone(), metadata }.to_bytes()?;
    Ok(blake3::hash(&bytes).to_hex().to_string())
}
