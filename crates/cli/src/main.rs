//! The command line of Uni-Instruct: glue, and nothing else.

use clap::{Parser, Subcommand};

mod commands;

/// One-step generators from diffusion teachers.
#[derive(Parser)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// List divergences and methods with their formulas and papers.
    List(commands::list::Args),
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::List(args) => commands::list::run(&args),
    }
}
