//! The durable consumer of a stream: found as it is, or made.

use std::error::Error;

use async_nats::jetstream::consumer::pull::Config as PullConfig;
use async_nats::jetstream::consumer::{AckPolicy, Config, DeliverPolicy, Info, PullConsumer};
use async_nats::jetstream::context::{
    ConsumerInfoErrorKind, GetStreamErrorKind, RequestError, RequestErrorKind,
};
use async_nats::jetstream::stream::{RetentionPolicy, Stream};
use async_nats::jetstream::{Context, ErrorCode};
use std::time::Duration;

use super::reading::Consumer;
use crate::engine::nats::subject::Subject;
use crate::outside::chain;

/// How long the server waits for an acknowledgement before it delivers again.
const ACK_WAIT: Duration = Duration::from_secs(30);
/// How often it delivers a message that nobody acknowledges, of a consumer that is made here.
const MAX_DELIVER: i64 = 10;

/// Where a consumer that was lost goes on: behind what was acknowledged of the stream made at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) created: i64,
    pub(super) acknowledged: u64,
}

/// The stream; an error is for people.
pub(super) async fn stream(jetstream: &Context, name: &str) -> Result<Stream, String> {
    jetstream.get_stream(name).await.map_err(|error| match error.kind() {
        GetStreamErrorKind::JetStream(why) if why.error_code() == ErrorCode::STREAM_NOT_FOUND => {
            format!("there is no stream {name}")
        }
        _ => unanswered(&error).unwrap_or_else(|| chain(&error)),
    })
}

/// When a stream was made, nanoseconds since the epoch.
pub(super) fn created(stream: &Stream) -> i64 {
    i64::try_from(stream.cached_info().created.unix_timestamp_nanos()).unwrap_or(i64::MAX)
}

/// The consumer as it is found, else made; an error is for people.
pub(super) async fn consumer(
    stream: &Stream,
    wanted: &Consumer,
    mark: Option<Mark>,
) -> Result<PullConsumer, String> {
    let found = match stream.consumer_info(&wanted.name).await {
        Ok(found) => Some(found),
        Err(error) if error.kind() == ConsumerInfoErrorKind::NotFound => None,
        Err(error) => return Err(unanswered(&error).unwrap_or_else(|| chain(&error))),
    };
    match found {
        None => make(stream, wanted, new(stream, wanted, mark)).await,
        Some(info) => match fits(&info, &wanted.subject) {
            Ok(()) => stream.get_consumer(&wanted.name).await.map_err(|error| chain(error.as_ref())),
            Err(Misfit::Filter(_)) if wanted.own => {
                let config = Config {
                    filter_subject: wanted.subject.to_string(),
                    filter_subjects: Vec::new(),
                    ..info.config
                };
                make(stream, wanted, config).await
            }
            Err(Misfit::Filter(why) | Misfit::Other(why)) => Err(format!(
                "the consumer is there and does not fit: {why}; delete it, change it, or name another"
            )),
        },
    }
}

/// Why a consumer that is there can't be read here.
enum Misfit {
    Filter(String),
    Other(String),
}

fn fits(info: &Info, subject: &Subject) -> Result<(), Misfit> {
    let config = &info.config;
    let other = |why: &str| Err(Misfit::Other(why.to_owned()));
    if config.deliver_subject.is_some() {
        return other("it is a push consumer, and a pull consumer is needed");
    }
    if config.ack_policy != AckPolicy::Explicit {
        return other("its ack policy is not explicit, so messages could be lost");
    }
    if config.headers_only {
        return other("it delivers headers only");
    }
    let filters: Vec<&str> = std::iter::once(config.filter_subject.as_str())
        .chain(config.filter_subjects.iter().map(String::as_str))
        .filter(|filter| !filter.is_empty())
        .collect();
    let covers = |filter: &&str| Subject::parse(filter).is_ok_and(|filter| filter.covers(subject));
    if filters.is_empty() || filters.iter().any(covers) {
        return Ok(());
    }
    Err(Misfit::Filter(format!("its filter is {}, wanted {subject}", filters.join(", "))))
}

fn new(stream: &Stream, wanted: &Consumer, mark: Option<Mark>) -> Config {
    let info = stream.cached_info();
    // A stream that is a queue of work keeps only what nobody acknowledged.
    let known = mark.filter(|mark| {
        mark.created == created(stream)
            && mark.acknowledged > 0
            && info.config.retention != RetentionPolicy::WorkQueue
    });
    Config {
        durable_name: Some(wanted.name.clone()),
        description: Some("made by Kickoff".to_owned()),
        deliver_policy: match known {
            Some(mark) => DeliverPolicy::ByStartSequence { start_sequence: mark.acknowledged + 1 },
            None => DeliverPolicy::All,
        },
        ack_policy: AckPolicy::Explicit,
        ack_wait: ACK_WAIT,
        max_deliver: MAX_DELIVER,
        filter_subject: wanted.subject.to_string(),
        ..Config::default()
    }
}

/// Makes it, or changes it where it is there.
async fn make(stream: &Stream, wanted: &Consumer, config: Config) -> Result<PullConsumer, String> {
    let pull = PullConfig {
        durable_name: config.durable_name,
        description: config.description,
        deliver_policy: config.deliver_policy,
        ack_policy: config.ack_policy,
        ack_wait: config.ack_wait,
        max_deliver: config.max_deliver,
        max_ack_pending: config.max_ack_pending,
        filter_subject: config.filter_subject,
        num_replicas: config.num_replicas,
        ..PullConfig::default()
    };
    let made = stream.create_consumer(pull).await;
    made.map_err(|error| format!("the consumer can't be made: {}", chain(&error))).inspect(|_| {
        tracing::info!(stream = wanted.stream, consumer = wanted.name, "consumer of NATS made");
    })
}

/// Where nobody answers a request: what that means.
fn unanswered(error: &(dyn Error + 'static)) -> Option<String> {
    let mut next = Some(error);
    while let Some(error) = next {
        match error.downcast_ref::<RequestError>().map(RequestError::kind) {
            Some(RequestErrorKind::NoResponders) => return Some("JetStream is not enabled there".to_owned()),
            Some(RequestErrorKind::TimedOut) => return Some("JetStream does not answer".to_owned()),
            _ => next = error.source(),
        }
    }
    None
}
