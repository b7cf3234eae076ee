//! The cheapest client there can be, so that it is the server that is measured: one connection kept
//! open, a request written as bytes, an answer read up to its length.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    request: Vec<u8>,
}

/// A delivery but for its id.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// Ends with the name of the header that has the id.
    head: String,
    body: Vec<u8>,
}

impl Delivery {
    /// To a webhook of the provider `token`.
    pub fn plain(path: &str, body: &[u8]) -> Self {
        Self::new(path, "Authorization: Bearer sesame\r\nX-Id", body)
    }

    /// A push as GitHub sends it: signed, and mostly addresses of its own API.
    pub fn signed(path: &str, secret: &str) -> Self {
        let body = push().to_string().into_bytes();
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
        mac.update(&body);
        let signature = hex::encode(mac.finalize().into_bytes());
        let headers = format!(
            "User-Agent: GitHub-Hookshot/8b4e2ad\r\nAccept: */*\r\nX-GitHub-Event: push\r\nX-Hub-Signature-256: sha256={signature}\r\nX-GitHub-Delivery"
        );
        Self::new(path, &headers, &body)
    }

    fn new(path: &str, headers: &str, body: &[u8]) -> Self {
        let length = body.len();
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n{headers}: "
        );
        Self { head, body: body.to_vec() }
    }

    /// How long its body is, bytes.
    pub fn size(&self) -> usize {
        self.body.len()
    }
}

/// The fields that GitHub's documentation gives for `push`, with values of usual length.
fn push() -> Value {
    let api = "https://api.github.com/repos/acme-engineering/storefront";
    let mut repository = json!({
        "id": 186_853_002, "node_id": "MDEwOlJlcG9zaXRvcnkxODY4NTMwMDI=", "name": "storefront",
        "full_name": "acme-engineering/storefront", "private": false, "fork": false,
        "html_url": "https://github.com/acme-engineering/storefront", "default_branch": "main",
        "description": "What people buy things with", "language": "Rust", "size": 5021, "topics": ["shop"],
        "created_at": 1_557_933_665, "updated_at": "2026-03-02T09:20:41Z", "pushed_at": 1_772_439_247,
    });
    for name in
        "forks keys collaborators teams hooks issue_events events assignees branches tags blobs git_tags \
                 git_refs trees statuses languages stargazers contributors subscribers subscription commits \
                 git_commits comments issue_comment contents compare merges archive downloads issues pulls \
                 milestones notifications labels releases deployments"
            .split_whitespace()
    {
        repository[format!("{name}_url")] = format!("{api}/{name}{{/number}}").into();
    }
    let person = |login: &str| {
        let mut person = json!({"login": login, "id": 21_031_067, "type": "User", "site_admin": false});
        for name in "followers following gists starred subscriptions organizations repos events".split(' ') {
            person[format!("{name}_url")] = format!("https://api.github.com/users/{login}/{name}").into();
        }
        person
    };
    repository["owner"] = person("acme-engineering");
    let commit = json!({
        "id": "59b20b8d5c6ff8d09518454d4dd8b7b30f095ab5", "tree_id": "f9d2a07e9488b91af2641b26b9407fe22a451433",
        "distinct": true, "message": "Show the price with tax\n\nSome saw it only at the till.",
        "timestamp": "2026-03-02T09:14:07+01:00",
        "url": "https://github.com/acme-engineering/storefront/commit/59b20b8d5c6ff8d09518454d4dd8b7b30f095ab5",
        "author": {"name": "Kim", "email": "kim@acme.example", "username": "kim"},
        "committer": {"name": "Kim", "email": "kim@acme.example", "username": "kim"},
        "added": [], "removed": ["docs/old.md"], "modified": ["src/price.rs", "tests/price.rs"],
    });
    json!({
        "ref": "refs/heads/main", "before": "6113728f27ae82c7b1a177c8d03f9e96e0adf246",
        "after": "59b20b8d5c6ff8d09518454d4dd8b7b30f095ab5", "created": false, "deleted": false,
        "forced": false, "base_ref": null, "compare": format!("{api}/compare/6113728f27ae...59b20b8d5c6f"),
        "repository": repository, "pusher": {"name": "kim", "email": "kim@acme.example"},
        "sender": person("kim"), "commits": [commit.clone()], "head_commit": commit,
    })
}

impl Connection {
    pub async fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, buffer: vec![0; 1 << 20], request: Vec::new() }
    }

    /// POSTs a delivery with a token and an id; gives the status.
    pub async fn deliver(&mut self, path: &str, id: &str, body: &[u8]) -> u16 {
        self.send(&Delivery::plain(path, body), id).await
    }

    /// POSTs a delivery under an id; gives the status.
    pub async fn send(&mut self, delivery: &Delivery, id: &str) -> u16 {
        self.request.clear();
        self.request.extend_from_slice(delivery.head.as_bytes());
        self.request.extend_from_slice(id.as_bytes());
        self.request.extend_from_slice(b"\r\n\r\n");
        self.request.extend_from_slice(&delivery.body);
        self.stream.write_all(&self.request).await.unwrap();
        self.answer().await
    }

    /// GETs a path of the API, whole; gives the status.
    pub async fn get(&mut self, path: &str) -> u16 {
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        self.stream.write_all(request.as_bytes()).await.unwrap();
        self.answer().await
    }

    async fn answer(&mut self) -> u16 {
        let mut read = 0;
        loop {
            let more = self.stream.read(&mut self.buffer[read..]).await.unwrap();
            assert!(more > 0, "the server closed the connection");
            read += more;
            let text = std::str::from_utf8(&self.buffer[..read]).unwrap();
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let length = head
                .lines()
                .find_map(|line| {
                    line.to_ascii_lowercase().strip_prefix("content-length: ").map(str::to_owned)
                })
                .map_or(0, |length| length.parse().unwrap());
            if body.len() >= length {
                return head[9..12].parse().unwrap();
            }
        }
    }
}

/// Sends for `span` over several connections; gives how many were answered 2xx.
pub async fn flood(
    address: SocketAddr,
    delivery: &Delivery,
    connections: usize,
    span: Duration,
    tag: &str,
) -> u64 {
    let until = Instant::now() + span;
    let mut senders = tokio::task::JoinSet::new();
    for sender in 0..connections {
        let (tag, delivery) = (tag.to_owned(), delivery.clone());
        senders.spawn(async move {
            let mut connection = Connection::open(address).await;
            let mut sent = 0_u64;
            while Instant::now() < until {
                let status = connection.send(&delivery, &format!("{tag}-{sender}-{sent}")).await;
                assert_eq!(status, 202, "the load must not be refused");
                sent += 1;
            }
            sent
        });
    }
    senders.join_all().await.into_iter().sum()
}

/// A small delivery.
pub const BODY: &[u8] =
    br#"{"ref": "refs/heads/main", "after": "6113728f27ae82c7b1a177c8d03f9e96e0adf246", "pusher": "ann"}"#;
