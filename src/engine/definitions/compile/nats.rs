//! Source clauses of NATS.

use super::sources::is_type;
use crate::engine::definitions::clause::{Clause, NatsFrom, NatsSource, Source};
use crate::engine::definitions::config::NatsSourceConfig;
use crate::engine::definitions::schema::Finding;
use crate::engine::nats::subject::{Subject, name};

/// The group of those who give none.
const DEFAULT_QUEUE: &str = "kickoff";

/// Compiles a clause; what is wrong with it goes to `findings`. `before` are those of the trigger so far.
pub(super) fn nats(
    config: &NatsSourceConfig,
    field: &str,
    before: &[Source],
    findings: &mut Vec<Finding>,
) -> Option<Source> {
    let subject = subject(config, field, findings);
    let names = [("stream", &config.stream), ("consumer", &config.consumer), ("queue", &config.queue)];
    for (key, value) in names {
        let wrong = value.as_deref().and_then(name);
        findings.extend(wrong.map(|message| Finding::value(format!("{field}.{key}"), message)));
    }
    if config.stream.is_some() && config.queue.is_some() {
        let message = "a stream is read by a consumer, which whoever names it shares: leave queue out";
        findings.push(Finding::key(format!("{field}.queue"), message).by(format!("{field}.stream")));
    }
    if config.stream.is_none() && config.consumer.is_some() {
        let message = "a consumer belongs to a stream: name it with stream, or leave consumer out";
        findings.push(Finding::key(format!("{field}.consumer"), message).by(format!("{field}.stream")));
    }
    for (at, event_type) in config.types.iter().enumerate() {
        let wrong = wrong_type(event_type);
        findings.extend(wrong.map(|message| Finding::value(format!("{field}.types[{at}]"), message)));
    }
    let subject = subject?;
    let from = match &config.stream {
        Some(stream) => NatsFrom::Stream { stream: stream.clone(), consumer: config.consumer.clone() },
        None => NatsFrom::Core { queue: config.queue.clone().unwrap_or_else(|| DEFAULT_QUEUE.to_owned()) },
    };
    let source = NatsSource::new(subject, from, config.types.clone());
    if let Some(message) = before.iter().find_map(|other| clash(&source, other)) {
        findings.push(Finding::key(field.to_owned(), message));
        return None;
    }
    Some(Source { ingress: source.ingress(), clause: Clause::Nats(source) })
}

fn subject(config: &NatsSourceConfig, field: &str, findings: &mut Vec<Finding>) -> Option<Subject> {
    let field = format!("{field}.subject");
    let subject = match Subject::parse(&config.subject) {
        Ok(subject) => subject,
        Err(message) => {
            findings.push(Finding::value(field, message));
            return None;
        }
    };
    if let Some(reserved) = subject.reaches(config.stream.is_some()) {
        let message = format!(
            "reaches {reserved}, which belongs to the server and its clients: begin it with a word of your own"
        );
        findings.push(Finding::value(field, message));
    }
    Some(subject)
}

/// Why two clauses of one trigger can't stand beside each other.
fn clash(source: &NatsSource, other: &Source) -> Option<String> {
    let Clause::Nats(other) = &other.clause else { return None };
    if source.subject() == other.subject() && source.from == other.from {
        return Some(format!("the trigger listens to {} here already", source.subject()));
    }
    match &source.from {
        // One consumer has one filter.
        NatsFrom::Stream { stream, .. } if source.from == other.from => Some(format!(
            "the trigger reads stream {stream} with this consumer already, for {}: give each a consumer",
            other.subject()
        )),
        _ => None,
    }
}

/// What is wrong with an entry of `types`.
fn wrong_type(text: &str) -> Option<String> {
    if text.contains('*') {
        return Some("takes no *: a.b also covers a.b.c".to_owned());
    }
    (!is_type(text)).then(|| format!("{text:?} is no type of events: write for instance com.acme.order"))
}
