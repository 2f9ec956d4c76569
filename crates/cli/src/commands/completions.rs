//! `uni-instruct completions`: a script for a shell.

use clap::CommandFactory;

/// Arguments of `uni-instruct completions`.
#[derive(clap::Args)]
pub struct Args {
    /// Which shell.
    shell: clap_complete::Shell,
}

/// Runs the command.
pub fn run(args: &Args) {
    let mut command = crate::Cli::command();
    clap_complete::generate(args.shell, &mut command, "uni-instruct", &mut std::io::stdout());
}
