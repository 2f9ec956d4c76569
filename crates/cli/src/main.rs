//! The command line of Uni-Instruct: glue, and nothing else.

mod commands;
mod console;
mod exit;
mod feature_cache;
mod figures;
mod inputs;
mod judge;
mod metric_log;
mod model;
mod output;
mod parts;
mod protocol;
mod run_folder;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// One-step generators from diffusion teachers.
#[derive(Parser)]
#[command(name = "uni-instruct", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Distill a teacher into a one-step generator; without arguments, an embedded one.
    Distill(Box<commands::distill::Args>),
    /// Make images with a generator or a teacher.
    Sample(commands::sample::Args),
    /// Measure a generator or a teacher against real images.
    Eval(commands::eval::Args),
    /// Make and show statistics of real images, to take Fréchet distances from.
    #[command(subcommand)]
    RefStats(commands::ref_stats::Verb),
    /// Distill a closed-form teacher in two dimensions, in under a minute.
    Quickstart(commands::quickstart::Args),
    /// Say what a file holds.
    Inspect(commands::inspect::Args),
    /// Convert networks of other programs to ours, and ours to theirs.
    Convert(commands::convert::Args),
    /// Train, verify and export teachers.
    #[command(subcommand)]
    Teacher(commands::teacher::Verb),
    /// Train the feature network that metrics look through.
    #[command(subcommand)]
    Features(commands::features::Verb),
    /// Fetch, check and rewrite data sets.
    #[command(subcommand)]
    Dataset(commands::dataset::Verb),
    /// List divergences and methods with their formulas and papers.
    List(commands::list::Args),
    /// Print a completion script for a shell.
    Completions(commands::completions::Args),
}

impl Command {
    /// Whether it ends as soon as it has printed, so that nothing is lost if nobody reads on. A
    /// training must outlive what reads its lines.
    fn only_prints(&self) -> bool {
        matches!(self, Self::Inspect(_) | Self::List(_) | Self::Completions(_))
    }
}

/// Stack of the thread that works: candle's backward pass recurses once a graph node.
const STACK: usize = 64 << 20;

fn main() -> ExitCode {
    models::ops::runtime::configure();
    let cli = Cli::parse();
    if let Err(err) = models::ops::runtime::limit_kernels_from_environment() {
        output::note!("error: {err}");
        return ExitCode::from(exit::USAGE);
    }
    if cli.command.only_prints() {
        models::ops::runtime::end_on_closed_pipe();
    }
    let work = std::thread::Builder::new().stack_size(STACK).spawn(move || run(cli.command));
    let result = match work.map(std::thread::JoinHandle::join) {
        Ok(Ok(result)) => result,
        // The panic has printed itself.
        Ok(Err(_)) => return ExitCode::from(exit::FAILURE),
        Err(err) => Err(err.into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(err) => {
            output::note!("error: {err:#}");
            ExitCode::from(exit::code(&err))
        }
    }
}

fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Distill(args) => commands::distill::run(&args),
        Command::Sample(args) => commands::sample::run(&args),
        Command::Eval(args) => commands::eval::run(&args),
        Command::RefStats(verb) => commands::ref_stats::run(&verb),
        Command::Quickstart(args) => commands::quickstart::run(&args),
        Command::Inspect(args) => commands::inspect::run(&args),
        Command::Convert(args) => commands::convert::run(&args),
        Command::Teacher(verb) => commands::teacher::run(&verb),
        Command::Features(verb) => commands::features::run(&verb),
        Command::Dataset(verb) => commands::dataset::run(&verb),
        Command::List(args) => commands::list::run(&args),
        Command::Completions(args) => commands::completions::run(&args),
    }
}
