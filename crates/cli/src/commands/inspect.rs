//! `uni-instruct inspect`: what a file holds.

use serde_json::json;

use super::eval::Model;
use crate::inputs;

/// Arguments of `uni-instruct inspect`.
#[derive(clap::Args)]
pub struct Args {
    /// A network's file, or the name of an embedded one.
    file: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let (file, hash) = inputs::network(&args.file)?;
    let kind = Model::load(&args.file, None, &candle_core::Device::Cpu)?.name();
    let parameters = file.params.parameter_count();
    if args.json {
        let facts = json!({
            "kind": kind, "parameters": parameters, "blake3": hash,
            "config": file.config, "provenance": file.provenance,
        });
        println!("{}", serde_json::to_string_pretty(&facts)?);
        return Ok(());
    }
    println!("kind        {kind}");
    println!("parameters  {parameters}");
    println!("blake3      {hash}");
    println!("\n{}", toml::to_string(&file.config)?);
    for (key, value) in &file.provenance.entries {
        println!("{key:14} {value}");
    }
    Ok(())
}
