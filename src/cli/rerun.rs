//! `rerun`: an ended run once more.

use std::process::ExitCode;

use serde_json::json;

use super::client::{Client, ServerArgs};
use super::output::Format;
use super::run;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The run's id, or a beginning of it that no other recent run has
    #[arg(value_name = "RUN")]
    run: String,
    /// Show the log, wait for the end; the exit code is the outcome
    #[arg(long)]
    wait: bool,
    /// How to write what was started, or with --wait how it ended
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    output: Format,
    #[command(flatten)]
    server: ServerArgs,
}

/// Gives the command; what it starts is shown as by `run`.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let client = Client::new(&args.server)?;
    let id = client.run_id(&args.run).await?;
    let key = kickoff::outside::receipt::receipt();
    let started = client.post(&["runs", &id, "rerun"], &key, &json!({})).await?;
    run::finish(&client, started, args.wait, args.output).await
}
