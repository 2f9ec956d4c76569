//! `uni-instruct completions`: completion scripts.

use clap::CommandFactory;

use crate::output::say;

/// Arguments of `uni-instruct completions`.
#[derive(clap::Args)]
pub struct Args {
    /// Name of the shell.
    shell: clap_complete::Shell,
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut crate::Cli::command(), "uni-instruct", &mut script);
    say!("{}", String::from_utf8_lossy(&script).trim_end())
}
