//! `results` and `redeliver`: what could not be published in time, and sending it again.

use std::process::ExitCode;

use kickoff::outside::clock::Clock;
use serde::Deserialize;
use serde_json::{Value, json};

use super::client::{Client, ServerArgs};
use super::output::{Format, ago, cell, print, print_value, table, table_text, tell};

#[derive(Debug, clap::Args)]
pub(crate) struct List {
    /// How to write them
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    output: Format,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Redeliver {
    /// Which, by the ids that `kickoff results` shows
    #[arg(value_name = "RESULT", required_unless_present = "all", conflicts_with = "all")]
    results: Vec<String>,
    /// All of them
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    server: ServerArgs,
}

/// What the table shows of a result.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    id: String,
    subject: String,
    about: String,
    at: String,
    parked_at: String,
    reason: String,
}

/// Writes the list.
pub(crate) async fn list(args: List) -> anyhow::Result<ExitCode> {
    let client = Client::new(&args.server)?;
    let page: Value = client.get(&["results"], &[]).await?;
    if args.output != Format::Table {
        print_value(&page, args.output)?;
        return Ok(ExitCode::SUCCESS);
    }
    let rows: Vec<Row> = serde_json::from_value(page["items"].clone())?;
    if rows.is_empty() {
        tell("no result is parked");
        return Ok(ExitCode::SUCCESS);
    }
    let now = Clock::System.now();
    let mut table = table(&["RESULT", "TRIGGER", "SUBJECT", "AGE", "PARKED", "REASON"]);
    for row in &rows {
        table.add_row([
            cell(&row.id),
            cell(&row.about),
            cell(&row.subject),
            cell(&ago(&row.at, now)),
            cell(&ago(&row.parked_at, now)),
            cell(&row.reason),
        ]);
    }
    print(&table_text(&table))?;
    tell("kickoff redeliver RESULT, or --all, sends them again");
    Ok(ExitCode::SUCCESS)
}

/// Gives the command.
pub(crate) async fn redeliver(args: Redeliver) -> anyhow::Result<ExitCode> {
    let client = Client::new(&args.server)?;
    let key = kickoff::outside::receipt::receipt();
    let wanted = if args.all { json!({}) } else { json!({ "results": args.results }) };
    let taken: Value = client.post(&["results", "redeliver"], &key, &wanted).await?;
    let sent = match taken["results"].as_u64() {
        Some(1) => "1 result is".to_owned(),
        count => format!("{} results are", count.unwrap_or_default()),
    };
    tell(&format!("{sent} sent again"));
    Ok(ExitCode::SUCCESS)
}
