//! All objects of one kind in one scope, then every change of them, for as long as somebody asks.
//!
//! A list, then a watch from where it was. A watch lasts 200 seconds and is taken up again where it was; one that
//! says nothing for longer is cut. What has been forgotten meanwhile (410) is listed again, and so is everything
//! every ten minutes. Trouble is told and tried again, with pauses that grow; it is never the end.
//!
//! A list comes in pages, or, where that is asked for and the API server can do it (KEP-3157), as the beginning of the
//! watch: then no more than one object is in memory at once. It is whole with the bookmark that says so. One that
//! breaks off before counts for nothing: another begins, and only a whole one tells what is gone.

mod line;

use std::collections::VecDeque;
use std::pin::Pin;
use std::time::Duration;

use futures::io::{AsyncBufRead, AsyncBufReadExt as _};
use futures::stream::{self, Stream};
use kube::core::Status;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, warn};

use self::line::{Line, line, page};
use super::api::{Api, CallError, escape, words};

/// How long a watch lasts, seconds; the API server ends it then.
const WATCH_S: u64 = 200;
/// A watch that says nothing for this long is deaf: bookmarks come every minute.
const DEAF: Duration = Duration::from_secs(WATCH_S + 15);
/// Everything is listed anew this often, in case anything went unseen.
const RELIST: Duration = Duration::from_mins(10);
/// Objects of a page; one may have 1.5 MB, and a page is in memory up to three times.
const PAGE: u32 = 100;
/// A streamed list that says nothing for this long is none: the server does not know what was asked of it.
const SILENT: Duration = Duration::from_secs(30);
/// After so many streamed lists in a row that were not whole, lists come in pages.
const CUTS: u8 = 2;
/// Pauses after trouble.
const PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(15));

/// What a feed tells.
#[derive(Debug)]
pub enum News<T> {
    /// A list begins.
    Listing,
    /// An object as it is now.
    Item(T),
    /// An object that is not there any more, or not selected any more.
    Gone(T),
    /// The list is whole.
    Listed,
    /// It can't be seen what happens, for now.
    Trouble(String),
    /// The same, since the API server serves no such collection (404).
    NotServed(String),
    /// It can again.
    Well,
}

/// Which objects.
#[derive(Debug, Clone)]
pub struct Selection {
    /// Path of the collection.
    pub path: String,
    /// Which labels they have.
    pub labels: String,
    /// Whether the list may be streamed. It takes less memory, and some longer, as each object is sent by itself.
    pub streamed: bool,
}

type Lines = Pin<Box<dyn AsyncBufRead + Send>>;

enum State {
    /// A watch that begins with all objects.
    Stream,
    /// A page of a list, by its token.
    List(Option<String>),
    Watch(String),
    /// Up to which version; none until all objects that it begins with have come.
    Watching(Option<String>, Lines),
}

struct Feed<T> {
    api: Api,
    selection: Selection,
    state: Option<State>,
    listed_at: Instant,
    pause: Duration,
    troubled: bool,
    /// How many streamed lists in a row were not whole.
    cuts: u8,
    /// Before the next step, so that trouble is told before it is waited for.
    rest: Option<Duration>,
    news: VecDeque<News<T>>,
    line: Vec<u8>,
}

/// Objects whose version a feed takes note of.
pub trait Versioned: DeserializeOwned + Send + 'static {
    /// `metadata.resourceVersion`.
    fn version(&self) -> &str;

    /// What stands for one that can't be read: it is there, and no more is known. None: it is left out.
    fn unread(_uid: String) -> Option<Self> {
        None
    }
}

/// An object of any kind, as it is sent.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub struct Object(pub Value);

impl Versioned for Object {
    fn version(&self) -> &str {
        self.0["metadata"]["resourceVersion"].as_str().unwrap_or_default()
    }

    fn unread(uid: String) -> Option<Self> {
        Some(Self(json!({ "metadata": { "uid": uid } })))
    }
}

/// Feeds what is selected.
pub fn feed<T: Versioned>(api: Api, selection: Selection) -> impl Stream<Item = News<T>> + Send {
    let feed = Feed {
        api,
        selection,
        state: None,
        listed_at: Instant::now(),
        pause: PAUSES.0,
        troubled: false,
        cuts: 0,
        rest: None,
        news: VecDeque::new(),
        line: Vec::new(),
    };
    stream::unfold(feed, |mut feed| async move {
        loop {
            if let Some(news) = feed.news.pop_front() {
                return Some((news, feed));
            }
            let state = feed.state.take().unwrap_or_else(|| feed.begin());
            let next = feed.advance(state).await;
            feed.state = Some(next);
        }
    })
}

impl<T: Versioned> Feed<T> {
    async fn advance(&mut self, state: State) -> State {
        if let Some(rest) = self.rest.take() {
            sleep(rest).await;
        }
        match state {
            State::Stream => self.stream().await,
            State::List(token) => match self.list(token.as_deref()).await {
                Ok(next) => next,
                // A list that took too long for the API server begins anew.
                Err(error) if error.code() == Some(410) && token.is_some() => self.begin(),
                Err(error) => {
                    self.trouble(&error);
                    self.begin()
                }
            },
            State::Watch(_) if self.listed_at.elapsed() >= RELIST => self.begin(),
            State::Watch(version) => match self.api.stream(&self.watch_path(&version)).await {
                Ok(lines) => {
                    self.well();
                    State::Watching(Some(version), Box::pin(lines))
                }
                Err(error) if error.code() == Some(410) => self.forgotten(),
                Err(error) => {
                    self.trouble(&error);
                    State::Watch(version)
                }
            },
            State::Watching(version, lines) => self.read(version, lines).await,
        }
    }

    /// All objects are to be told.
    fn begin(&self) -> State {
        if self.selection.streamed { State::Stream } else { State::List(None) }
    }

    /// Lists come in pages from now on.
    fn in_pages(&mut self, why: &str) -> State {
        debug!(path = self.selection.path, why, "lists are not streamed here");
        self.selection.streamed = false;
        State::List(None)
    }

    fn trouble(&mut self, error: &CallError) {
        self.troubled = true;
        let why = error.to_string();
        let missing = error.code() == Some(404);
        self.news.push_back(if missing { News::NotServed(why) } else { News::Trouble(why) });
        self.rest = Some(self.pause);
        self.pause = (self.pause * 2).min(PAUSES.1);
    }

    fn well(&mut self) {
        if std::mem::take(&mut self.troubled) {
            self.news.push_back(News::Well);
        }
    }

    async fn stream(&mut self) -> State {
        match self.api.stream(&self.stream_path()).await {
            Ok(lines) => {
                self.news.push_back(News::Listing);
                State::Watching(None, Box::pin(lines))
            }
            Err(error) if error.code().is_some_and(asks_too_much) => self.in_pages(&error.to_string()),
            Err(error) => {
                self.trouble(&error);
                State::Stream
            }
        }
    }

    async fn list(&mut self, token: Option<&str>) -> Result<State, CallError> {
        let Selection { path, labels, .. } = &self.selection;
        let mut path = format!("{path}?limit={PAGE}&labelSelector={}", escape(labels));
        if let Some(token) = token {
            path.push_str("&continue=");
            path.extend(escape(token));
        }
        let page = page::<T>(&self.api.get_text(&path).await?)?;
        if token.is_none() {
            self.news.push_back(News::Listing);
        }
        self.news.extend(page.items.into_iter().map(News::Item));
        if let Some(more) = page.metadata.more.filter(|more| !more.is_empty()) {
            self.pause = PAUSES.0;
            return Ok(State::List(Some(more)));
        }
        self.listed();
        Ok(State::Watch(page.metadata.resource_version))
    }

    /// The list is whole.
    fn listed(&mut self) {
        (self.listed_at, self.pause, self.cuts) = (Instant::now(), PAUSES.0, 0);
        self.news.push_back(News::Listed);
    }

    fn stream_path(&self) -> String {
        let Selection { path, labels, .. } = &self.selection;
        let begin = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan";
        format!(
            "{path}?watch=true&{begin}&allowWatchBookmarks=true&timeoutSeconds={WATCH_S}&labelSelector={}",
            escape(labels)
        )
    }

    fn watch_path(&self, version: &str) -> String {
        format!(
            "{}?watch=true&allowWatchBookmarks=true&timeoutSeconds={WATCH_S}&labelSelector={}&resourceVersion={}",
            self.selection.path,
            escape(&self.selection.labels),
            escape(version)
        )
    }

    /// Reads one line of a watch.
    async fn read(&mut self, version: Option<String>, mut lines: Lines) -> State {
        self.line.clear();
        let longest = if version.is_some() { DEAF } else { SILENT };
        let read = timeout(longest, lines.read_until(b'\n', &mut self.line)).await;
        match read {
            Ok(Ok(_)) if self.line.ends_with(b"\n") => {}
            // The end of a watch, with half a line where it broke off.
            Ok(Ok(_)) => return self.again(version),
            Ok(Err(error)) => {
                debug!(path = self.selection.path, %error, "a watch broke off");
                return self.again(version);
            }
            Err(_) => {
                let Some(version) = version else { return self.in_pages("it says nothing more") };
                warn!(path = self.selection.path, "a watch said nothing for {} s", DEAF.as_secs());
                return State::Watch(version);
            }
        }
        match line::<T>(&self.line) {
            Line::Item(object) => {
                let version = self.up_to(version, object.version());
                self.news.push_back(News::Item(object));
                State::Watching(version, lines)
            }
            Line::Gone(object) => {
                let version = self.up_to(version, object.version());
                self.news.push_back(News::Gone(object));
                State::Watching(version, lines)
            }
            Line::Bookmark { version: seen, whole: true } if version.is_none() => {
                self.listed();
                self.well();
                State::Watching(Some(seen), lines)
            }
            Line::Bookmark { version: seen, .. } => State::Watching(self.up_to(version, &seen), lines),
            // One object that can't be read must not be the end of it for all others.
            Line::Unread { version: seen, uid, error } => {
                warn!(path = self.selection.path, %error, "an object can't be read, and is left out");
                // In a list it is there all the same.
                self.news.extend(T::unread(uid).filter(|_| version.is_none()).map(News::Item));
                State::Watching(self.up_to(version, &seen), lines)
            }
            Line::Refused(status) => self.refused(version, status),
            Line::Unreadable(error) => {
                warn!(path = self.selection.path, %error, "a watch can't be read");
                self.again(version)
            }
            Line::Unknown => State::Watching(version, lines),
        }
    }

    /// A watch that goes on well, as far as it came; a list is as far only once it is whole.
    fn up_to(&mut self, version: Option<String>, seen: &str) -> Option<String> {
        if version.is_some() {
            self.pause = PAUSES.0;
        }
        version.map(|version| if seen.is_empty() { version } else { seen.to_owned() })
    }

    /// Takes a watch up again, not at once where it keeps on breaking off; a list begins anew.
    fn again(&mut self, version: Option<String>) -> State {
        self.rest = Some(self.pause / 10);
        self.pause = (self.pause * 2).min(PAUSES.1);
        if let Some(version) = version {
            return State::Watch(version);
        }
        self.cuts += 1;
        if self.cuts < CUTS { self.begin() } else { self.in_pages("it keeps on breaking off") }
    }

    fn forgotten(&self) -> State {
        debug!(path = self.selection.path, "what happened since is forgotten (410): everything is listed");
        self.begin()
    }

    fn refused(&mut self, version: Option<String>, status: Option<Box<Status>>) -> State {
        let Some(status) = status else { return self.again(None) };
        if status.code == 410 {
            self.rest = Some(self.pause / 10);
            return self.forgotten();
        }
        if version.is_none() && asks_too_much(status.code) {
            return self.in_pages(&words(&status));
        }
        warn!(path = self.selection.path, error = words(&status), "a watch was ended");
        self.trouble(&CallError::Said(status));
        version.map_or_else(|| self.begin(), State::Watch)
    }
}

/// Whether a status says that the API server does not know what was asked for, or has it switched off.
fn asks_too_much(code: u16) -> bool {
    matches!(code, 400 | 405 | 406 | 415 | 422)
}

#[cfg(test)]
mod tests;
