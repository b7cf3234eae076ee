//! Labels of namespaces, for triggers that choose by them.
//!
//! They are asked for when an event is made and travel in it, so that what is decided follows from the event. A
//! second watch could be behind the first, and would not know a namespace that was made a moment ago.
//! While they can't be asked for, the event waits; where we may not ask, it says so and goes on for the others.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use tracing::warn;

use super::blind::{Blind, Watched};
use crate::engine::event::Event;
use crate::engine::watch::with_namespace;
use crate::outside::kubernetes::api::{Api, escape};

/// How old an answer may be.
const FRESH: Duration = Duration::from_secs(5);
/// Between two tries.
const AGAIN: Duration = Duration::from_secs(1);
/// Most answers that are kept.
const MOST: usize = 1_000;

/// Labels of namespaces, as they were a moment ago.
pub(super) struct Namespaces {
    /// Whether anybody asks.
    wanted: bool,
    known: HashMap<String, (Instant, Value)>,
    /// What was told last that keeps them from being known.
    trouble: Option<String>,
    blind: Blind,
    watched: Watched,
}

impl Namespaces {
    /// For events of what is watched, where anybody asks.
    pub(super) fn new(wanted: bool, blind: Blind, watched: Watched) -> Self {
        Self { wanted, known: HashMap::new(), trouble: None, blind, watched }
    }

    /// The events with the labels of their namespaces.
    pub(super) async fn add(&mut self, api: &Api, events: Vec<Event>) -> Vec<Event> {
        if !self.wanted {
            return events;
        }
        let mut added = Vec::with_capacity(events.len());
        for event in events {
            let subject = event.attributes.subject.as_deref().unwrap_or_default();
            let name = subject.split_once('/').map(|(namespace, _)| namespace.to_owned());
            added.push(match name {
                Some(name) => {
                    let labels = self.labels(api, &name).await;
                    with_namespace(event, &name, labels)
                }
                None => event,
            });
        }
        added
    }

    async fn labels(&mut self, api: &Api, name: &str) -> Result<Value, String> {
        if let Some((at, labels)) = self.known.get(name)
            && at.elapsed() < FRESH
        {
            return Ok(labels.clone());
        }
        let path = format!("/api/v1/namespaces/{}", escape(name));
        loop {
            let error = match api.get::<Value>(&path).await {
                Ok(namespace) => {
                    self.tell(None);
                    if self.known.len() >= MOST {
                        self.known.clear();
                    }
                    let labels = &namespace["metadata"]["labels"];
                    let labels = if labels.is_object() { labels.clone() } else { json!({}) };
                    self.known.insert(name.to_owned(), (Instant::now(), labels.clone()));
                    return Ok(labels);
                }
                Err(error) => error,
            };
            match error.code() {
                Some(404) => return Err("it is gone".to_owned()),
                // Who is not known at all (401) is not known for anything else either: that is waited for.
                Some(403) => {
                    let why = format!("{error}; grant get on namespaces");
                    self.tell(Some(why.clone()));
                    return Err(why);
                }
                _ => self.tell(Some(error.to_string())),
            }
            sleep(AGAIN).await;
        }
    }

    fn tell(&mut self, trouble: Option<String>) {
        if self.trouble == trouble {
            return;
        }
        if let Some(why) = &trouble {
            warn!(watched = %self.watched, why, "labels of namespaces are not known");
        }
        self.trouble.clone_from(&trouble);
        self.blind.one(&self.watched, trouble);
    }
}
