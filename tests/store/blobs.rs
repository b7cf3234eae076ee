//! Logs: whole, cut, broken off, kept again, removed.

use std::io;

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use kickoff::engine::machine::{JobId, Settled};
use kickoff::store::blobs::{Blobs, LogChunks};

use super::run_id;

fn job(attempt: u32) -> JobId {
    JobId { run: run_id("a", "0"), attempt }
}

fn chunks(pieces: &[Result<&'static str, &'static str>]) -> LogChunks {
    let piece = |piece: &Result<&'static str, &'static str>| {
        piece.map(|text| Bytes::from_static(text.as_bytes())).map_err(io::Error::other)
    };
    stream::iter(pieces.iter().map(piece).collect::<Vec<_>>()).boxed()
}

async fn read(blobs: &Blobs, job: &JobId) -> Option<String> {
    let mut pieces = blobs.log(job).await.unwrap()?;
    let mut text = Vec::new();
    while let Some(piece) = pieces.next().await {
        let piece = piece.unwrap();
        assert!(piece.len() <= 64 * 1024);
        text.extend_from_slice(&piece);
    }
    Some(String::from_utf8(text).unwrap())
}

#[tokio::test]
async fn a_log_is_kept_up_to_its_cap_and_says_where_it_ends() {
    use Settled::{Partial, Stored};
    let cut = |text: &str, how: &str| {
        format!("{text}\n[kickoff: the log {how} here: {} bytes are kept]\n", text.len())
    };
    for (pieces, cap, settled, text) in [
        (vec![], 10, Stored, String::new()),
        (vec![Ok("one\n"), Ok("two\n")], 10, Stored, "one\ntwo\n".to_owned()),
        (vec![Ok("12345"), Ok("67890")], 10, Stored, "1234567890".to_owned()),
        (vec![Ok("12345"), Ok("678901"), Ok("more")], 10, Partial, cut("1234567890", "was cut")),
        (vec![Ok("12345"), Ok("67890"), Ok("more")], 10, Partial, cut("1234567890", "was cut")),
        (vec![Ok("one\n"), Err("reset")], 10, Partial, cut("one\n", "broke off")),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(dir.path()).unwrap();
        assert_eq!(blobs.keep_log(&job(1), chunks(&pieces), cap).await.unwrap(), settled, "{pieces:?}");
        assert_eq!(read(&blobs, &job(1)).await.as_deref(), Some(text.as_str()), "{pieces:?}");
        let folder = dir.path().join(job(1).run.as_str());
        let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().file_name());
        assert_eq!(files.collect::<Vec<_>>(), ["1.log.gz"], "{pieces:?}");
    }
}

#[tokio::test]
async fn a_try_of_which_nothing_came_leaves_the_earlier_one() {
    let dir = tempfile::tempdir().unwrap();
    let blobs = Blobs::open(dir.path()).unwrap();
    blobs.keep_log(&job(1), chunks(&[Ok("first")]), 100).await.unwrap();
    let failed = blobs.keep_log(&job(1), chunks(&[Err("reset")]), 100).await;
    assert_eq!(failed.unwrap_err().to_string(), "reset");
    assert_eq!(read(&blobs, &job(1)).await.as_deref(), Some("first"));
    blobs.keep_log(&job(1), chunks(&[Ok("second")]), 100).await.unwrap();
    assert_eq!(read(&blobs, &job(1)).await.as_deref(), Some("second"));
}

#[tokio::test]
async fn a_long_log_comes_in_pieces() {
    let dir = tempfile::tempdir().unwrap();
    let blobs = Blobs::open(dir.path()).unwrap();
    let line = "0123456789abcde\n".repeat(1000);
    let pieces = stream::iter((0..100).map({
        let line = Bytes::from(line.clone());
        move |_| Ok(line.clone())
    }));
    blobs.keep_log(&job(1), pieces.boxed(), u64::MAX).await.unwrap();
    assert_eq!(read(&blobs, &job(1)).await, Some(line.repeat(100)));
}

#[tokio::test]
async fn attempts_are_apart_and_go_with_their_run() {
    let dir = tempfile::tempdir().unwrap();
    let blobs = Blobs::open(dir.path()).unwrap();
    assert_eq!(read(&blobs, &job(1)).await, None);
    for (attempt, text) in [(1, "first"), (2, "second")] {
        blobs.keep_log(&job(attempt), chunks(&[Ok(text)]), 100).await.unwrap();
    }
    let other = JobId { run: run_id("b", "0"), attempt: 1 };
    blobs.keep_log(&other, chunks(&[Ok("other")]), 100).await.unwrap();
    assert_eq!(read(&blobs, &job(1)).await.as_deref(), Some("first"));
    assert_eq!(read(&blobs, &job(2)).await.as_deref(), Some("second"));
    for _ in 0..2 {
        blobs.remove(&job(1).run).await.unwrap();
        assert_eq!(read(&blobs, &job(2)).await, None);
    }
    assert_eq!(read(&blobs, &other).await.as_deref(), Some("other"));
}
