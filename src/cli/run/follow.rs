//! Follows a run to its end: its log to stdout, its states to stderr.
//!
//! The verdict matters more than the log: a closed stdout ends the showing, not the waiting, and a
//! server that goes away is waited for, since what it runs goes on. Progress is for terminals: elsewhere each attempt has
//! one line that names the run, and the outcome.

use std::io::{self, ErrorKind, IsTerminal as _};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use futures::StreamExt as _;
use kickoff::engine::verdict::Outcome;
use serde::Deserialize;
use serde_json::Value;

use crate::cli::client::{Client, ClientError};
use crate::cli::output::{print_raw, printable, tell};

/// How long a server may be away.
const PATIENCE: Duration = Duration::from_mins(1);
const SHORTEST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// What is read of a run.
#[derive(Deserialize)]
struct Run {
    name: String,
    state: String,
    attempt: u32,
    outcome: Option<Outcome>,
    reason: Option<String>,
}

/// Follows runs, one after the other.
pub(super) struct Follower<'a> {
    client: &'a Client,
    /// Whether the log is shown; no longer once nobody reads it.
    shows_log: bool,
    /// Whether somebody looks on.
    shows_progress: bool,
    /// Since when the server is away.
    away_since: Option<Instant>,
}

impl<'a> Follower<'a> {
    pub(super) fn new(client: &'a Client, shows_log: bool) -> Self {
        Self { client, shows_log, shows_progress: io::stderr().is_terminal(), away_since: None }
    }

    /// Waits for the run's outcome; also gives the run as the server tells it.
    pub(super) async fn follow(&mut self, id: &str) -> anyhow::Result<(Outcome, Value)> {
        let (mut next_log, mut shown, mut named) = (1, None, None);
        let mut told = String::new();
        let mut pause = SHORTEST_PAUSE;
        loop {
            let (run, value) = self.look(id).await?;
            let line = state_line(id, &run);
            if line != told {
                let is_told = if self.shows_progress { is_news(&run, shown) } else { is_needed(&run, named) };
                if is_told {
                    tell(&line);
                    named = Some(run.attempt);
                }
                told = line;
                pause = SHORTEST_PAUSE;
            }
            if self.shows_log && next_log <= run.attempt {
                if self.log(id, next_log).await? > 0 && self.shows_log {
                    shown = Some(next_log);
                }
                next_log += 1;
                continue;
            }
            if let Some(outcome) = run.outcome {
                return Ok((outcome, value));
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn look(&mut self, id: &str) -> anyhow::Result<(Run, Value)> {
        loop {
            match self.client.get::<Value>(&["runs", id], &[]).await {
                Ok(value) => {
                    self.away_since = None;
                    let run = serde_json::from_value(value.clone());
                    return Ok((run.context("the server's answer about the run can't be read")?, value));
                }
                Err(error) => self.wait_out(error).await?,
            }
        }
    }

    /// Shows one attempt's log to its end, and gives how many bytes it has. The server waits until there is one.
    async fn log(&mut self, id: &str, attempt: u32) -> anyhow::Result<usize> {
        let mut shown = 0;
        loop {
            match self.pieces(id, attempt, &mut shown).await {
                Ok(()) => return Ok(shown),
                Err(error) if error.is_absent() => return Ok(shown),
                Err(error) => self.wait_out(error).await?,
            }
        }
    }

    /// Shows what comes after the first `shown` bytes.
    async fn pieces(&mut self, id: &str, attempt: u32, shown: &mut usize) -> Result<(), ClientError> {
        let query = [("follow", "true".to_owned()), ("attempt", attempt.to_string())];
        let mut pieces = self.client.stream(&["runs", id, "log"], &query).await?.bytes_stream();
        let mut known = *shown;
        while let Some(piece) = pieces.next().await {
            let piece = piece.map_err(ClientError::Unreadable)?;
            let fresh = &piece[known.min(piece.len())..];
            known = known.saturating_sub(piece.len());
            *shown += fresh.len();
            if let Err(error) = print_raw(fresh) {
                self.shows_log = false;
                if error.kind() != ErrorKind::BrokenPipe {
                    tell(&format!("the log can't be shown any further: {error}"));
                }
                return Ok(());
            }
        }
        Ok(())
    }

    /// Pauses where the server may come back, for a while.
    async fn wait_out(&mut self, error: ClientError) -> anyhow::Result<()> {
        if !error.is_passing() {
            return Err(error.into());
        }
        match self.away_since {
            None => {
                tell(&format!("{error}; trying again for {} s", PATIENCE.as_secs()));
                self.away_since = Some(Instant::now());
            }
            Some(since) if since.elapsed() > PATIENCE => return Err(error.into()),
            Some(_) => {}
        }
        tokio::time::sleep(LONGEST_PAUSE / 2).await;
        Ok(())
    }
}

/// Whether the state says what the log of the attempt `shown` did not say already: that it runs.
fn is_news(run: &Run, shown: Option<u32>) -> bool {
    shown != Some(run.attempt) || !matches!(&*run.state, "launching" | "submitted" | "running")
}

/// Whether the state says which run it is, of which the attempt `named` was told, or how it ended.
fn is_needed(run: &Run, named: Option<u32>) -> bool {
    run.outcome.is_some() || named != Some(run.attempt)
}

fn state_line(id: &str, run: &Run) -> String {
    let name = printable(&run.name);
    let attempt = if run.attempt > 1 { format!(", attempt {}", run.attempt) } else { String::new() };
    match run.outcome {
        None => format!("run {id} ({name}): {}{attempt}", printable(&run.state)),
        Some(outcome) => {
            let reason = run.reason.as_deref().map(|reason| format!(": {}", printable(reason)));
            format!("run {id} ({name}): {outcome}{attempt}{}", reason.unwrap_or_default())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(state: &str, attempt: u32) -> Run {
        Run { name: "smoke".to_owned(), state: state.to_owned(), attempt, outcome: None, reason: None }
    }

    #[test]
    fn where_nobody_looks_on_each_attempt_is_named_once_and_the_outcome_told() {
        assert!(is_needed(&run("queued", 1), None));
        assert!(!is_needed(&run("running", 1), Some(1)));
        assert!(is_needed(&run("queued", 2), Some(1)));
        assert!(is_needed(&Run { outcome: Some(Outcome::Passed), ..run("passed", 1) }, Some(1)));
    }

    #[test]
    fn that_it_runs_is_not_said_after_its_log() {
        assert!(is_news(&run("running", 1), None));
        assert!(!is_news(&run("running", 1), Some(1)));
        assert!(is_news(&run("running", 2), Some(1)), "of this attempt nothing was shown");
        assert!(is_news(&run("cancelling", 1), Some(1)));
        assert!(is_news(&run("retrying", 1), Some(1)));
    }
}
