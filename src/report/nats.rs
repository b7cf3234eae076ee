//! Results on NATS: `CloudEvents` in binary mode, through `JetStream` where a stream has the subject.
//!
//! One after the other, so that the order holds for every reader. A stream's answer is awaited before the next
//! one goes out; without a stream there is nobody to answer, and what is written to the connection counts as
//! sent. If we die before the answer, or before the record is gone, the result is sent again under the same
//! `Nats-Msg-Id` and `CloudEvents` id. While the bus is away results wait as records; one that could not be sent for
//! a day is set aside, so that it holds up no other.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::HeaderMap;
use async_nats::jetstream::context::{GetStreamByNameErrorKind, PublishErrorKind};
use bytes::Bytes;
use serde_json::Value;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::engine::event::{Millis, rfc3339};
use crate::engine::machine::{Input, Key, Parked, Record, Report};
use crate::outside::clock::Clock;
use crate::outside::nats::Connection;
use crate::store::records::{Records, RecordsError};

/// Pause after a failure, doubled each time.
const PAUSE: Duration = Duration::from_millis(250);
/// Longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How often it is told that results wait.
const TELL_AGAIN: Duration = Duration::from_mins(1);
/// How long it is known which stream has a subject.
const KNOWN_FOR: Duration = Duration::from_mins(1);
/// Of how many subjects.
const MOST_KNOWN: usize = 10_000;

/// What takes results to NATS.
pub struct Reporter {
    /// To where.
    pub connection: Connection,
    /// Where results are.
    pub records: Arc<dyn Records>,
    /// To dispatch.
    pub facts: mpsc::Sender<Input>,
    /// Why results wait or are set aside, where some are.
    pub trouble: watch::Sender<Vec<String>>,
    /// The time.
    pub clock: Clock,
    /// For how long a result is tried before it is set aside, milliseconds since it happened.
    pub retry_ms: Millis,
}

/// What became of a result.
enum Fate {
    Published,
    Parked(Box<Parked>),
}

/// Why a result could not be sent.
#[derive(Debug, thiserror::Error)]
enum SendError {
    #[error("not connected: {0}")]
    Away(String),
    #[error("can't find out which stream has {subject}: {why}")]
    Streams { subject: String, why: String },
    #[error("{subject} was not stored: {why}")]
    Refused { subject: String, why: String },
    #[error("{0} was not sent: {1}")]
    Core(String, String),
    #[error(transparent)]
    Records(#[from] RecordsError),
}

/// Which subjects a stream has, as it was asked lately.
#[derive(Default)]
struct Streams {
    known: HashMap<String, (bool, Instant)>,
}

impl Reporter {
    /// Sends results until `cancel`.
    pub async fn run(self, mut numbers: mpsc::Receiver<u64>, cancel: CancellationToken) {
        let mut waiting: BTreeSet<u64> = BTreeSet::new();
        let mut streams = Streams::default();
        let mut parked = BTreeSet::new();
        // When those of before the start are asked for, until they are known.
        let mut ask = Some(Instant::now());
        self.tell(None, &parked);
        loop {
            if ask.is_some_and(|at| at <= Instant::now()) {
                let Some(before) = cancel.run_until_cancelled(self.parked_before()).await else { return };
                ask = before.is_none().then(|| Instant::now() + LONGEST_PAUSE);
                parked.extend(before.unwrap_or_default());
                self.tell(None, &parked);
            }
            // After a commit that failed, all that is outstanding is ordered again.
            while let Ok(number) = numbers.try_recv() {
                waiting.insert(number);
            }
            let Some(number) = waiting.first().copied() else {
                tokio::select! {
                    () = cancel.cancelled() => return,
                    number = numbers.recv() => match number {
                        Some(number) => drop(waiting.insert(number)),
                        None => return,
                    },
                    () = tokio::time::sleep(LONGEST_PAUSE), if ask.is_some() => {}
                }
                continue;
            };
            // One that was set aside comes again where somebody asked for it.
            parked.remove(&number);
            let sending = self.send(number, &mut streams, &parked);
            let Some(fate) = cancel.run_until_cancelled(sending).await else { return };
            waiting.remove(&number);
            let fact = match fate {
                Fate::Published => Input::Published(number),
                Fate::Parked(aside) => {
                    warn!(id = aside.id, subject = aside.subject, reason = aside.why, "a result is parked");
                    parked.insert(number);
                    Input::Parked(number, aside)
                }
            };
            self.tell(None, &parked);
            // Dispatch is gone only when the process ends; the result is then sent again.
            drop(self.facts.send(fact).await);
        }
    }

    /// Those that are set aside since before the start, once that can be read.
    async fn parked_before(&self) -> Option<BTreeSet<u64>> {
        match self.records.scan(Key::PARKED).await {
            Ok(records) => Some(Parked::among(records).map(|(number, _)| number).collect()),
            Err(error) => {
                warn!(%error, "it is not known yet which results are parked");
                None
            }
        }
    }

    /// Sends one result, for as long as it may take.
    async fn send(&self, number: u64, streams: &mut Streams, parked: &BTreeSet<u64>) -> Fate {
        let (mut pause, mut told) = (PAUSE, None::<Instant>);
        let mut report = None;
        loop {
            let failed = match self.try_to_send(number, &mut report, streams).await {
                Ok(()) => return Fate::Published,
                Err(failed) => failed,
            };
            // That the bus is away is told once, by who owns the connection.
            let away = matches!(failed, SendError::Away(_));
            let why = failed.to_string();
            let now = self.clock.now();
            match report.take() {
                Some(late) if now.saturating_sub(late.at) >= self.retry_ms => {
                    return Fate::Parked(Box::new(Parked::new(late, now, why)));
                }
                other => report = other,
            }
            if !away && told.is_none_or(|told| told.elapsed() >= TELL_AGAIN) {
                warn!(reason = why, "results wait to be published");
                told = Some(Instant::now());
            }
            self.tell(Some(&why), parked);
            let mut standing = self.connection.standing();
            standing.mark_unchanged();
            tokio::select! {
                // A connection that comes back is worth a try at once.
                changed = standing.changed(), if !self.connection.standing().borrow().connected => drop(changed),
                () = tokio::time::sleep(pause) => pause = (pause * 2).min(LONGEST_PAUSE),
            }
        }
    }

    /// What is said of results that are not out.
    fn tell(&self, waits: Option<&str>, parked: &BTreeSet<u64>) {
        let waits = waits.map(|why| format!("results wait to be published: {why}"));
        let aside = (!parked.is_empty())
            .then(|| format!("{} results are parked: kickoff results shows why", parked.len()));
        let all: Vec<String> = waits.into_iter().chain(aside).collect();
        self.trouble.send_if_modified(|trouble| {
            let new = *trouble != all;
            *trouble = all;
            new
        });
    }

    /// Tries once; `report` is read the first time.
    async fn try_to_send(
        &self,
        number: u64,
        report: &mut Option<Report>,
        streams: &mut Streams,
    ) -> Result<(), SendError> {
        if report.is_none() {
            let Some(Record::Report(read)) = self.records.find(&Key::Report(number)).await? else {
                // It was published before, and its record is gone.
                return Ok(());
            };
            *report = Some(*read);
        }
        let Some(report) = report else { return Ok(()) };
        let standing = self.connection.standing().borrow().clone();
        if !standing.connected {
            return Err(SendError::Away(standing.why));
        }
        let headers = headers(report);
        let most = self.connection.client().server_info().max_payload;
        let body = body(&report.data, most);
        debug!(id = report.id, subject = report.subject, "publishing a result");
        if streams.have(&self.connection, &report.subject).await? {
            self.store(&report.subject, headers, body, streams).await
        } else {
            let failed = |why: String| SendError::Core(report.subject.clone(), why);
            let client = self.connection.client();
            let sent = client.publish_with_headers(report.subject.clone(), headers, body).await;
            sent.map_err(|error| failed(error.to_string()))?;
            client.flush().await.map_err(|error| failed(error.to_string()))
        }
    }

    /// Gives a result to the stream that has its subject, and waits for the stream's answer.
    async fn store(
        &self,
        subject: &str,
        headers: HeaderMap,
        body: Bytes,
        streams: &mut Streams,
    ) -> Result<(), SendError> {
        let jetstream = self.connection.jetstream();
        let answer = match jetstream.publish_with_headers(subject.to_owned(), headers, body).await {
            Ok(answer) => answer.await,
            Err(error) => Err(error),
        };
        answer.map(drop).map_err(|error| {
            if error.kind() == PublishErrorKind::StreamNotFound {
                streams.known.remove(subject);
            }
            SendError::Refused { subject: subject.to_owned(), why: error.to_string() }
        })
    }
}

impl Streams {
    /// Whether a stream has `subject`.
    async fn have(&mut self, connection: &Connection, subject: &str) -> Result<bool, SendError> {
        if let Some((have, asked)) = self.known.get(subject)
            && asked.elapsed() < KNOWN_FOR
        {
            return Ok(*have);
        }
        let have = match connection.jetstream().stream_by_subject(subject).await {
            Ok(_) => true,
            Err(error) if error.kind() == GetStreamByNameErrorKind::NotFound => false,
            Err(error) => {
                let why = error.to_string();
                // Without JetStream nobody answers.
                if why.contains("no responders") || why.contains("not enabled") {
                    false
                } else {
                    return Err(SendError::Streams { subject: subject.to_owned(), why });
                }
            }
        };
        if self.known.len() >= MOST_KNOWN {
            self.known.clear();
        }
        self.known.insert(subject.to_owned(), (have, Instant::now()));
        Ok(have)
    }
}

/// `CloudEvents` attributes as headers of NATS, and the id by which a stream knows a repeat.
fn headers(report: &Report) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let time = rfc3339(report.at);
    for (name, value) in [
        ("Nats-Msg-Id", report.id.as_str()),
        ("ce-specversion", "1.0"),
        ("ce-id", &report.id),
        ("ce-source", &report.source),
        ("ce-type", &report.event_type),
        ("ce-subject", &report.about),
        ("ce-time", &time),
        ("ce-datacontenttype", "application/json"),
    ] {
        headers.insert(name, value);
    }
    headers
}

/// The body, without its largest parts where the server takes no body of that size.
fn body(data: &Value, most: usize) -> Bytes {
    // What headers take of it.
    const HEADERS: usize = 2_048;
    let whole = data.to_string();
    if whole.len() + HEADERS <= most {
        return whole.into();
    }
    let mut slim = data.clone();
    let mut strip = |value: &mut Value| {
        if let Some(fields) = value.as_object_mut() {
            fields.retain(|name, _| !matches!(name.as_str(), "params" | "matrix" | "attempts" | "outputs"));
        }
    };
    // A CDEvent has the result in it, and takes no fields that it does not know.
    let result = if slim.get("customData").is_some() { &mut slim["customData"] } else { &mut slim };
    strip(result);
    result.get_mut("runs").and_then(Value::as_array_mut).into_iter().flatten().for_each(&mut strip);
    result["truncated"] = true.into();
    slim.to_string().into()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_too_large_goes_without_its_largest_parts() {
        let long = json!({"text": "x".repeat(4_096)});
        let run = json!({"run": "1", "params": long});
        let slim_run = json!({"run": "1", "truncated": true});
        for (whole, slim) in [
            (run.clone(), slim_run.clone()),
            (json!({"runs": [run]}), json!({"runs": [{"run": "1"}], "truncated": true})),
            (
                json!({"subject": {"id": "1"}, "customData": run}),
                json!({"subject": {"id": "1"}, "customData": slim_run}),
            ),
        ] {
            let read = |most: usize| -> Value { serde_json::from_slice(&body(&whole, most)).unwrap() };
            assert_eq!(read(1 << 20), whole);
            assert_eq!(read(4_096), slim);
        }
    }
}
