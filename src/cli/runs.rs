//! `runs`: the list of runs, newest first.

use std::process::ExitCode;

use clap::builder::PossibleValuesParser;
use kickoff::outside::clock::Clock;
use serde::Deserialize;
use serde_json::Value;

use super::client::{Client, ServerArgs};
use super::output::{
    Format, ago, cell, millis, outcome_cell, print, print_value, span, table, table_text, tell,
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Of this trigger: NAME or NAMESPACE/NAME
    #[arg(long, value_name = "NAME")]
    trigger: Option<String>,
    /// That ended so
    #[arg(long, value_parser = PossibleValuesParser::new(["Passed", "Failed", "Error", "TimedOut", "Cancelled"]))]
    outcome: Option<String>,
    /// Of this event: its key, or the sender's id
    #[arg(long, value_name = "KEY")]
    event: Option<String>,
    /// How many, up to 500
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=500))]
    limit: u32,
    /// How to write them
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    output: Format,
    #[command(flatten)]
    server: ServerArgs,
}

/// What the table shows of a run.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Run {
    id: String,
    trigger: Option<String>,
    name: String,
    template: String,
    environment: Option<String>,
    state: String,
    outcome: Option<String>,
    reason: Option<String>,
    created_at: String,
    started_at: Option<String>,
    finished_at: Option<String>,
    cause: Option<Cause>,
}

/// The firings that led to a run.
#[derive(Deserialize)]
struct Cause {
    #[serde(default)]
    chain: Vec<String>,
}

/// Writes the list.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let client = Client::new(&args.server)?;
    let mut query = vec![("limit", args.limit.to_string())];
    for (name, value) in [("trigger", args.trigger), ("outcome", args.outcome), ("event", args.event)] {
        query.extend(value.map(|value| (name, value)));
    }
    let page: Value = client.get(&["runs"], &query).await?;
    if args.output != Format::Table {
        print_value(&page, args.output)?;
        return Ok(ExitCode::SUCCESS);
    }
    let rows: Vec<Run> = serde_json::from_value(page["items"].clone())?;
    if rows.is_empty() {
        tell("no runs");
        return Ok(ExitCode::SUCCESS);
    }
    print(&text(&rows, Clock::System.now()))?;
    if page["next"].is_string() {
        tell(&format!("these are the newest {}; there are more", rows.len()));
    }
    Ok(ExitCode::SUCCESS)
}

fn text(rows: &[Run], now: i64) -> String {
    let mut titles = vec!["RUN", "TRIGGER", "NAME", "TEMPLATE", "ENV", "STATE", "AGE", "TOOK"];
    let chained = rows.iter().any(|run| run.cause.is_some());
    titles.extend(chained.then_some("AFTER"));
    // Some are long, and none is padded to the longest where it is the last.
    titles.push("REASON");
    let mut table = table(&titles);
    for run in rows {
        let until = run.finished_at.as_deref().map_or(Some(now), millis);
        let started = run.started_at.as_deref().and_then(millis);
        let took = started.zip(until).map(|(started, until)| span(until - started));
        let state = run.outcome.as_deref().unwrap_or(&run.state);
        let mut row = vec![
            cell(&run.id),
            cell(run.trigger.as_deref().unwrap_or("-")),
            cell(&run.name),
            cell(&run.template),
            cell(run.environment.as_deref().unwrap_or("-")),
            outcome_cell(state),
            cell(&ago(&run.created_at, now)),
            cell(took.as_deref().unwrap_or("-")),
        ];
        if chained {
            row.push(cell(&run.cause.as_ref().map_or_else(String::new, |cause| led(&cause.chain))));
        }
        row.push(cell(run.reason.as_deref().unwrap_or("")));
        table.add_row(row);
    }
    table_text(&table)
}

/// Names of the triggers that led to a run, the first one first.
fn led(chain: &[String]) -> String {
    let name = |trigger: &String| trigger.rsplit('/').next().unwrap_or_default().to_owned();
    chain.iter().map(name).collect::<Vec<_>>().join(" > ")
}
