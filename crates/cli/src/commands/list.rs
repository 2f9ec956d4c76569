//! `uni-instruct list`: what there is to choose from.

use divergence::{Divergence, presets};

/// Arguments of `uni-instruct list`.
#[derive(clap::Args)]
pub struct Args {
    /// Print one JSON object instead of text.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let divergences: Vec<_> = Divergence::NAMED.iter().map(Divergence::info).collect();
    if args.json {
        let all = serde_json::json!({ "divergences": divergences, "methods": presets() });
        println!("{}", serde_json::to_string_pretty(&all)?);
        return Ok(());
    }
    println!("divergences");
    for divergence in Divergence::NAMED {
        println!("  {divergence}");
    }
    println!("\nmethods");
    for row in presets() {
        println!("  {:20} {}", row.name, row.summary);
        println!("  {:20} {}", "", row.formula);
        println!("  {:20} {}, arXiv:{}", "", row.paper.title, row.paper.arxiv);
    }
    Ok(())
}
