//! One watch: all objects of a kind in a scope, then each change of them, for as long as it is wanted.
//!
//! What follows from an object is decided in [`View`]; here it is stored. An event is appended, however long
//! that takes, and its mark becomes durable in the commit that decides it: if we die before the append, the
//! object is listed again and the same event is made; if we die after, it is decided before the marks are read.
//! What fires nothing goes to the machine as a fact: if that is lost, the next list tells it
//! again. A list that broke off notes nothing wrong, since the baseline is complete only with the list; so what a list
//! notes is gathered, and told in large parts.
//!
//! Marks are read once what was stored before is decided: from an older mark the same change would be another event.
//!
//! A disconnect, a 410 or a list every ten minutes is the feed's own matter: all states are levels here. How a
//! kind is served is asked of the cluster; one that is not served, or not any more, is asked for again, and what
//! was known of it stays. Where triggers want something else of the kind, all is listed anew, so that what they
//! want begins with what is there: once the list before is whole, and not at each edit of many.

use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt as _};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::asking::Asking;
use super::blind::{Blind, Watched};
use super::namespaces::Namespaces;
use crate::engine::definitions::Snapshot;
use crate::engine::event::Event;
use crate::engine::machine::{Input, Key, Record};
use crate::engine::watch::{Asked, Happening, Resource, Served, Told, View, Want, not_served};
use crate::outside::clock::Clock;
use crate::outside::kubernetes::api::{Api, escape};
use crate::outside::kubernetes::feed::{News, Object, Selection, feed};
use crate::sources::append_all;
use crate::store::inbox::Inbox;
use crate::store::records::{Records, RecordsError};

/// How much is taken at once at most: what is there, and what comes before [`TOGETHER`] is over.
const AT_ONCE: usize = 64;
/// As many records are noted in one step: all of a kind may be gone at once.
const MOST_NOTED: usize = 500;
/// How long is gathered what comes soon after something was stored, so that a thousand changes a second are a hundred
/// transactions. One that comes alone is stored at once.
const TOGETHER: Duration = Duration::from_millis(10);
/// How often is looked whether what was stored before is decided.
const LOOK: Duration = Duration::from_millis(50);
/// Between two tries to read the marks, or to append.
const AGAIN: Duration = Duration::from_secs(1);
/// Between two looks for a kind that is not served.
const SERVED: Duration = Duration::from_secs(5);
/// Between two lists that are made because triggers want something else.
const PAUSE: Duration = Duration::from_secs(1);
/// How often the log may tell the same.
const TELL: Duration = Duration::from_mins(1);

/// What a watch works with.
pub(super) struct Watch {
    pub(super) watched: Watched,
    pub(super) api: Api,
    pub(super) inbox: Arc<dyn Inbox>,
    pub(super) arrived: watch::Receiver<u64>,
    pub(super) records: Arc<dyn Records>,
    pub(super) facts: mpsc::Sender<Input>,
    pub(super) clock: Clock,
    pub(super) snapshots: watch::Receiver<Arc<Snapshot>>,
    pub(super) blind: Blind,
    /// How the cluster serves the kind, once that is known.
    pub(super) resource: Option<Resource>,
    /// When the log was told last that nothing is seen, until it is told that it is.
    pub(super) told_at: Option<Instant>,
}

impl Watch {
    /// Follows until `cancel`.
    pub(super) async fn follow(self, cancel: CancellationToken) {
        cancel.run_until_cancelled(Box::pin(self.run())).await;
    }

    async fn run(mut self) {
        let Watched { kind, namespace } = &self.watched;
        let mut view = View::new(kind.clone(), namespace.as_deref(), self.records().await);
        loop {
            let resource = self.served().await;
            let path = self.path(&resource);
            self.resource = Some(resource);
            self.watch(path, &mut view).await;
        }
    }

    /// Watches until the API server does not serve the kind any more, or triggers want something else of it.
    async fn watch(&mut self, path: String, view: &mut View) {
        let selection = Selection { path, labels: String::new(), streamed: true };
        let mut feed = feed::<Object>(self.api.clone(), selection).boxed();
        let mut asking = self.asking();
        let began = Instant::now();
        // A list that is broken off tells nothing: edits that come faster than it ends must not keep it from ending.
        let (mut whole, mut due) = (false, None);
        let wanted = asking.asks_for_namespaces();
        let mut namespaces = Namespaces::new(wanted, self.blind.clone(), self.watched.clone());
        // What follows from what was seen, as far as it is not stored yet.
        let mut told = view.told();
        let mut until = began;
        loop {
            let first = tokio::select! {
                biased;
                changed = self.snapshots.changed() => {
                    if changed.is_err() {
                        // Everything stops.
                        std::future::pending::<()>().await;
                    }
                    let next = self.asking();
                    if next.looks_as(&asking) {
                        (asking, due) = (next, None);
                    } else {
                        due = due.or_else(|| Some(Instant::now().max(began + PAUSE)));
                    }
                    continue;
                }
                () = sleep_until(due.unwrap_or(began)), if whole && due.is_some() => return,
                news = feed.next() => match news {
                    Some(news) => news,
                    None => return,
                },
            };
            let news = gather(&mut feed, first, until).await;
            whole = is_whole(whole, &news);
            let served = !news.iter().any(|news| matches!(news, News::NotServed(_)));
            self.take(news, &asking, view, &mut told);
            let few = told.events.is_empty() && told.noted.records() + AT_ONCE <= MOST_NOTED;
            if served && few && view.is_listing() {
                continue;
            }
            let mut next = std::mem::replace(&mut told, view.told());
            next.events = namespaces.add(&self.api, next.events).await;
            let stored = self.store(next).await;
            if !served {
                // Said once the cluster was asked for the kind.
                sleep(AGAIN).await;
                return;
            }
            if stored {
                until = Instant::now() + TOGETHER;
            }
        }
    }

    fn take(&mut self, news: Vec<News<Object>>, asking: &Asking, view: &mut View, told: &mut Told) {
        let wanted = |want: &Want, namespace: &str, name: &str| asking.may_take(want, namespace, name);
        let happens = |happening: &Happening, namespace: &str| asking.takes(happening, namespace);
        let wants = &asking.wants;
        let asked = Asked { wants, wanted: &wanted, happens: &happens, now: self.clock.now() };
        for news in news {
            self.hear(news, &asked, view, told);
        }
    }

    /// What triggers want of the kind.
    fn asking(&mut self) -> Asking {
        let snapshot = self.snapshots.borrow_and_update().clone();
        Asking::of(&snapshot, &self.watched.kind)
    }

    fn path(&self, resource: &Resource) -> String {
        let Watched { kind, namespace } = &self.watched;
        let place = namespace.as_ref().map(|name| format!("/namespaces/{}", escape(name)));
        format!("{}{}/{}", kind.path(), place.unwrap_or_default(), escape(&resource.plural))
    }

    /// How the kind is served, once it is.
    async fn served(&mut self) -> Resource {
        loop {
            match self.find().await {
                Ok(resource) => return resource,
                Err(why) => self.is_blind(&why),
            }
            sleep(SERVED).await;
        }
    }

    async fn find(&self) -> Result<Resource, String> {
        let Watched { kind, namespace } = &self.watched;
        let served = match self.api.get::<Served>(&kind.path()).await {
            Ok(served) => served,
            Err(error) if error.code() == Some(404) => return Err(not_served(kind)),
            Err(error) => return Err(error.to_string()),
        };
        let resource = served.find(kind)?;
        if let Some(namespace) = namespace.as_ref().filter(|_| !resource.namespaced) {
            let kinds = kind.title();
            return Err(format!(
                "{kinds} are in no namespace, and the server serves only some ({namespace})"
            ));
        }
        Ok(resource)
    }

    /// What the machine has of these objects, once it can be read: an event that is stored and not decided yet has
    /// not moved its mark, and would be made again from the mark before, under another id.
    async fn records(&self) -> Vec<(Key, Record)> {
        let stored = *self.arrived.borrow();
        while self.decided().await < stored {
            sleep(LOOK).await;
        }
        let mut known = Vec::new();
        for prefix in View::prefixes(&self.watched.kind) {
            known.extend(self.read(|| self.records.scan(&prefix)).await);
        }
        known
    }

    /// Up to which position of the inbox everything is decided.
    async fn decided(&self) -> u64 {
        match self.read(|| self.records.find(&Key::Cursor)).await {
            Some(Record::Cursor(position)) => position,
            _ => 0,
        }
    }

    /// What `ask` finds, once it can be read.
    async fn read<T, F>(&self, ask: impl Fn() -> F) -> T
    where
        F: Future<Output = Result<T, RecordsError>>,
    {
        loop {
            match ask().await {
                Ok(found) => return found,
                // Dispatch ends the process over it.
                Err(error @ RecordsError::Corrupt { .. }) => {
                    warn!(%error, watched = %self.watched, "the marks can't be read");
                    std::future::pending::<()>().await;
                }
                Err(error) => warn!(%error, watched = %self.watched, "can't read the marks, trying again"),
            }
            sleep(AGAIN).await;
        }
    }

    fn hear(&mut self, news: News<Object>, asked: &Asked<'_>, view: &mut View, told: &mut Told) {
        match news {
            News::Listing => view.listing(),
            News::Item(Object(object)) => {
                if let Err(why) = view.item(object, asked, told) {
                    warn!(watched = %self.watched, why, "an object makes no sense, and is left out");
                }
            }
            News::Gone(Object(object)) => view.gone(object, asked, told),
            News::Listed => {
                view.listed(asked, told);
                if !told.noted.listed.is_empty() {
                    info!(watched = %self.watched, "watched for the first time: what is there fires nothing");
                }
                self.sees();
            }
            News::Trouble(why) => self.is_blind(&why),
            News::NotServed(_) => {}
            News::Well => self.sees(),
        }
    }

    /// Stores what was told; whether that was anything.
    async fn store(&self, told: Told) -> bool {
        let (events, notes) = (!told.events.is_empty(), told.has_notes());
        if events {
            self.append(told.events).await;
        }
        if !notes {
            return events;
        }
        for noted in told.noted.parts(MOST_NOTED) {
            if self.facts.send(Input::Noted(Box::new(noted))).await.is_err() {
                // Dispatch is gone: everything stops.
                std::future::pending::<()>().await;
            }
        }
        true
    }

    /// Appends events, however long it takes.
    async fn append(&self, events: Vec<Event>) {
        let mut waited = false;
        loop {
            match append_all(&*self.inbox, events.clone()).await {
                Ok(_) if waited => {
                    self.blind.one(&self.watched, None);
                    return;
                }
                Ok(_) => return,
                Err(error) => {
                    waited = true;
                    if self.blind.one(&self.watched, Some(error.to_string())) {
                        warn!(%error, watched = %self.watched, "changes of the cluster wait to be stored");
                    }
                }
            }
            sleep(AGAIN).await;
        }
    }

    /// It can't be seen what happens, and why; told in the log where it is new, once a minute.
    fn is_blind(&mut self, why: &str) {
        let why = self.words(why);
        let new = self.blind.one(&self.watched, Some(why.clone()));
        if new && self.told_at.is_none_or(|at| at.elapsed() >= TELL) {
            warn!(watched = %self.watched, why, "changes of the cluster are not seen, and it is tried again");
            self.told_at = Some(Instant::now());
        }
    }

    /// It can.
    fn sees(&mut self) {
        self.blind.one(&self.watched, None);
        if self.told_at.take().is_some() {
            info!(watched = %self.watched, "changes of the cluster are seen again");
        }
    }

    /// The API server's own words, with what to do about them.
    fn words(&self, why: &str) -> String {
        if !why.contains("forbidden") {
            return why.to_owned();
        }
        let Watched { kind, namespace } = &self.watched;
        let place = match namespace {
            Some(namespace) => format!("in namespace {namespace}"),
            None => "in all namespaces, or name those that are served with --namespaces".to_owned(),
        };
        let known = self.resource.as_ref().map(|resource| resource.plural.clone());
        let plural = known.unwrap_or_else(|| kind.guessed_plural());
        format!("{why}; grant list and watch on {plural} ({}) {place}", kind.group_title())
    }
}

/// What there is now, and what comes before `until`, up to [`AT_ONCE`]: each line of a watch comes by itself, so that
/// the next one is never there yet.
async fn gather(
    feed: &mut (impl Stream<Item = News<Object>> + Unpin),
    first: News<Object>,
    until: Instant,
) -> Vec<News<Object>> {
    let mut news = vec![first];
    while news.len() < AT_ONCE
        && let Ok(Some(next)) = timeout_at(until, feed.next()).await
    {
        news.push(next);
    }
    news
}

/// Whether no list is being read after this.
fn is_whole(before: bool, news: &[News<Object>]) -> bool {
    news.iter().fold(before, |whole, news| match news {
        News::Listing => false,
        News::Listed => true,
        _ => whole,
    })
}

#[cfg(test)]
mod tests;
