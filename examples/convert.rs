//! Converts a PyTorch file or an EDM pickle to safetensors, without Python and without running it.
//!
//! Usage: `convert FILE.pt OUT.safetensors`. Without arguments, converts a small file that it writes itself.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use pickle::{Contents, Dtype, FileBytes, Limits, StoredTensor, writer::StateDictWriter};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> Result<()> {
    let args: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let (source, target) = match args.as_slice() {
        [source, target] => (source.clone(), target.clone()),
        [] => {
            let folder = std::env::temp_dir();
            (
                demonstration(&folder.join("demonstration.pt"))?,
                folder.join("demonstration.safetensors"),
            )
        }
        _ => return Err("usage: convert FILE.pt OUT.safetensors".into()),
    };
    let file = FileBytes::read(&source)?;
    let contents = pickle::open(&file, &Limits::default())?;
    let tensors = tensors(&contents)?;
    let mut converted = BTreeMap::new();
    for (name, tensor) in &tensors {
        println!("{name:<32} {:?} {:?}", tensor.dtype(), tensor.shape());
        converted.insert(
            name.clone(),
            Tensor::from_vec(tensor.to_f32()?, tensor.shape(), &Device::Cpu)?,
        );
    }
    candle_core::safetensors::save(&converted.into_iter().collect(), &target)?;
    println!("{} tensors written to {}", tensors.len(), target.display());
    Ok(())
}

/// Named tensors of the first network or state dict in a file.
fn tensors(contents: &Contents) -> Result<Vec<(String, &StoredTensor)>> {
    if let Ok((network, _)) = contents.network(None) {
        return Ok(network.tensors.iter().map(|it| (it.name.clone(), it)).collect());
    }
    let (dict, _) = contents.state_dict(None)?;
    Ok(dict.tensors.iter().map(|it| (it.name.clone(), it)).collect())
}

/// A state dict with one layer, as `torch.save` writes it.
fn demonstration(path: &Path) -> Result<PathBuf> {
    let mut writer = StateDictWriter::new(std::fs::File::create(path)?, "demonstration");
    let bytes = |values: &[f32]| values.iter().flat_map(|it| it.to_le_bytes()).collect::<Vec<_>>();
    writer.tensor("layer.weight", Dtype::F32, &[2, 2], &bytes(&[1.0, 0.0, 0.0, 1.0]))?;
    writer.tensor("layer.bias", Dtype::F32, &[2], &bytes(&[0.5, -0.5]))?;
    writer.finish()?;
    Ok(path.to_owned())
}
