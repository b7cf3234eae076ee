//! `events`: the list of events with what was decided about them, and one of them.

use std::fmt::Write as _;
use std::process::ExitCode;

use clap::builder::PossibleValuesParser;
use kickoff::engine::machine::DecisionKind;
use kickoff::outside::clock::Clock;
use serde::Deserialize;
use serde_json::Value;

use super::client::{Client, ServerArgs};
use super::output::{
    Format, ago, cell, outcome_cell, print, print_value, printable, table, table_text, tell,
};

#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    one: Option<One>,
    #[command(flatten)]
    list: List,
}

#[derive(Debug, clap::Subcommand)]
enum One {
    /// Show one event and every decision about it; as JSON or YAML the event itself, a `CloudEvent`
    Get(Get),
}

#[derive(Debug, clap::Args)]
struct Get {
    /// The event's key
    #[arg(value_name = "KEY")]
    key: String,
    /// How to write it: `json` is what `explain --event` reads
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    output: Format,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Debug, clap::Args)]
struct List {
    /// Of which this trigger made something: NAME or NAMESPACE/NAME
    #[arg(long, value_name = "NAME")]
    trigger: Option<String>,
    /// That some trigger, or the one of --trigger, decided so
    #[arg(long, value_parser = PossibleValuesParser::new(DecisionKind::ALL.map(DecisionKind::as_str)))]
    decision: Option<String>,
    /// From this source, for instance the address of a repository
    #[arg(long, value_name = "SOURCE")]
    source: Option<String>,
    /// Of this type, for instance com.github.push
    #[arg(long = "type", value_name = "TYPE")]
    event_type: Option<String>,
    /// How many, up to 500
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=500))]
    limit: u32,
    /// How to write them
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    output: Format,
    #[command(flatten)]
    server: ServerArgs,
}

/// What the tables show of an event.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    key: String,
    id: String,
    source: String,
    #[serde(rename = "type")]
    event_type: String,
    ingress: String,
    received_at: String,
    decided_at: Option<String>,
    decisions: Vec<Made>,
    filtered: u64,
    incomplete: Option<String>,
}

#[derive(Deserialize)]
struct Made {
    trigger: String,
    decision: String,
    reason: String,
    firing: Option<String>,
}

/// Writes the list, or the one.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    match args.one {
        Some(One::Get(get)) => one(get).await,
        None => list(args.list).await,
    }
}

async fn one(args: Get) -> anyhow::Result<ExitCode> {
    let client = Client::new(&args.server)?;
    if args.output != Format::Table {
        let event: Value = client.get(&["events", &args.key, "cloudevent"], &[]).await?;
        print_value(&event, args.output)?;
        return Ok(ExitCode::SUCCESS);
    }
    let answer: Value = client.get(&["events", &args.key], &[]).await?;
    let event = Row::deserialize(&answer)?;
    let mut text = String::new();
    for (name, value) in [
        ("KEY", &event.key),
        ("ID", &event.id),
        ("SOURCE", &event.source),
        ("TYPE", &event.event_type),
        ("CAME BY", &event.ingress),
        ("RECEIVED", &event.received_at),
        ("DECIDED", event.decided_at.as_ref().unwrap_or(&"not yet".to_owned())),
    ] {
        writeln!(text, "{name:<10}{}", printable(value))?;
    }
    if !event.decisions.is_empty() {
        text += "\n";
        text += &decisions(&answer)?;
    }
    print(&text)?;
    if let Some(why) = event.incomplete {
        tell(&format!("filtered by {}, which can't be shown any more: {}", event.filtered, printable(&why)));
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(args: List) -> anyhow::Result<ExitCode> {
    let client = Client::new(&args.server)?;
    let mut query = vec![("limit", args.limit.to_string())];
    for (name, value) in [
        ("trigger", args.trigger),
        ("decision", args.decision),
        ("source", args.source),
        ("type", args.event_type),
    ] {
        query.extend(value.map(|value| (name, value)));
    }
    let page: Value = client.get(&["events"], &query).await?;
    if args.output != Format::Table {
        print_value(&page, args.output)?;
        return Ok(ExitCode::SUCCESS);
    }
    let rows: Vec<Row> = serde_json::from_value(page["items"].clone())?;
    if rows.is_empty() {
        tell("no events");
    } else {
        print(&rows_text(&rows, Clock::System.now()))?;
    }
    if let Some(why) = page["incomplete"].as_str() {
        tell(&printable(why));
    } else if page["next"].is_string() {
        tell(&format!("these are the newest {}; there are more", rows.len()));
    }
    Ok(ExitCode::SUCCESS)
}

fn rows_text(rows: &[Row], now: i64) -> String {
    let mut table = table(&["EVENT", "TYPE", "SOURCE", "ID", "DECISIONS", "AGE"]);
    for event in rows {
        let mut made: Vec<String> =
            event.decisions.iter().map(|it| format!("{} {}", it.trigger, it.decision)).collect();
        let shown = event.decisions.iter().filter(|it| it.decision == "filtered").count() as u64;
        let more = event.filtered.saturating_sub(shown);
        if more > 0 {
            made.push(format!("filtered by {more}"));
        }
        let made = if made.is_empty() { "-".to_owned() } else { made.join(", ") };
        table.add_row([
            cell(&event.key),
            cell(&event.event_type),
            cell(&event.source),
            cell(&event.id),
            cell(&made),
            cell(&ago(&event.received_at, now)),
        ]);
    }
    table_text(&table)
}

/// A table of the `decisions` of an answer.
pub(super) fn decisions(answer: &Value) -> anyhow::Result<String> {
    let rows = Vec::<Made>::deserialize(&answer["decisions"])?;
    if rows.is_empty() {
        return Ok(String::new());
    }
    let mut table = table(&["TRIGGER", "DECISION", "REASON", "FIRING"]);
    for row in rows {
        table.add_row([
            cell(&row.trigger),
            outcome_cell(&row.decision),
            cell(&row.reason),
            cell(row.firing.as_deref().unwrap_or("-")),
        ]);
    }
    Ok(table_text(&table))
}
