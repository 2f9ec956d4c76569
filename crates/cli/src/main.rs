#![doc = include_str!("../README.md")]

mod commands;
mod comparison;
mod console;
mod embedded;
mod exit;
mod inputs;
mod job;
mod output;
mod overrides;
mod parts;
mod run_folder;
mod usage;

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

/// Distill diffusion models into one-step generators.
#[derive(Parser)]
#[command(name = "uni-instruct", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Distill a teacher into a one-step generator; by default, the embedded teacher.
    Distill(Box<commands::distill::Args>),
    /// Sample images from a generator or a teacher.
    Sample(commands::sample::Args),
    /// Evaluate a generator, a teacher or existing images against real images.
    Eval(commands::eval::Args),
    /// Write and show statistics of real images, the reference of Fréchet distances.
    #[command(subcommand)]
    RefStats(commands::ref_stats::Verb),
    /// Distill a closed-form teacher in two dimensions, in less than a minute.
    Quickstart(commands::quickstart::Args),
    /// Show the content of a file.
    Inspect(commands::inspect::Args),
    /// Convert networks of other programs to our format, and back.
    Convert(commands::convert::Args),
    /// Train, verify and export teachers.
    #[command(subcommand)]
    Teacher(commands::teacher::Verb),
    /// Train the feature network of the metrics.
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
    /// True if the command ends once it has printed, so that a closed pipe may end it: nothing is
    /// lost. A training must continue after the reader of its lines has gone.
    fn only_prints(&self) -> bool {
        matches!(self, Self::Inspect(_) | Self::List(_) | Self::Completions(_))
    }
}

/// Stack of the working thread: candle's backward pass recurses once per node of the graph.
const STACK: usize = 64 << 20;

fn main() -> ExitCode {
    kernels::runtime::configure();
    let cli = parse();
    if let Err(err) = kernels::runtime::limit_kernels_from_environment() {
        output::note!("error: {err}");
        return ExitCode::from(exit::USAGE);
    }
    if cli.command.only_prints() {
        kernels::runtime::end_on_closed_pipe();
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

/// Parses the command line. A value may be a negative number, which its option then rejects by name.
fn parse() -> Cli {
    fn accept_negative_numbers(command: clap::Command) -> clap::Command {
        let numbers = |arg: clap::Arg| {
            let takes_values = arg.get_action().takes_values();
            arg.allow_negative_numbers(takes_values)
        };
        command.mut_args(numbers).mut_subcommands(accept_negative_numbers)
    }
    let matches = accept_negative_numbers(Cli::command()).get_matches();
    Cli::from_arg_matches(&matches).unwrap_or_else(|err| err.exit())
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
