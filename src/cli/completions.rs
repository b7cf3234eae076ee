//! `completions`: what a shell needs to complete this command line.

use std::process::ExitCode;

use clap::CommandFactory as _;
use clap_complete::Shell;

use super::Cli;
use super::output::print_raw;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// For which shell; for instance `source <(kickoff completions bash)`
    #[arg(value_enum)]
    shell: Shell,
}

/// Writes the script.
pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "kickoff", &mut script);
    print_raw(&script)?;
    Ok(ExitCode::SUCCESS)
}
