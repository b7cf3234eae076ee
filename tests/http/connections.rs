//! Connections that are idle, slow, too many, or under way when the server stops.

use std::time::{Duration, Instant};

use kickoff::web::hooks::BodyLimits;
use kickoff::web::listener::Limits;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::app::{Answer, App, DEADLINE, push};

async fn closed(stream: &mut TcpStream) {
    let mut bytes = Vec::new();
    let read = tokio::time::timeout(DEADLINE, stream.read_to_end(&mut bytes)).await;
    drop(read.expect("closed in time"));
}

#[tokio::test]
async fn idle_connections_do_not_keep_others_waiting() {
    let app = App::start().await;
    let mut idle = Vec::new();
    for begin in ["", "POST", "POST /hooks/github HTTP/1.1\r\nhost: x\r\n"] {
        for _ in 0..50 {
            let mut stream = app.connect().await;
            stream.write_all(begin.as_bytes()).await.unwrap();
            idle.push(stream);
        }
    }
    let answer = tokio::time::timeout(Duration::from_secs(2), app.push("d-1", b"{}")).await;
    assert_eq!(answer.expect("served at once").status, 202);
}

const HEADER: Duration = Duration::from_millis(200);

/// A server with short patience for headers, and some for silence.
async fn impatient(idle_timeout: Duration) -> App {
    let limits = Limits { header_timeout: HEADER, idle_timeout, ..Limits::default() };
    App::with(limits, BodyLimits::default()).await
}

/// Asks for little over a connection that stays open.
async fn ask(stream: &mut TcpStream) {
    stream.write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"ok\n") {
        let read = tokio::time::timeout(DEADLINE, stream.read_buf(&mut answer)).await;
        assert_ne!(read.expect("an answer in time").unwrap(), 0, "closed without one");
    }
}

#[tokio::test]
async fn a_header_that_does_not_end_is_given_up() {
    let app = impatient(DEADLINE * 10).await;
    for asked in [false, true] {
        let mut stream = app.connect().await;
        if asked {
            ask(&mut stream).await;
        }
        tokio::time::sleep(HEADER * 2).await;
        let begun = Instant::now();
        stream.write_all(b"POST /hooks/github HTTP/1.1\r\n").await.unwrap();
        // A byte now and then makes it no longer.
        while stream.write_all(b"x").await.is_ok() && begun.elapsed() < DEADLINE {
            tokio::time::sleep(HEADER / 10).await;
        }
        assert!(
            (HEADER..DEADLINE).contains(&begun.elapsed()),
            "asked before: {asked}: {:?}",
            begun.elapsed()
        );
    }
}

/// Who keeps connections for later finds them open, whenever the next delivery comes.
#[tokio::test]
async fn a_connection_that_says_nothing_is_kept() {
    let app = impatient(DEADLINE * 10).await;
    let mut stream = app.connect().await;
    for _ in 0..3 {
        tokio::time::sleep(HEADER * 3).await;
        ask(&mut stream).await;
    }
}

#[tokio::test]
async fn a_connection_that_says_nothing_for_long_is_given_up() {
    let app = impatient(HEADER * 3).await;
    for asked in [false, true] {
        let mut stream = app.connect().await;
        if asked {
            ask(&mut stream).await;
        }
        let since = Instant::now();
        closed(&mut stream).await;
        assert!(since.elapsed() >= HEADER * 2, "asked before: {asked}: {:?}", since.elapsed());
    }
}

/// Those that say nothing make room.
#[tokio::test]
async fn connections_beyond_the_limit_wait_and_are_then_served() {
    let limits = Limits { connections: 2, header_timeout: Duration::from_millis(300), ..Limits::default() };
    let app = App::with(limits, BodyLimits::default()).await;
    let _idle = (app.connect().await, app.connect().await);
    assert_eq!(app.push("d-1", b"{}").await.status, 202);
}

#[tokio::test]
async fn headers_are_bounded_in_number_and_size() {
    let app = App::start().await;
    let many = "x-many: y\r\n".repeat(200);
    let large = format!("x-large: {}\r\n", "y".repeat(70_000));
    for headers in [many, large] {
        let request = format!("POST /hooks/github HTTP/1.1\r\nhost: x\r\n{headers}content-length: 0\r\n\r\n");
        assert_eq!(app.raw(request.as_bytes()).await.status, 431);
    }
}

#[tokio::test]
async fn a_request_under_way_is_answered_before_the_server_ends() {
    let mut app = App::start().await;
    let mut idle = app.connect().await;
    app.inbox.gate.forget_permits(usize::MAX);
    let mut stream = app.connect().await;
    stream.write_all(&push("d-1", b"{}")).await.unwrap();
    app.inbox.begun.acquire().await.unwrap().forget();
    app.cancel.cancel();
    closed(&mut idle).await;
    app.inbox.gate.add_permits(1);
    assert_eq!(Answer::read(&mut stream).await.status, 202);
    drop((stream, idle));
    let ended = tokio::time::timeout(DEADLINE, app.tasks.join_next()).await;
    ended.expect("ended in time").unwrap().unwrap();
    assert!(TcpStream::connect(app.address).await.is_err());
}

#[tokio::test]
async fn a_request_that_does_not_end_is_cut_when_the_server_ends() {
    let limits = Limits { shutdown: Duration::from_millis(200), ..Limits::default() };
    let mut app = App::with(limits, BodyLimits::default()).await;
    app.inbox.gate.forget_permits(usize::MAX);
    let mut stream = app.connect().await;
    stream.write_all(&push("d-1", b"{}")).await.unwrap();
    app.inbox.begun.acquire().await.unwrap().forget();
    app.cancel.cancel();
    let ended = tokio::time::timeout(DEADLINE, app.tasks.join_next()).await;
    ended.expect("ended in time").unwrap().unwrap();
    closed(&mut stream).await;
}

#[tokio::test]
async fn readiness_names_the_part_that_is_not_ready() {
    let app = App::start().await;
    let get = async |path: &str| {
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        let answer = app.raw(request.as_bytes()).await;
        (answer.status, answer.body)
    };
    let store = app.health.part("store");
    assert_eq!(get("/readyz").await, (503, "store: not ready: starting\n".to_owned()));
    store.ready();
    assert_eq!(get("/readyz").await, (200, "store: ready\nok\n".to_owned()));
    store.not_ready("the disk is full");
    assert_eq!(get("/readyz").await, (503, "store: not ready: the disk is full\n".to_owned()));
    drop(store);
    assert_eq!(get("/readyz").await, (503, "store: not ready: ended\n".to_owned()));
    assert_eq!(get("/livez").await, (200, "ok\n".to_owned()));
}
