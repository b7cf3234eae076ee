//! All objects of one kind in one scope, then every change of them, for as long as somebody asks.
//!
//! A list in pages, then a watch from where it was. A watch lasts 200 seconds and is taken up again where it
//! was; one that says nothing for longer is cut. What has been forgotten meanwhile (410) is listed again, and
//! so is everything every ten minutes. Trouble is told and tried again, with pauses that grow; it is never
//! the end.

use std::collections::VecDeque;
use std::pin::Pin;
use std::time::Duration;

use futures::io::{AsyncBufRead, AsyncBufReadExt as _};
use futures::stream::{self, Stream};
use kube::core::Status;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use tokio::time::{Instant, sleep, timeout};
use tracing::warn;

use super::api::{Api, CallError, Page, escape, words};

/// How long a watch lasts, seconds; the API server ends it then.
const WATCH_S: u64 = 200;
/// A watch that says nothing for this long is deaf: bookmarks come every minute.
const DEAF: Duration = Duration::from_secs(WATCH_S + 15);
/// Everything is listed anew this often, in case anything went unseen.
const RELIST: Duration = Duration::from_mins(10);
/// Objects of a page; one may have 1.5 MB, and a page is in memory up to three times.
const PAGE: u32 = 100;
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
}

enum State {
    List(Option<String>),
    Watch(String),
    Watching(String, Pin<Box<dyn AsyncBufRead + Send>>),
}

struct Feed<T> {
    api: Api,
    selection: Selection,
    state: Option<State>,
    listed_at: Instant,
    pause: Duration,
    troubled: bool,
    /// Before the next step, so that trouble is told before it is waited for.
    rest: Option<Duration>,
    news: VecDeque<News<T>>,
    line: Vec<u8>,
}

#[derive(Deserialize)]
struct Event<T> {
    #[serde(rename = "type")]
    kind: Kind,
    object: T,
}

#[derive(Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum Kind {
    Added,
    Modified,
    Deleted,
    Bookmark,
    Error,
    #[serde(other)]
    Other,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Version {
    metadata: VersionMeta,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct VersionMeta {
    resource_version: String,
    name: String,
    uid: String,
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

/// Feeds what is selected.
pub fn feed<T: Versioned>(api: Api, selection: Selection) -> impl Stream<Item = News<T>> + Send {
    let feed = Feed {
        api,
        selection,
        state: Some(State::List(None)),
        listed_at: Instant::now(),
        pause: PAUSES.0,
        troubled: false,
        rest: None,
        news: VecDeque::new(),
        line: Vec::new(),
    };
    stream::unfold(feed, |mut feed| async move {
        loop {
            if let Some(news) = feed.news.pop_front() {
                return Some((news, feed));
            }
            let state = feed.state.take().unwrap_or(State::List(None));
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
            State::List(token) => match self.list(token.as_deref()).await {
                Ok(next) => next,
                // A list that took too long for the API server begins anew.
                Err(error) if error.code() == Some(410) && token.is_some() => State::List(None),
                Err(error) => {
                    self.trouble(&error);
                    State::List(None)
                }
            },
            State::Watch(_) if self.listed_at.elapsed() >= RELIST => State::List(None),
            State::Watch(version) => match self.api.stream(&self.watch_path(&version)).await {
                Ok(lines) => {
                    if std::mem::take(&mut self.troubled) {
                        self.news.push_back(News::Well);
                    }
                    State::Watching(version, Box::pin(lines))
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

    fn trouble(&mut self, error: &CallError) {
        self.troubled = true;
        let why = error.to_string();
        let missing = error.code() == Some(404);
        self.news.push_back(if missing { News::NotServed(why) } else { News::Trouble(why) });
        self.rest = Some(self.pause);
        self.pause = (self.pause * 2).min(PAUSES.1);
    }

    async fn list(&mut self, token: Option<&str>) -> Result<State, CallError> {
        let Selection { path, labels } = &self.selection;
        let mut path = format!("{path}?limit={PAGE}&labelSelector={}", escape(labels));
        if let Some(token) = token {
            path.push_str("&continue=");
            path.extend(escape(token));
        }
        let text = self.api.get_text(&path).await?;
        let page = match serde_json::from_str::<Page<T>>(&text) {
            Ok(page) => page,
            Err(_) => one_by_one(&text)?,
        };
        if token.is_none() {
            self.news.push_back(News::Listing);
        }
        self.news.extend(page.items.into_iter().map(News::Item));
        self.pause = PAUSES.0;
        if let Some(more) = page.metadata.more.filter(|more| !more.is_empty()) {
            return Ok(State::List(Some(more)));
        }
        self.listed_at = Instant::now();
        self.news.push_back(News::Listed);
        Ok(State::Watch(page.metadata.resource_version))
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
    async fn read(&mut self, version: String, mut lines: Pin<Box<dyn AsyncBufRead + Send>>) -> State {
        self.line.clear();
        let read = timeout(DEAF, lines.read_until(b'\n', &mut self.line)).await;
        match read {
            Ok(Ok(_)) if self.line.ends_with(b"\n") => {}
            // The end of a watch, with half a line where it broke off.
            Ok(Ok(_)) => return self.again(version),
            Ok(Err(error)) => {
                tracing::debug!(path = self.selection.path, %error, "a watch broke off");
                return self.again(version);
            }
            Err(_) => {
                warn!(path = self.selection.path, "a watch said nothing for {} s", DEAF.as_secs());
                return State::Watch(version);
            }
        }
        match serde_json::from_slice::<Event<T>>(&self.line) {
            Ok(Event { kind: Kind::Error, .. }) => self.refused(version),
            Ok(Event { kind, object }) => {
                self.pause = PAUSES.0;
                let seen = object.version();
                let version = if seen.is_empty() { version } else { seen.to_owned() };
                self.news.extend(match kind {
                    Kind::Added | Kind::Modified => Some(News::Item(object)),
                    Kind::Deleted => Some(News::Gone(object)),
                    Kind::Bookmark | Kind::Error | Kind::Other => None,
                });
                State::Watching(version, lines)
            }
            Err(error) => match serde_json::from_slice::<Event<Version>>(&self.line) {
                Ok(Event { kind: Kind::Error, .. }) => self.refused(version),
                // One object that can't be read must not be the end of it for all others.
                Ok(Event { object, .. }) => {
                    warn!(path = self.selection.path, %error, "an object can't be read, and is left out");
                    let seen = Some(object.metadata.resource_version).filter(|seen| !seen.is_empty());
                    State::Watching(seen.unwrap_or(version), lines)
                }
                Err(error) => {
                    warn!(path = self.selection.path, %error, "a watch can't be read");
                    self.again(version)
                }
            },
        }
    }

    /// Takes a watch up again; not at once where it keeps on breaking off.
    fn again(&mut self, version: String) -> State {
        self.rest = Some(self.pause / 10);
        self.pause = (self.pause * 2).min(PAUSES.1);
        State::Watch(version)
    }

    fn forgotten(&self) -> State {
        tracing::debug!(
            path = self.selection.path,
            "what happened since is forgotten (410): everything is listed"
        );
        State::List(None)
    }

    fn refused(&mut self, version: String) -> State {
        let status = serde_json::from_slice::<Event<Status>>(&self.line).ok().map(|event| event.object);
        let Some(status) = status else { return State::List(None) };
        if status.code == 410 {
            self.rest = Some(self.pause / 10);
            return self.forgotten();
        }
        warn!(path = self.selection.path, error = words(&status), "a watch was ended");
        self.trouble(&CallError::Said(Box::new(status)));
        State::Watch(version)
    }
}

/// The items of a page with one that can't be read, as far as they can be. Each is a text at first: one that is nested
/// too deep must not take the page along.
fn one_by_one<T: Versioned>(text: &str) -> Result<Page<T>, CallError> {
    let page: Page<&RawValue> = serde_json::from_str(text)?;
    let read = |item: &RawValue| {
        serde_json::from_str(item.get()).ok().or_else(|| {
            let VersionMeta { name, uid, .. } =
                serde_json::from_str::<Version>(item.get()).unwrap_or_default().metadata;
            warn!(name, "an object can't be read, and is left out");
            T::unread(uid)
        })
    };
    let items = page.items.into_iter().filter_map(read).collect();
    Ok(Page { metadata: page.metadata, items })
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[derive(Deserialize)]
    #[serde(transparent)]
    struct Object(Value);

    impl Versioned for Object {
        fn version(&self) -> &str {
            self.0["metadata"]["resourceVersion"].as_str().unwrap_or_default()
        }

        fn unread(uid: String) -> Option<Self> {
            Some(Self(Value::String(uid)))
        }
    }

    #[test]
    fn an_object_that_is_nested_too_deep_takes_no_other_along() {
        let deep = "[".repeat(1_000) + &"]".repeat(1_000);
        let item = |uid: &str, spec: &str| format!(r#"{{"metadata": {{"uid": "{uid}"}}, "spec": {spec}}}"#);
        let items = [item("a", "1"), item("deep", &deep), item("b", "2")].join(", ");
        let text = format!(r#"{{"metadata": {{"resourceVersion": "7"}}, "items": [{items}]}}"#);
        assert!(serde_json::from_str::<Page<Object>>(&text).is_err());
        let page = one_by_one::<Object>(&text).unwrap();
        let uids: Vec<&str> = page
            .items
            .iter()
            .map(|Object(it)| it["metadata"]["uid"].as_str().or(it.as_str()).unwrap())
            .collect();
        assert_eq!(uids, ["a", "deep", "b"]);
        assert_eq!(page.metadata.resource_version, "7");
    }
}
