//! `replay`: an event once more, with the definitions in force.

use std::process::ExitCode;

use serde_json::{Value, json};

use super::client::{Client, ServerArgs};
use super::events::decisions;
use super::output::{Format, print, print_value, tell};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The event's key
    #[arg(value_name = "KEY")]
    key: String,
    /// By this trigger alone: NAME or NAMESPACE/NAME
    #[arg(long, value_name = "NAME")]
    trigger: Option<String>,
    /// How to write what was decided
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    output: Format,
    #[command(flatten)]
    server: ServerArgs,
}

/// Gives the command and writes the decisions.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let client = Client::new(&args.server)?;
    let key = kickoff::outside::receipt::receipt();
    let by = json!({ "trigger": args.trigger });
    let replayed: Value = client.post(&["events", &args.key, "replay"], &key, &by).await?;
    if args.output != Format::Table {
        print_value(&replayed, args.output)?;
        return Ok(ExitCode::SUCCESS);
    }
    print(&decisions(&replayed)?)?;
    if let Some(filtered) = replayed["filtered"].as_u64().filter(|count| *count > 0) {
        tell(&format!("filtered by {filtered}"));
    }
    tell(&format!("as event {}", replayed["event"].as_str().unwrap_or("-")));
    Ok(ExitCode::SUCCESS)
}
