//! `logs`: a run's log, as its test wrote it.

use std::process::ExitCode;

use futures::StreamExt as _;

use super::client::{Client, ClientError, ServerArgs};
use super::output::print_raw;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The run's id, or a beginning of it that no other recent run has
    #[arg(value_name = "RUN")]
    run: String,
    /// Go on until the attempt ended
    #[arg(short, long)]
    follow: bool,
    /// Which attempt, from 1; the last one unless given
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    attempt: Option<u32>,
    #[command(flatten)]
    server: ServerArgs,
}

/// Writes the log to stdout.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let client = Client::new(&args.server)?;
    let id = client.run_id(&args.run).await?;
    let mut query = Vec::new();
    if args.follow {
        query.push(("follow", "true".to_owned()));
    }
    if let Some(attempt) = args.attempt {
        query.push(("attempt", attempt.to_string()));
    }
    let mut pieces = client.stream(&["runs", &id, "log"], &query).await?.bytes_stream();
    while let Some(piece) = pieces.next().await {
        print_raw(&piece.map_err(ClientError::Unreadable)?)?;
    }
    Ok(ExitCode::SUCCESS)
}
