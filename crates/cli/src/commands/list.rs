//! `uni-instruct list`: divergences and methods.

use divergence::{Divergence, presets};

use crate::output::say;

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
        say!("{}", serde_json::to_string_pretty(&all)?)?;
        return Ok(());
    }
    say!("divergences")?;
    for row in divergences {
        say!("  {:32} f(r) = {}", format!("{}{}", row.name, row.parameters), row.f)?;
        say!("  {:32} h = {}", "", row.weight)?;
        say!("  {:32} {}", "", row.known_as)?;
    }
    say!("  and sums of them, as in 0.5*forward-kl+0.5*jensen-shannon")?;
    say!("  (r = student over teacher, ρ = 1/r, s = ρ/(1+ρ))")?;
    say!("\nmethods")?;
    for row in presets() {
        say!("  {:20} {}", row.name, row.summary)?;
        say!("  {:20} {}", "", row.formula)?;
        say!("  {:20} {}, arXiv:{}", "", row.paper.title, row.paper.arxiv)?;
    }
    Ok(())
}
