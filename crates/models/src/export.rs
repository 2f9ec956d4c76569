//! Networks as files for other programs. Tensors keep their names, which are EDM's.

use std::fs;
use std::path::Path;

use candle_core::{DType, Device};
use serde_json::{Map, Value, json};

use crate::error::{Error, Result};
use crate::files;
use crate::network::{NetworkConfig, NetworkFile};
use crate::tensor_file::TensorFile;
use pickle::{Dtype, writer::StateDictWriter};

/// The files of a folder as diffusers keeps a model.
const CONFIG: &str = "config.json";
const WEIGHTS: &str = "diffusion_pytorch_model.safetensors";

/// Writes a state dict that `torch.load(path, weights_only=True)` reads: f32, EDM's names, in the
/// order of the names.
///
/// # Errors
///
/// Naming the file: if it cannot be written.
pub fn state_dict(file: &NetworkFile, path: impl AsRef<Path>) -> Result<()> {
    let path = path.as_ref();
    let name = path.display().to_string();
    let written = files::replace(path, |out| {
        let mut writer = StateDictWriter::streaming(out, &name);
        for (key, tensor) in file.params.tensors() {
            let flat = tensor.to_device(&Device::Cpu)?.to_dtype(DType::F32)?.flatten_all()?;
            let bytes: Vec<u8> =
                flat.to_vec1::<f32>()?.into_iter().flat_map(f32::to_le_bytes).collect();
            writer.tensor(&key, Dtype::F32, tensor.dims(), &bytes)?;
        }
        writer.finish()?;
        Ok(())
    });
    written.map_err(|err: Error| err.in_file(name))
}

/// Writes a folder as diffusers keeps a model: weights in safetensors, configuration in JSON.
///
/// The class that the configuration names is EDM's; diffusers itself has none of that name.
///
/// # Errors
///
/// Naming the file that cannot be written.
pub fn diffusers(file: &NetworkFile, folder: impl AsRef<Path>) -> Result<()> {
    let folder = folder.as_ref();
    let failed = |path: &Path, err: Error| err.in_file(path.display());
    fs::create_dir_all(folder).map_err(|err| failed(folder, err.into()))?;
    let metadata = [("format".to_owned(), "pt".to_owned())].into();
    TensorFile { tensors: file.params.tensors(), metadata }.save(folder.join(WEIGHTS))?;
    let path = folder.join(CONFIG);
    let text = config_json(file).map_err(|err| failed(&path, err))?;
    files::replace(&path, |out| -> Result<()> { Ok(out.write_all(text.as_bytes())?) })
        .map_err(|err| failed(&path, err))
}

fn config_json(file: &NetworkFile) -> Result<String> {
    let json = |source| Error::Json { key: "config", source };
    let mut entries = Map::new();
    entries.insert("_class_name".to_owned(), json!(class_name(&file.config)));
    entries.insert("_provenance".to_owned(), json!(file.role.stated_in(&file.provenance)));
    if let Value::Object(options) = serde_json::to_value(&file.config).map_err(json)? {
        entries.extend(options);
    }
    serde_json::to_string_pretty(&Value::Object(entries)).map_err(json)
}

/// EDM's class of such a network.
fn class_name(config: &NetworkConfig) -> &'static str {
    use crate::edm::precond::Precond;
    match config.precond {
        Precond::Edm {} => "EDMPrecond",
        Precond::Vp { .. } => "VPPrecond",
        Precond::Ve {} => "VEPrecond",
        Precond::Iddpm { .. } => "iDDPMPrecond",
    }
}
