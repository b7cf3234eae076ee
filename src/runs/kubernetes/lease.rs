//! One instance's name is one server's on a cluster: a Lease in the server's own namespace says whose.
//!
//! What changes the cluster waits for it (see [`Lease::held`]); what only looks does not, and neither does a
//! delivery. So an API server that is away, or a Role that is missing, ends nothing: nobody else gets the
//! Lease then either. The process ends only once another holds it.
//!
//! If we die, whoever opens our data folder has it at once, and another after 15 seconds. If we are only
//! stopped, or cut off, we rely on it no longer than 10 seconds after it was last written, by a clock that goes
//! on meanwhile, and find out who has it before we go on. A call that was under way just then does no harm:
//! Jobs have derived names, and are deleted by uid. If we die between taking it and hearing so, it is ours.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::engine::lease::{self, EVERY, Found, Holder, LASTS, RELIED_ON, Turn, micro_time, turn};
use crate::outside::clock::Clock;
use crate::outside::kubernetes::api::{Api, CallError, escape};
use crate::runs::executor::ExecutorError;

/// The longest that reading or writing it may take.
const CALL: Duration = Duration::from_secs(5);
/// How long another that holds it is waited for.
const PREDECESSOR: Duration = Duration::from_secs(30);
/// How long a call that changes the cluster waits for it.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a Lease is made of.
pub struct LeaseOptions {
    /// Asks the API server.
    pub api: Api,
    /// The server's own namespace.
    pub namespace: String,
    /// Name of this Kickoff.
    pub instance: String,
    /// Who wants it.
    pub me: Holder,
    /// The time, for people.
    pub clock: Clock,
}

/// Whether it is held. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Lease {
    place: Arc<str>,
    relied_on_until: watch::Receiver<Option<Instant>>,
    trouble: watch::Receiver<Vec<String>>,
}

/// Gets it and keeps it.
pub struct LeaseKeeper {
    options: LeaseOptions,
    place: Arc<str>,
    /// As the API server had it last; `None` where that is not known.
    known: Option<Value>,
    /// The version that was last seen, and since when.
    seen: Option<(String, Instant)>,
    led: bool,
    /// Since when another holds it.
    held_up: Option<Instant>,
    relied_on_until: watch::Sender<Option<Instant>>,
    trouble: watch::Sender<Vec<String>>,
}

/// Another server has this one's name.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// It did not let go.
    #[error(
        "another kickoff runs as this instance: {holder} holds {place}, and still did after {} s: stop that \
         one, or give this one another --instance",
        PREDECESSOR.as_secs()
    )]
    Held {
        /// Its name and where it is.
        place: Arc<str>,
        /// Who has it.
        holder: String,
    },
    /// It took it.
    #[error("another kickoff has taken over this instance: {holder} holds {place}; here it ends")]
    Lost {
        /// Its name and where it is.
        place: Arc<str>,
        /// Who has it.
        holder: String,
    },
}

/// Where the API server has the Lease of an instance, by the instance's own namespace.
pub fn lease_path(namespace: &str, instance: &str) -> String {
    format!("{}/{}", collection(namespace), escape(&lease::name(instance)))
}

fn collection(namespace: &str) -> String {
    format!("/apis/coordination.k8s.io/v1/namespaces/{}/leases", escape(namespace))
}

fn is_relied_on(until: Option<Instant>) -> bool {
    until.is_some_and(|until| Instant::now() < until)
}

/// What came of a turn.
enum Standing {
    Ours,
    /// Somebody else wrote it just now, or it is gone: look again.
    Unclear,
    Others(String),
    Lost(String),
}

impl Lease {
    /// The Lease of an instance, and what keeps it; nothing is asked for yet.
    pub fn new(options: LeaseOptions) -> (Self, LeaseKeeper) {
        let (relied_on_until, until) = watch::channel(None);
        let (trouble, troubled) = watch::channel(Vec::new());
        let name = lease::name(&options.instance);
        let place: Arc<str> = format!("the Lease {name} in namespace {}", options.namespace).into();
        let keeper = LeaseKeeper {
            options,
            place: Arc::clone(&place),
            known: None,
            seen: None,
            led: false,
            held_up: None,
            relied_on_until,
            trouble,
        };
        (Self { place, relied_on_until: until, trouble: troubled }, keeper)
    }

    /// One that is relied on as who makes it says.
    #[cfg(test)]
    pub(super) fn relied_on(until: Option<Instant>) -> (watch::Sender<Option<Instant>>, Self) {
        let (sender, relied_on_until) = watch::channel(until);
        (sender, Self { place: "the Lease".into(), relied_on_until, trouble: watch::channel(Vec::new()).1 })
    }

    /// Why it is not held, while it is so.
    pub fn trouble(&self) -> watch::Receiver<Vec<String>> {
        self.trouble.clone()
    }

    /// Waits until it is held: from then on, for a moment, the cluster is ours to change.
    pub(super) async fn held(&self) -> Result<(), ExecutorError> {
        let mut until = self.relied_on_until.clone();
        match timeout(PATIENCE, until.wait_for(|until| is_relied_on(*until))).await {
            Ok(Ok(_)) => Ok(()),
            _ => self.is_held(),
        }
    }

    /// The same without waiting.
    pub(super) fn is_held(&self) -> Result<(), ExecutorError> {
        if is_relied_on(*self.relied_on_until.borrow()) {
            return Ok(());
        }
        let why = self.trouble.borrow().first().cloned();
        let why = why.unwrap_or_else(|| format!("{}: it was not renewed in time", self.place));
        Err(ExecutorError::Transient(why))
    }
}

impl LeaseKeeper {
    /// Gets it before anything is accepted, once whoever has it lets go of it. Where the API server can't be
    /// asked it is left to [`Self::keep`].
    pub async fn take_over(&mut self) -> Result<(), LeaseError> {
        loop {
            match self.once().await? {
                Some(Standing::Ours) | None => return Ok(()),
                Some(_) => sleep(EVERY).await,
            }
        }
    }

    /// Keeps it until `cancel`, and lets go of it then.
    pub async fn keep(mut self, cancel: CancellationToken) -> Result<(), LeaseError> {
        loop {
            tokio::select! {
                () = cancel.cancelled() => break,
                kept = self.once() => drop(kept?),
            }
            tokio::select! {
                () = cancel.cancelled() => break,
                () = sleep(EVERY) => {}
            }
        }
        self.relied_on_until.send_replace(None);
        match timeout(CALL, self.release()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => debug!(%error, "can't release {}: it runs out", self.place),
            Err(_) => debug!("can't release {} in time: it runs out", self.place),
        }
        Ok(())
    }

    /// One turn, with what is told of it; `None` where nobody could be asked.
    async fn once(&mut self) -> Result<Option<Standing>, LeaseError> {
        let turned = match timeout(CALL, self.turn()).await {
            Ok(turned) => turned.map_err(|error| self.words(&error)),
            Err(_) => Err(format!("the API server did not answer within {} s", CALL.as_secs())),
        };
        let standing = match turned {
            Ok(standing) => standing,
            Err(why) => {
                // Whether it was written is not known.
                self.known = None;
                self.say(Some(why));
                return Ok(None);
            }
        };
        match &standing {
            Standing::Ours => {
                self.held_up = None;
                self.say(None);
            }
            Standing::Unclear => {}
            Standing::Others(holder) => {
                let since = *self.held_up.get_or_insert_with(Instant::now);
                if since.elapsed() >= PREDECESSOR {
                    return Err(LeaseError::Held { place: Arc::clone(&self.place), holder: holder.clone() });
                }
                let wait = PREDECESSOR.as_secs();
                self.say(Some(format!("{holder} holds it; waiting up to {wait} s for that one to end")));
            }
            Standing::Lost(holder) => {
                self.relied_on_until.send_replace(None);
                return Err(LeaseError::Lost { place: Arc::clone(&self.place), holder: holder.clone() });
            }
        }
        Ok(Some(standing))
    }

    async fn turn(&mut self) -> Result<Standing, CallError> {
        if self.known.is_none() {
            self.look().await?;
        }
        let found = self.known.as_ref().map(|lease| self.found(lease));
        let next = turn(&self.options.me, self.led, found.as_ref());
        let holder = found.map(|found| found.holder).unwrap_or_default();
        let lease = match next {
            Turn::Lost => return Ok(Standing::Lost(holder)),
            Turn::Wait(_) => {
                // What it is now is looked at anew the next time.
                self.known = None;
                return Ok(Standing::Others(holder));
            }
            Turn::Create | Turn::Take | Turn::Renew => self.written(next != Turn::Renew),
        };
        let sent = Instant::now();
        let written = match next {
            Turn::Create => {
                self.options.api.post::<Value>(&collection(&self.options.namespace), &lease).await
            }
            _ => self.options.api.put::<Value>(&self.path(), &lease).await,
        };
        match written {
            Ok(lease) => self.known = Some(lease),
            // It was changed, or is gone. A 404 of a creation is the namespace's.
            Err(error)
                if error.code() == Some(409) || (error.code() == Some(404) && next != Turn::Create) =>
            {
                self.known = None;
                return Ok(Standing::Unclear);
            }
            Err(error) => return Err(error),
        }
        if next != Turn::Renew {
            info!(holder = %self.options.me, before = holder, "{} is ours", self.place);
        }
        self.led = true;
        self.relied_on_until.send_replace(Some(sent + RELIED_ON));
        Ok(Standing::Ours)
    }

    /// Reads it.
    async fn look(&mut self) -> Result<(), CallError> {
        let lease = match self.options.api.get::<Value>(&self.path()).await {
            Ok(lease) => lease,
            Err(error) if error.code() == Some(404) => return Ok(()),
            Err(error) => return Err(error),
        };
        let version = lease::version(&lease);
        if self.seen.as_ref().is_none_or(|(seen, _)| seen != version) {
            self.seen = Some((version.to_owned(), Instant::now()));
        }
        self.known = Some(lease);
        Ok(())
    }

    fn found(&self, lease: &Value) -> Found {
        let unchanged = self.seen.as_ref().map_or(Duration::ZERO, |(_, since)| since.elapsed());
        Found::read(lease, unchanged)
    }

    /// The Lease as it is to be, ours; with the version that was seen, so that one of two writers fails.
    fn written(&self, taken: bool) -> Value {
        let LeaseOptions { namespace, instance, me, clock, .. } = &self.options;
        let mut lease = self.known.clone().unwrap_or_else(|| {
            let labels = json!({"app.kubernetes.io/managed-by": "kickoff", "kickoff.dev/instance": instance});
            json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata":
                {"name": lease::name(instance), "namespace": namespace, "labels": labels}, "spec": {}})
        });
        let now = json!(micro_time(clock.now()));
        let spec = &mut lease["spec"];
        if taken {
            let before = spec["leaseTransitions"].as_i64();
            spec["leaseTransitions"] = json!(before.map_or(0, |before| before.saturating_add(1)));
            spec["acquireTime"] = now.clone();
        }
        spec["holderIdentity"] = json!(me.to_string());
        spec["leaseDurationSeconds"] = json!(LASTS.as_secs());
        spec["renewTime"] = now;
        lease
    }

    /// Lets go of it, if it is ours.
    async fn release(&mut self) -> Result<(), CallError> {
        if !self.led {
            return Ok(());
        }
        // The last renewal may have been cut off.
        self.known = None;
        self.look().await?;
        let Some(mut lease) = self.known.take() else { return Ok(()) };
        if lease["spec"]["holderIdentity"].as_str() != Some(&self.options.me.to_string()) {
            return Ok(());
        }
        lease["spec"]["holderIdentity"] = json!("");
        lease["spec"]["renewTime"] = json!(micro_time(self.options.clock.now()));
        self.options.api.put::<Value>(&self.path(), &lease).await.map(drop)
    }

    /// Says once why it is not ours, or that it is again.
    fn say(&self, why: Option<String>) {
        let now: Vec<String> = why.map(|why| format!("{}: {why}", self.place)).into_iter().collect();
        if *self.trouble.borrow() == now {
            return;
        }
        for why in &now {
            warn!(%why, "no Job is created or deleted for now; it is tried again");
        }
        self.trouble.send_replace(now);
    }

    fn words(&self, error: &CallError) -> String {
        match error.code() {
            Some(401 | 403) => format!(
                "{error}; grant get, create and update on leases (coordination.k8s.io) in namespace {}",
                self.options.namespace
            ),
            _ => error.to_string(),
        }
    }

    fn path(&self) -> String {
        lease_path(&self.options.namespace, &self.options.instance)
    }
}
