//! `run`: fires a trigger or runs a template now, and waits for the verdict where asked to.

mod follow;

use std::collections::BTreeMap;
use std::process::ExitCode;

use kickoff::engine::verdict::{Outcome, worst};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::client::{Client, ClientError, ServerArgs};
use super::output::{Format, print, print_value};
use super::{ERROR, Usage};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// TRIGGER or NAMESPACE/TRIGGER, or template/NAME
    #[arg(value_name = "TRIGGER|template/NAME")]
    target: String,
    /// A param's value; wins over all others
    #[arg(short, long = "param", value_name = "NAME=VALUE", value_parser = param)]
    params: Vec<(String, String)>,
    /// The environment, in place of what the trigger names
    #[arg(long, value_name = "NAME")]
    env: Option<String>,
    /// Show the log, wait for the end; the exit code is the outcome
    #[arg(long)]
    wait: bool,
    /// How to write what was started, or with --wait how it ended
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    output: Format,
    #[command(flatten)]
    server: ServerArgs,
}

/// What the server started.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Started {
    event: String,
    firing: String,
    runs: Vec<String>,
}

/// Starts it.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let client = Client::new(&args.server)?;
    let params: BTreeMap<_, _> = args.params.into_iter().collect();
    let (kind, name) = match args.target.strip_prefix("template/") {
        Some(name) => ("template", name),
        None => ("trigger", args.target.as_str()),
    };
    let wanted = json!({ kind: name, "params": params, "environment": args.env });
    let key = kickoff::outside::receipt::receipt();
    let started: Started = client.post(&["runs"], &key, &wanted).await.map_err(misnamed)?;
    finish(&client, started, args.wait, args.output).await
}

/// A name that stands for nothing is a wrong use: another would help.
fn misnamed(error: ClientError) -> anyhow::Error {
    if error.is_absent() { Usage(error.to_string()).into() } else { error.into() }
}

/// Writes what was started, or waits for its end.
pub(super) async fn finish(
    client: &Client,
    started: Started,
    wait: bool,
    output: Format,
) -> anyhow::Result<ExitCode> {
    if !wait {
        match output {
            Format::Table => print(&(started.runs.join("\n") + "\n"))?,
            other => print_value(&started, other)?,
        }
        return Ok(ExitCode::SUCCESS);
    }
    let mut follower = follow::Follower::new(client, output == Format::Table);
    let mut outcomes = Vec::new();
    let mut ended = Vec::new();
    for id in &started.runs {
        let (outcome, run) = follower.follow(id).await?;
        outcomes.push(outcome);
        ended.push(run);
    }
    if output != Format::Table {
        print_value(&json!({ "event": started.event, "firing": started.firing, "runs": ended }), output)?;
    }
    Ok(ExitCode::from(worst(outcomes).map_or(ERROR, Outcome::exit_code)))
}

fn param(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("must be NAME=VALUE".to_owned()),
    }
}
