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
    for row in divergences {
        println!("  {:32} f(r) = {}", format!("{}{}", row.name, row.parameters), row.f);
        println!("  {:32} h = {}", "", row.weight);
        println!("  {:32} {}", "", row.known_as);
    }
    println!("  and sums of them, as in 0.5*forward-kl+0.5*jensen-shannon");
    println!("  (r = student over teacher, ρ = 1/r, s = ρ/(1+ρ))");
    println!("\nmethods");
    for row in presets() {
        println!("  {:20} {}", row.name, row.summary);
        println!("  {:20} {}", "", row.formula);
        println!("  {:20} {}, arXiv:{}", "", row.paper.title, row.paper.arxiv);
    }
    Ok(())
}
