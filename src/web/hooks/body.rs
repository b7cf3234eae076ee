//! Reading a body within bounds of size, time and memory.

use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt as _;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout_at};

use super::intake::Intake;
use crate::web::problem::Problem;

/// Up to so many bytes a body is taken out of what was read with it.
const COPIED: usize = 16 << 10;

/// How much, and how slowly.
#[derive(Debug, Clone, Copy)]
pub struct BodyLimits {
    /// Longest time without a single byte.
    pub idle: Duration,
    /// Longest time for the whole body.
    pub whole: Duration,
    /// Most bytes of all bodies that are held at once.
    pub held: u32,
}

impl Default for BodyLimits {
    fn default() -> Self {
        Self { idle: Duration::from_secs(10), whole: Duration::from_secs(30), held: 256 << 20 }
    }
}

/// The room that a body takes; given back when dropped.
#[derive(Debug)]
pub(super) struct Room {
    _permit: Option<OwnedSemaphorePermit>,
}

impl Intake {
    /// Reads `body` to its end: up to `max` bytes, in time, and only while there is room.
    pub(super) async fn read(
        &self,
        headers: &HeaderMap,
        body: Body,
        max: usize,
    ) -> Result<(Bytes, Room), Problem> {
        let announced = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
        if announced.is_some_and(|length: u64| length > max as u64) {
            return Err(too_large(max));
        }
        let mut reader = Reader { body, intake: self, held: None, length: 0 };
        let end = Instant::now() + self.limits.whole;
        let Some(first) = reader.next(end, max).await? else { return Ok((Bytes::new(), reader.room())) };
        let Some(second) = reader.next(end, max).await? else {
            // It is a part of what was read of the connection, and would keep all of that in memory.
            let body = if first.len() <= COPIED { Bytes::copy_from_slice(&first) } else { first };
            return Ok((body, reader.room()));
        };
        let mut whole = BytesMut::with_capacity(2 * (first.len() + second.len()));
        whole.extend_from_slice(&first);
        whole.extend_from_slice(&second);
        while let Some(data) = reader.next(end, max).await? {
            whole.extend_from_slice(&data);
        }
        Ok((whole.freeze(), reader.room()))
    }
}

struct Reader<'a> {
    body: Body,
    intake: &'a Intake,
    held: Option<OwnedSemaphorePermit>,
    length: usize,
}

impl Reader<'_> {
    /// The next piece that holds data; `None` at the end.
    async fn next(&mut self, end: Instant, max: usize) -> Result<Option<Bytes>, Problem> {
        loop {
            let idle = Instant::now() + self.intake.limits.idle;
            let frame = timeout_at(end.min(idle), self.body.frame()).await.map_err(|_| too_slow())?;
            let data = match frame {
                None => return Ok(None),
                Some(Err(_)) => return Err(Problem::new(StatusCode::BAD_REQUEST, "the body is cut off")),
                Some(Ok(frame)) => frame.into_data().unwrap_or_default(),
            };
            if data.is_empty() {
                continue;
            }
            self.length = self.length.saturating_add(data.len());
            if self.length > max {
                return Err(too_large(max));
            }
            self.hold(data.len())?;
            return Ok(Some(data));
        }
    }

    /// Never waits for room: bodies that wait for each other would stand until they time out.
    fn hold(&mut self, bytes: usize) -> Result<(), Problem> {
        let permit = u32::try_from(bytes).ok().and_then(|bytes| self.intake.room(bytes));
        let permit = permit.ok_or_else(|| {
            Problem::new(StatusCode::TOO_MANY_REQUESTS, "too many large bodies at once: come again")
                .retry_after(1)
        })?;
        match &mut self.held {
            Some(held) => held.merge(permit),
            none => *none = Some(permit),
        }
        Ok(())
    }

    fn room(self) -> Room {
        Room { _permit: self.held }
    }
}

fn too_large(max: usize) -> Problem {
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, format!("the body may have up to {max} bytes"))
}

fn too_slow() -> Problem {
    Problem::new(StatusCode::REQUEST_TIMEOUT, "the body came too slowly")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is read of a body that is a part of what was read of its connection, and that part.
    async fn read(length: usize) -> (Bytes, Bytes) {
        let connection = Bytes::from(vec![b'x'; 2 * COPIED]);
        let part = connection.slice(..length);
        let (body, _room) =
            Intake::default().read(&HeaderMap::new(), Body::from(part.clone()), 1 << 20).await.unwrap();
        assert_eq!(body, part);
        (body, part)
    }

    #[tokio::test]
    async fn a_small_body_keeps_nothing_else_in_memory_and_a_large_one_is_not_copied() {
        let (body, part) = read(COPIED).await;
        assert_ne!(body.as_ptr(), part.as_ptr());
        let (body, part) = read(COPIED + 1).await;
        assert_eq!(body.as_ptr(), part.as_ptr());
    }
}
