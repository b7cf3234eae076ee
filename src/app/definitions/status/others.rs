//! Other servers that write statuses of the same resources: what is left to them, and whether they still run.
//!
//! Nothing of it is kept: after a start all of them count as living until their Leases were seen to run out.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;
use tracing::debug;

use crate::engine::definitions::writer::{Instance, Life, Turn, life, turn};
use crate::engine::lease::{Found, version};
use crate::outside::kubernetes::api::Api;
use crate::runs::kubernetes::lease_path;

/// How often is asked for the Lease of one.
const AGAIN: Duration = Duration::from_secs(5);
/// How many are asked for: whoever may write statuses may name as many as there are.
const MOST: usize = 10;

/// What is known of them.
#[derive(Default)]
pub(super) struct Others {
    seen: BTreeMap<Instance, Seen>,
    /// By uid: the generation that the writer's status is not about yet, and since when.
    unanswered: HashMap<String, (i64, Instant)>,
}

/// One of them.
struct Seen {
    asked: Instant,
    /// Of its Lease, and since when it is known to be this.
    version: String,
    since: Instant,
    life: Life,
}

/// A resource whose status another wrote.
pub(super) struct Foreign {
    pub(super) uid: String,
    pub(super) title: String,
    pub(super) by: Instance,
    /// Of its spec, and what the status is about.
    pub(super) generation: i64,
    pub(super) observed: i64,
}

/// What is left to others.
#[derive(Default)]
pub(super) struct Left {
    pub(super) uids: HashSet<String>,
    /// That it is, as sentences.
    pub(super) told: Vec<String>,
}

impl Others {
    /// Which of these are not to be written now.
    pub(super) async fn left(&mut self, api: &Api, foreign: &[Foreign], now: Instant) -> Left {
        let named: BTreeSet<&Instance> = foreign.iter().map(|it| &it.by).collect();
        self.seen.retain(|by, _| named.contains(by));
        for by in named.into_iter().take(MOST) {
            self.ask(api, by, now).await;
        }
        let uids: HashSet<&str> = foreign.iter().map(|it| &*it.uid).collect();
        self.unanswered.retain(|uid, _| uids.contains(&**uid));
        let (mut left, mut each) = (Left::default(), BTreeMap::<&Instance, Vec<&str>>::new());
        for it in foreign {
            let unanswered = self.unanswered(it, now);
            if turn(self.life(&it.by), unanswered) == Turn::Leave {
                left.uids.insert(it.uid.clone());
                each.entry(&it.by).or_default().push(&it.title);
            }
        }
        left.told = each.into_iter().map(|(by, titles)| self.sentence(by, &titles)).collect();
        left
    }

    fn life(&self, by: &Instance) -> Life {
        self.seen.get(by).map_or(Life::Unknown, |seen| seen.life)
    }

    /// For how long nobody has answered to the spec as it is.
    fn unanswered(&mut self, it: &Foreign, now: Instant) -> Duration {
        if it.observed >= it.generation {
            self.unanswered.remove(&it.uid);
            return Duration::ZERO;
        }
        let new = (it.generation, now);
        let known = self.unanswered.entry(it.uid.clone()).or_insert(new);
        if known.0 != it.generation {
            *known = new;
        }
        now.duration_since(known.1)
    }

    async fn ask(&mut self, api: &Api, by: &Instance, now: Instant) {
        if self.seen.get(by).is_some_and(|seen| now.duration_since(seen.asked) < AGAIN) {
            return;
        }
        let said = api.get::<Value>(&lease_path(&by.namespace, &by.name)).await;
        let before = self.seen.remove(by).map(|seen| (seen.version, seen.since));
        let (version, since, life) = match said {
            Ok(lease) => {
                let version = version(&lease).to_owned();
                let since = before.filter(|(known, _)| *known == version).map_or(now, |(_, since)| since);
                (version, since, life(Some(&Found::read(&lease, now.duration_since(since)))))
            }
            Err(error) if error.code() == Some(404) => (String::new(), now, life(None)),
            Err(error) => {
                debug!(instance = %by, %error, "whether another server still runs is not known");
                let (version, since) = before.unwrap_or((String::new(), now));
                (version, since, Life::Unknown)
            }
        };
        self.seen.insert(by.clone(), Seen { asked: now, version, since, life });
    }

    fn sentence(&self, by: &Instance, titles: &[&str]) -> String {
        let (many, first) = (titles.len(), titles.first().copied().unwrap_or_default());
        let mut sentence = format!(
            "{many} of the cluster's definitions, for instance {first}, are also served by instance {by}, which writes \
             their statuses: both answer to the same events; let --definitions-selector or --namespaces of one of them \
             leave these out"
        );
        if self.life(by) == Life::Unknown {
            sentence += "; whether that one still runs is not known: grant get on its Lease, as kickoff rbac \
                         --definitions-from-cluster --other-instances ";
            sentence += &by.to_string();
            sentence += " writes it";
        }
        sentence
    }
}

#[cfg(test)]
mod tests;
