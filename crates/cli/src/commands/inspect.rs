//! `uni-instruct inspect`: the content of a file.

use std::path::Path;

use metrics::FeatureNetFile;
use models::{NetworkConfig, Provenance, TensorFile};
use pickle::{FileBytes, Limits};

use super::foreign;
use crate::{inputs, output::say};

/// Arguments of `uni-instruct inspect`.
#[derive(clap::Args)]
pub struct Args {
    /// A network's file, of uni-instruct or of Python, or the name of an embedded network.
    file: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<()> {
    if !inputs::is_safetensors(&args.file) {
        let source = FileBytes::read(Path::new(&args.file)).map_err(models::Error::from)?;
        return foreign::print(&source, &Limits::default(), args.json);
    }
    let bytes = inputs::bytes(&args.file)?;
    let facts = if FeatureNetFile::is_in(&TensorFile::from_bytes(&args.file, &bytes)?) {
        let file = FeatureNetFile::from_bytes(&args.file, &bytes)?;
        Facts {
            kind: "feature network",
            parameters: file.params.parameter_count(),
            config: None,
            accuracy: Some(file.accuracy),
            provenance: file.provenance,
            blake3: blake3::hash(&bytes).to_hex().to_string(),
        }
    } else {
        let (file, blake3) = inputs::network(&args.file)?;
        let model = inputs::model(&args.file, None, &candle_core::Device::Cpu)?;
        Facts {
            kind: if model.schedule().is_some() { "student" } else { "teacher" },
            parameters: file.params.parameter_count(),
            config: Some(file.config),
            accuracy: None,
            provenance: file.provenance,
            blake3,
        }
    };
    if args.json {
        return say!("{}", serde_json::to_string_pretty(&facts)?);
    }
    say!("kind        {}", facts.kind)?;
    say!("parameters  {}", facts.parameters)?;
    say!("blake3      {}", facts.blake3)?;
    if let Some(accuracy) = facts.accuracy {
        say!("accuracy    {accuracy}")?;
    }
    if let Some(config) = facts.config {
        say!("\n{}", toml::to_string(&config)?)?;
    }
    for (key, value) in &facts.provenance.entries {
        say!("{key:14} {value}")?;
    }
    Ok(())
}

/// Content of a network's file.
#[derive(serde::Serialize)]
struct Facts {
    kind: &'static str,
    parameters: usize,
    blake3: String,
    /// Configuration, for a teacher or student.
    #[serde(skip_serializing_if = "Option::is_none")]
    config: Option<NetworkConfig>,
    /// Share of correctly classified test images, for a feature network.
    #[serde(skip_serializing_if = "Option::is_none")]
    accuracy: Option<f64>,
    provenance: Provenance,
}
