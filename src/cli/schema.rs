//! `schema`: the JSON Schema of the definitions. Needs no server.

use std::process::ExitCode;

use kickoff::engine::definitions::editor_schema;

use super::output::{Format, print_value};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How to write it
    #[arg(short, long, value_enum, default_value_t = Format::Json)]
    output: Format,
}

/// Writes the schema.
pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    print_value(&editor_schema(), args.output)?;
    Ok(ExitCode::SUCCESS)
}
