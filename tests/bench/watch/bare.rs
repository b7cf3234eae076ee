//! What somebody would write who needs one watch: a list, then a watch from where it was. A reflector keeps each
//! object as `k8s-openapi` reads it, as that of kube-runtime does (a map of `Arc`s by uid), and asks as that does:
//! in pages of 500, or, as with its streaming lists, by a watch that begins with all objects and says by a bookmark
//! when that was all. It is a process of its own, this one with another argument, so that its memory can be
//! compared.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::io::AsyncBufReadExt as _;
use futures::stream::{Stream, StreamExt as _};
use k8s_openapi::api::core::v1::ConfigMap;
use kickoff::outside::kubernetes::api::{Page, escape};
use kube::Client;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::REFLECTOR;
use crate::process::mib;
use crate::witness::api;

/// What kube-runtime asks for at once.
const PAGE: u32 = 500;
/// Where a Deployment has its revision.
pub const REVISION: &str = "deployment.kubernetes.io/revision";

/// How a reflector comes to its objects, as its argument says it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Listing {
    Pages,
    Streamed,
}

impl Listing {
    fn as_str(self) -> &'static str {
        match self {
            Self::Pages => "pages",
            Self::Streamed => "streamed",
        }
    }
}

#[derive(Deserialize)]
pub struct Event<T> {
    #[serde(rename = "type")]
    pub kind: String,
    pub object: T,
}

pub fn get(path: &str) -> http::Request<Vec<u8>> {
    http::Request::get(path).header("Accept-Encoding", "identity").body(Vec::new()).unwrap()
}

/// Hands over all objects that there are; gives where a watch goes on.
pub async fn list<T: DeserializeOwned>(client: &Client, path: &str, mut take: impl FnMut(T)) -> String {
    let mut more = String::new();
    loop {
        let page: Page<T> = client.request(get(&format!("{path}?limit={PAGE}{more}"))).await.unwrap();
        page.items.into_iter().for_each(&mut take);
        match page.metadata.more.filter(|token| !token.is_empty()) {
            Some(token) => more = format!("&continue={}", escape(&token)),
            None => return page.metadata.resource_version,
        }
    }
}

/// What changes from then on.
pub async fn watch<T: DeserializeOwned>(
    client: &Client,
    path: &str,
    version: &str,
) -> impl Stream<Item = Event<T>> + use<T> {
    events(client, &format!("{path}?watch=true&timeoutSeconds=3600&resourceVersion={version}")).await
}

/// All objects that there are, a bookmark, and what changes from then on.
async fn stream<T: DeserializeOwned>(client: &Client, path: &str) -> impl Stream<Item = Event<T>> + use<T> {
    let begin = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&resourceVersion=0";
    let query = format!("watch=true&allowWatchBookmarks=true&timeoutSeconds=3600&{begin}");
    events(client, &format!("{path}?{query}")).await
}

async fn events<T: DeserializeOwned>(client: &Client, path: &str) -> impl Stream<Item = Event<T>> + use<T> {
    let lines = client.request_stream(get(path)).await.unwrap().lines();
    lines.map(|line| serde_json::from_str(&line.unwrap()).unwrap())
}

/// Keeps all objects of a path up to date until its end; says when it has them all.
pub async fn reflect(kubeconfig: &str, path: &str, listing: &str) {
    let client = api(Path::new(kubeconfig)).await;
    let mut objects = Objects::default();
    let mut events = if listing == Listing::Streamed.as_str() {
        let mut events = stream::<ConfigMap>(&client, path).await.boxed_local();
        while let Some(event) = events.next().await {
            if event.kind == "BOOKMARK" {
                break;
            }
            objects.take(event);
        }
        println!("{}", objects.by_uid.len());
        events
    } else {
        let version = list(&client, path, |object: ConfigMap| objects.put(object)).await;
        println!("{}", objects.by_uid.len());
        watch(&client, path, &version).await.boxed_local()
    };
    while let Some(event) = events.next().await {
        objects.take(event);
    }
}

/// All that a reflector keeps.
#[derive(Default)]
struct Objects {
    by_uid: HashMap<String, Arc<ConfigMap>>,
}

impl Objects {
    fn put(&mut self, object: ConfigMap) {
        self.by_uid.insert(object.metadata.uid.clone().unwrap_or_default(), Arc::new(object));
    }

    fn take(&mut self, Event { kind, object }: Event<ConfigMap>) {
        match kind.as_str() {
            "BOOKMARK" => {}
            "DELETED" => drop(self.by_uid.remove(&object.metadata.uid.unwrap_or_default())),
            _ => self.put(object),
        }
    }
}

/// A reflector, until dropped.
pub struct Reflector {
    child: Child,
    pub listed_after: Duration,
}

impl Reflector {
    /// Starts one, and waits until it has all objects, of which there are at least so many.
    pub fn start(kubeconfig: &Path, path: &str, listing: Listing, least: usize) -> Self {
        let began = Instant::now();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.arg(REFLECTOR).arg(kubeconfig).arg(path).arg(listing.as_str());
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut said = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut said).unwrap();
        let listed_after = began.elapsed();
        let listed: usize = said.trim().parse().unwrap();
        assert!(listed >= least, "{listed} objects, wanted {least}");
        Self { child, listed_after }
    }

    pub fn resident_mib(&self) -> f64 {
        mib(&self.child, "VmRSS:")
    }
}

impl Drop for Reflector {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
