//! Hostile input over the wire against the real binary: each gets its status, memory stays flat, and
//! others are served meanwhile. What others were hit by stands under its number.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::app::{SECRET, sign};
use crate::support::{Home, Server, client};

const DEFINITIONS: &str = r#"
apiVersion: kickoff.dev/v1alpha1
kind: Webhook
metadata: {name: github}
spec: {provider: github, secrets: [{env: HOSTILE_SECRET}]}
---
apiVersion: kickoff.dev/v1alpha1
kind: Webhook
metadata: {name: events}
spec: {provider: cloudevents, secrets: [{env: EVENTS_SECRET}]}
---
apiVersion: kickoff.dev/v1alpha1
kind: Webhook
metadata: {name: other}
spec: {provider: cloudevents, secrets: [{env: OTHER_SECRET}]}
---
apiVersion: kickoff.dev/v1alpha1
kind: JobTemplate
metadata: {name: nothing}
spec:
  job: {spec: {template: {spec: {containers: [{name: main, image: unused, command: ["true"]}]}}}}
---
apiVersion: kickoff.dev/v1alpha1
kind: Trigger
metadata: {name: any}
spec:
  sources: [{webhook: {name: github}}]
  match: [{path: event.data.run, equals: true}]
  runs: [{template: nothing}]
"#;
const VARIABLES: [(&str, &str); 3] =
    [("HOSTILE_SECRET", SECRET), ("EVENTS_SECRET", "first-token"), ("OTHER_SECRET", "second-token")];

fn start() -> (Home, Server) {
    let home = Home::new(DEFINITIONS);
    let server = home.serve(&[], &VARIABLES);
    (home, server)
}

async fn connect(server: &Server) -> TcpStream {
    TcpStream::connect(server.url.strip_prefix("http://").unwrap()).await.unwrap()
}

/// Status of a push that is signed right.
async fn push(server: &Server, id: &str, body: &[u8]) -> u16 {
    let request = client()
        .post(format!("{}/hooks/github", server.url))
        .header("content-type", "application/json")
        .header("x-github-event", "push")
        .header("x-github-delivery", id)
        .header("x-hub-signature-256", sign(SECRET, body))
        .body(body.to_vec());
    request.send().await.unwrap().status().as_u16()
}

/// The most memory that the server ever had, bytes.
fn peak(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap() << 10
}

/// Sends zeros as the body until the server answers or all is sent; gives status and what was sent.
async fn flood(server: &Server, head: &str, chunked: bool, total: usize) -> (u16, usize) {
    let mut stream = connect(server).await;
    stream.write_all(head.as_bytes()).await.unwrap();
    let (mut reading, mut writing) = stream.split();
    let piece = vec![b'0'; 64 << 10];
    let mut sent = 0;
    let mut answer = vec![0; 4_096];
    let length = loop {
        let begin = format!("{:x}\r\n", piece.len());
        let write = async {
            if chunked {
                writing.write_all(begin.as_bytes()).await?;
            }
            writing.write_all(&piece).await?;
            if chunked { writing.write_all(b"\r\n").await } else { Ok(()) }
        };
        tokio::select! {
            biased;
            length = reading.read(&mut answer) => break length.unwrap_or(0),
            written = write, if sent < total => match written {
                Ok(()) => sent += piece.len(),
                Err(_) => break reading.read(&mut answer).await.unwrap_or(0),
            },
            () = tokio::time::sleep(Duration::from_secs(20)) => panic!("no answer after {sent} bytes"),
        }
    };
    let text = String::from_utf8_lossy(&answer[..length]).into_owned();
    (text.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0), sent)
}

/// Argo Events read whole bodies into memory before it looked at them (CVE-2022-31054), Argo CD the same
/// without a signature (GHSA-jmvp-698c-4x3w), Argo Workflows again (CVE-2026-42294).
#[tokio::test]
async fn cve_2022_31054_ghsa_jmvp_698c_4x3w_cve_2026_42294_bodies_are_bounded_before_they_are_read() {
    let (_home, server) = start();
    assert_eq!(push(&server, "warm", b"{}").await, 202);
    let before = peak(&server);
    let hundred = 100 << 20;
    for round in 0..3 {
        let announced = format!(
            "POST /hooks/github HTTP/1.1\r\nhost: x\r\nx-round: {round}\r\ncontent-length: {hundred}\r\n\r\n"
        );
        let (status, sent) = flood(&server, &announced, false, hundred).await;
        assert_eq!(status, 413);
        assert!(sent <= 8 << 20, "{sent} bytes were taken of a body that was announced as too large");
        let chunked = "POST /hooks/github HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n";
        let (status, sent) = flood(&server, chunked, true, hundred).await;
        assert_eq!(status, 413);
        assert!(sent < hundred, "all {sent} bytes were taken");
        assert_eq!(push(&server, &format!("meanwhile-{round}"), b"{}").await, 202);
    }
    let grown = peak(&server).saturating_sub(before) >> 20;
    assert!(grown < 120, "{grown} MiB more for bodies of up to 25 MiB, one at a time");
}

/// A malformed payload made Argo CD panic, before any signature was checked (CVE-2025-59538).
#[tokio::test]
async fn cve_2025_59538_no_malformed_webhook_brings_the_server_down() {
    let (_home, server) = start();
    let deep = format!("{{\"commits\":{}{}}}", "[".repeat(50_000), "]".repeat(50_000));
    let bodies: Vec<(Vec<u8>, u16)> = vec![
        (b"".to_vec(), 400),
        (b"{".to_vec(), 400),
        (b"null".to_vec(), 400),
        (b"[]".to_vec(), 400),
        (b"{\"ref\":\"\xff\"}".to_vec(), 400),
        (b"\xff\xfe{\0}\0".to_vec(), 400),
        (deep.into_bytes(), 400),
        (json!({"ref": null, "repository": [], "commits": {}}).to_string().into_bytes(), 202),
        (json!({"ref": {"a": []}, "head_commit": 7, "sender": "x"}).to_string().into_bytes(), 202),
        (json!({"commits": [null, 7, {"added": "x"}], "after": ""}).to_string().into_bytes(), 202),
        (json!({"push": {"changes": []}, "resource": {"refUpdates": []}}).to_string().into_bytes(), 202),
    ];
    for (at, (body, wanted)) in bodies.iter().enumerate() {
        let shown = String::from_utf8_lossy(&body[..body.len().min(60)]).into_owned();
        assert_eq!(push(&server, &format!("bad-{at}"), body).await, *wanted, "{shown}");
        let unsigned =
            client().post(format!("{}/hooks/github", server.url)).body(body.clone()).send().await.unwrap();
        assert_eq!(unsigned.status(), 401, "nothing is parsed before the signature holds: {shown}");
    }
    let said = server.said();
    assert!(!said.contains("panicked"), "{said}");
}

/// One malformed object ended a watcher for good (the class of CVE-2026-40886): here no event stops those
/// that follow.
#[tokio::test]
async fn cve_2026_40886_one_malformed_event_ends_nothing() {
    let (_home, server) = start();
    for (at, body) in
        ["{}", "{\"run\":[[[]]]}", "{\"ref\":\"refs/heads/\\u0000\",\"run\":1e308}"].iter().enumerate()
    {
        assert_eq!(push(&server, &format!("odd-{at}"), body.as_bytes()).await, 202, "{body}");
    }
    assert_eq!(push(&server, "good", b"{\"run\":true}").await, 202);
    let until = Instant::now() + Duration::from_secs(20);
    while server.all_runs().await.is_empty() {
        assert!(Instant::now() < until, "{}", server.said());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Flux took any token of the right issuer, whoever it was made for (CVE-2026-40109): a token is good for
/// its own webhook alone, and what a sender says of itself proves nothing.
#[tokio::test]
async fn cve_2026_40109_a_token_is_good_for_its_own_webhook_only() {
    let (_home, server) = start();
    let event = json!({"specversion": "1.0", "id": "1", "source": "/", "type": "t"}).to_string();
    for (path, token, status) in [
        ("events", "first-token", 202),
        ("events", "second-token", 401),
        ("events", SECRET, 401),
        ("other", "second-token", 202),
        ("other", "first-token", 401),
        ("default/other", "first-token", 401),
        ("github", "first-token", 401),
    ] {
        let answer = client()
            .post(format!("{}/hooks/{path}", server.url))
            .header("content-type", "application/cloudevents+json")
            .header("x-github-event", "push")
            .header("x-github-delivery", "1")
            .header("webhook-request-origin", "events.example")
            .header("x-forwarded-user", "admin")
            .bearer_auth(token)
            .body(event.clone());
        assert_eq!(answer.send().await.unwrap().status(), status, "{path} {token}");
    }
}

#[tokio::test]
async fn thousands_of_idle_connections_do_not_keep_others_waiting() {
    const IDLE: usize = 3_000;
    let possible = kickoff::app::open_files::make_room(IDLE + 500);
    assert!(possible > IDLE, "the limit of open files allows {possible} connections: raise it (ulimit -Hn)");
    let (_home, server) = start();
    let mut idle = Vec::with_capacity(IDLE);
    for at in 0..IDLE {
        let mut stream = connect(&server).await;
        let begin = [
            "",
            "POST /hooks/github HTTP/1.1\r\n",
            "POST /hooks/github HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n{",
        ];
        stream.write_all(begin[at % 3].as_bytes()).await.unwrap();
        idle.push(stream);
    }
    let begun = Instant::now();
    for at in 0..20 {
        assert_eq!(push(&server, &format!("d-{at}"), b"{}").await, 202);
    }
    let each = begun.elapsed() / 20;
    assert!(each < Duration::from_secs(1), "{each:?} for each delivery");
    let mut waiting = idle.pop().unwrap();
    drop(idle);
    let answer = tokio::time::timeout(Duration::from_secs(20), async {
        let mut bytes = Vec::new();
        waiting.read_to_end(&mut bytes).await.map(|_| bytes)
    });
    let bytes = answer.await.expect("a slow body or header is given up").unwrap();
    assert!(bytes.is_empty() || bytes.starts_with(b"HTTP/1.1 408"), "{}", String::from_utf8_lossy(&bytes));
}

#[tokio::test]
async fn slow_headers_and_bodies_are_given_up_while_others_are_served() {
    let (_home, server) = start();
    let body = br#"{"ref":"refs/heads/main"}"#;
    let mut head = String::from("POST /hooks/github HTTP/1.1\r\nhost: x\r\nconnection: close\r\n");
    write!(head, "x-hub-signature-256: {}\r\ncontent-length: {}\r\n\r\n", sign(SECRET, body), body.len())
        .unwrap();
    let mut slow_header = connect(&server).await;
    slow_header.write_all(b"POST /hooks/github HTTP/1.1\r\nx-slow: ").await.unwrap();
    let mut slow_body = connect(&server).await;
    slow_body.write_all(head.as_bytes()).await.unwrap();
    slow_body.write_all(&body[..5]).await.unwrap();
    for at in 0..5 {
        assert_eq!(push(&server, &format!("d-{at}"), b"{}").await, 202);
    }
    let mut bytes = Vec::new();
    let closed = tokio::time::timeout(Duration::from_secs(20), slow_header.read_to_end(&mut bytes)).await;
    closed.expect("a header that does not end is given up").unwrap();
    let closed = tokio::time::timeout(Duration::from_secs(20), async {
        let mut bytes = Vec::new();
        slow_body.read_to_end(&mut bytes).await.map(|_| bytes)
    });
    let bytes = closed.await.expect("a body that does not end is given up").unwrap();
    assert!(bytes.starts_with(b"HTTP/1.1 408"), "{}", String::from_utf8_lossy(&bytes));
}

/// A peer that asks and never reads its answers is cut off.
#[tokio::test]
async fn a_peer_that_reads_no_answer_is_cut() {
    let limits = kickoff::web::listener::Limits {
        write_timeout: Duration::from_millis(300),
        ..kickoff::web::listener::Limits::default()
    };
    let app = super::app::App::with(limits, kickoff::web::hooks::BodyLimits::default()).await;
    let mut stream = app.connect().await;
    let request = b"GET /nothing HTTP/1.1\r\nhost: x\r\n\r\n".repeat(1_000);
    let until = Instant::now() + Duration::from_secs(20);
    // Answers fill both buffers; from then on the server can't write, and ends the connection.
    let cut = loop {
        match tokio::time::timeout(Duration::from_secs(5), stream.write_all(&request)).await {
            Ok(Ok(())) if Instant::now() < until => {}
            Ok(Err(_)) => break true,
            Ok(Ok(())) | Err(_) => break false,
        }
    };
    assert!(cut, "it still holds its place");
    let answer = app.push("d-1", b"{}").await;
    assert_eq!(answer.status, 202, "{answer:?}");
}
