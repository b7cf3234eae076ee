//! Bodies that are too large or too slow.

use std::time::Duration;

use kickoff::web::hooks::BodyLimits;
use kickoff::web::listener::Limits;
use tokio::io::AsyncWriteExt as _;

use super::app::{Answer, App, MAX_BODY, push};

fn padded(length: usize) -> Vec<u8> {
    let mut body = vec![b' '; length];
    body[..2].copy_from_slice(b"{}");
    body
}

fn chunked(request: &[u8], body: &[u8]) -> Vec<u8> {
    let head_end = request.windows(4).position(|part| part == b"\r\n\r\n").unwrap();
    let head = std::str::from_utf8(&request[..head_end]).unwrap();
    let head = head.replace(&format!("content-length: {}", body.len()), "transfer-encoding: chunked");
    let mut bytes = [head.as_bytes(), b"\r\n\r\n"].concat();
    for chunk in body.chunks(10_000) {
        bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        bytes.extend_from_slice(chunk);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"0\r\n\r\n");
    bytes
}

#[tokio::test]
async fn a_body_may_be_as_large_as_the_definition_says_and_no_larger() {
    let app = App::start().await;
    for (length, status) in [(300_000, 202), (MAX_BODY, 202), (MAX_BODY + 1, 413), (6 * MAX_BODY, 413)] {
        let body = padded(length);
        let request = push(&format!("plain-{length}"), &body);
        assert_eq!(app.raw(&request).await.status, status, "{length} announced");
        let request = push(&format!("chunked-{length}"), &body);
        let answer = app.raw(&chunked(&request, &body)).await;
        assert_eq!(answer.status, status, "{length} in chunks");
        if status == 413 {
            answer.must_be(413, "too large");
        }
    }
}

#[tokio::test]
async fn a_body_that_is_announced_too_large_is_not_waited_for() {
    let app = App::start().await;
    let mut request = push("d-1", &padded(MAX_BODY + 1));
    request.truncate(request.len() - MAX_BODY - 1);
    let mut stream = app.connect().await;
    stream.write_all(&request).await.unwrap();
    Answer::read(&mut stream).await.must_be(413, "announced");
}

#[tokio::test]
async fn an_announced_length_that_is_none_is_refused() {
    let app = App::start().await;
    for length in ["-1", "x", "99999999999999999999999", "2, 3"] {
        let request =
            format!("POST /hooks/github HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n{{}}");
        assert_eq!(app.raw(request.as_bytes()).await.status, 400, "{length}");
    }
    let both = b"POST /hooks/github HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}";
    assert_eq!(app.raw(both).await.status, 400);
}

#[tokio::test]
async fn a_body_that_stops_or_only_drips_is_given_up() {
    let idle = BodyLimits { idle: Duration::from_millis(200), ..BodyLimits::default() };
    let app = App::with(Limits::default(), idle).await;
    let mut request = push("d-1", b"{}");
    request.pop();
    app.raw(&request).await.must_be(408, "it stops");

    let whole = BodyLimits { whole: Duration::from_millis(300), ..BodyLimits::default() };
    let app = App::with(Limits::default(), whole).await;
    let body = padded(1_000);
    let request = push("d-1", &body);
    let (head, drops) = request.split_at(request.len() - body.len());
    let mut stream = app.connect().await;
    stream.write_all(head).await.unwrap();
    let (mut reading, mut writing) = stream.split();
    let drip = async {
        for drop in drops.chunks(1) {
            if writing.write_all(drop).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let mut bytes = Vec::new();
    tokio::select! {
        read = tokio::io::AsyncReadExt::read_to_end(&mut reading, &mut bytes) => drop(read.unwrap()),
        () = drip => panic!("the whole body was taken"),
    }
    assert!(bytes.starts_with(b"HTTP/1.1 408"), "{}", String::from_utf8_lossy(&bytes));
}

#[tokio::test]
async fn a_sender_that_goes_away_leaves_nothing() {
    let app = App::start().await;
    let mut request = push("d-1", b"{}");
    request.pop();
    let mut stream = app.connect().await;
    stream.write_all(&request).await.unwrap();
    drop(stream);
    assert_eq!(app.push("d-2", b"{}").await.status, 202);
    assert_eq!(app.inbox.events.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn all_bodies_together_are_bounded_and_room_comes_back() {
    let held = BodyLimits { held: 100_000, ..BodyLimits::default() };
    let app = App::with(Limits::default(), held).await;
    let answer = app.push("large", &padded(200_000)).await;
    answer.must_be(429, "more than all room");
    assert!(answer.head.contains("retry-after: 1"), "{answer:?}");

    app.inbox.gate.forget_permits(usize::MAX);
    let mut first = app.connect().await;
    first.write_all(&push("first", &padded(60_000))).await.unwrap();
    app.inbox.begun.acquire().await.unwrap().forget();
    app.push("second", &padded(60_000)).await.must_be(429, "the first holds the room");
    app.inbox.gate.add_permits(100);
    assert_eq!(Answer::read(&mut first).await.status, 202);
    assert_eq!(app.push("second", &padded(60_000)).await.status, 202);
}
