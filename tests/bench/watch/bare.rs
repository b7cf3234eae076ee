//! What somebody would write who needs one watch: a list in pages, then a watch from where it was. A reflector
//! keeps each object as `k8s-openapi` reads it, as that of kube-runtime does (pages of 500, a map of `Arc`s by
//! uid); it is a process of its own, this one with another argument, so that its memory can be compared.

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
    let path = format!("{path}?watch=true&timeoutSeconds=3600&resourceVersion={version}");
    let lines = client.request_stream(get(&path)).await.unwrap().lines();
    lines.map(|line| serde_json::from_str(&line.unwrap()).unwrap())
}

/// Keeps all objects of a path up to date until its end; says when it has them all.
pub async fn reflect(kubeconfig: &str, path: &str) {
    let client = api(Path::new(kubeconfig)).await;
    let mut objects = HashMap::new();
    let uid = |object: &ConfigMap| object.metadata.uid.clone().unwrap_or_default();
    let version =
        list(&client, path, |object: ConfigMap| drop(objects.insert(uid(&object), Arc::new(object))));
    let version = version.await;
    println!("{}", objects.len());
    let events = watch::<ConfigMap>(&client, path, &version).await;
    let mut events = std::pin::pin!(events);
    while let Some(Event { kind, object }) = events.next().await {
        if kind == "DELETED" {
            objects.remove(&uid(&object));
        } else {
            objects.insert(uid(&object), Arc::new(object));
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
    pub fn start(kubeconfig: &Path, path: &str, least: usize) -> Self {
        let began = Instant::now();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.arg(REFLECTOR).arg(kubeconfig).arg(path);
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
