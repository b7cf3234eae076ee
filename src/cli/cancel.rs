//! `cancel`: ends a run.

use std::process::ExitCode;

use serde_json::{Value, json};

use super::client::{Client, ServerArgs};
use super::output::tell;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The run's id, or a beginning of it that no other recent run has
    #[arg(value_name = "RUN")]
    run: String,
    #[command(flatten)]
    server: ServerArgs,
}

/// Gives the command; the run ends once its processes did.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let client = Client::new(&args.server)?;
    let id = client.run_id(&args.run).await?;
    let key = kickoff::outside::receipt::receipt();
    let _accepted: Value = client.post(&["runs", &id, "cancel"], &key, &json!({})).await?;
    tell(&format!("run {id} is being cancelled"));
    Ok(ExitCode::SUCCESS)
}
