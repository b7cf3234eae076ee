//! The inbox in SQL: append, read on, get.

use std::collections::VecDeque;

use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt as _};
use rusqlite::{Connection, OptionalExtension as _, Row, Savepoint};
use tokio::sync::{oneshot, watch};

use super::readers::{ReadError, Readers};
use super::writer::{Failure, State, Work};
use crate::engine::event::Event;
use crate::engine::ids::EventKey;
use crate::store::inbox::{Appended, InboxError, Stored};

const READ_ROWS: usize = 128;
const READ_BYTES: usize = 4 << 20;

/// What an append answers.
pub(super) type Answer = Result<Vec<Appended>, InboxError>;

/// Events to append.
pub(super) struct Append {
    events: Vec<(Event, String)>,
    appended: Vec<Appended>,
    reply: oneshot::Sender<Answer>,
}

impl Append {
    /// Encodes the attributes, on the caller's thread.
    pub(super) fn new(events: Vec<Event>) -> Result<(Self, oneshot::Receiver<Answer>), InboxError> {
        let (reply, answer) = oneshot::channel();
        let encode = |event: Event| {
            let attributes = serde_json::to_string(&event.attributes)?;
            Ok((event, attributes))
        };
        let events: Result<Vec<_>, serde_json::Error> = events.into_iter().map(encode).collect();
        let events = events.map_err(|error| InboxError::Unavailable(error.to_string()))?;
        Ok((Self { events, appended: Vec::new(), reply }, answer))
    }
}

impl Work for Append {
    fn bytes(&self) -> usize {
        self.events.iter().map(|(event, attributes)| event.body.len() + attributes.len()).sum()
    }

    fn carry_out(&mut self, savepoint: &Savepoint<'_>, state: &mut State) -> rusqlite::Result<()> {
        let sql =
            "INSERT INTO inbox (key, attributes, body) VALUES (?1, ?2, ?3) ON CONFLICT (key) DO NOTHING";
        let mut insert = savepoint.prepare_cached(sql)?;
        for (event, attributes) in &self.events {
            let rows = insert.execute((event.attributes.key.as_str(), attributes, &event.body[..]))?;
            if rows == 0 {
                self.appended.push(Appended::Known);
            } else {
                state.arrived = savepoint.last_insert_rowid().cast_unsigned();
                self.appended.push(Appended::New);
            }
        }
        Ok(())
    }

    fn answer(self: Box<Self>, outcome: Result<(), Failure>) {
        let answer = match outcome {
            Ok(()) => Ok(self.appended),
            Err(Failure::NotWritten(why) | Failure::Unknown(why)) => Err(InboxError::Unavailable(why)),
        };
        // Who asked may have gone; the event is kept all the same.
        self.reply.send(answer).ok();
    }
}

/// Everything after `position`, then what arrives.
///
/// After an error the next item is a new try from the same place.
pub(super) fn read(
    readers: Readers,
    arrived: watch::Receiver<u64>,
    position: u64,
) -> BoxStream<'static, Result<Stored, InboxError>> {
    let reading = Reading { readers, arrived, position, rows: VecDeque::new() };
    stream::unfold(reading, |mut reading| async {
        let item = reading.next().await?;
        Some((item, reading))
    })
    .boxed()
}

struct Reading {
    readers: Readers,
    arrived: watch::Receiver<u64>,
    position: u64,
    rows: VecDeque<Stored>,
}

impl Reading {
    /// `None` once the store is closed.
    async fn next(&mut self) -> Option<Result<Stored, InboxError>> {
        loop {
            if let Some(stored) = self.rows.pop_front() {
                self.position = stored.position;
                return Some(Ok(stored));
            }
            let newest = *self.arrived.borrow_and_update();
            if newest <= self.position {
                self.arrived.changed().await.ok()?;
                continue;
            }
            let position = self.position;
            match self.readers.with(move |connection| after(connection, position)).await {
                Ok(rows) if rows.is_empty() => self.position = newest,
                Ok(rows) => self.rows = rows,
                Err(error) => return Some(Err(InboxError::Unavailable(error.to_string()))),
            }
        }
    }
}

fn after(connection: &Connection, position: u64) -> Result<VecDeque<Stored>, ReadError> {
    let sql = "SELECT attributes, body, key, seq FROM inbox WHERE seq > ?1 ORDER BY seq LIMIT ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let limit = i64::try_from(READ_ROWS).unwrap_or(i64::MAX);
    let mut rows = statement.query((super::number(position), limit))?;
    let (mut found, mut bytes) = (VecDeque::new(), 0);
    while let Some(row) = rows.next()? {
        let event = event(row)?;
        bytes += event.body.len();
        found.push_back(Stored { position: row.get::<_, i64>(3)?.cast_unsigned(), event });
        if bytes >= READ_BYTES {
            break;
        }
    }
    Ok(found)
}

/// One event with its body.
pub(super) fn get(connection: &Connection, key: &EventKey) -> Result<Option<Event>, ReadError> {
    let mut statement =
        connection.prepare_cached("SELECT attributes, body, key FROM inbox WHERE key = ?1")?;
    statement.query_row([key.as_str()], |row| Ok(event(row))).optional()?.transpose()
}

fn event(row: &Row<'_>) -> Result<Event, ReadError> {
    let attributes = serde_json::from_str(row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?);
    let attributes = match attributes {
        Ok(attributes) => attributes,
        Err(error) => {
            let what = format!("event {}", row.get::<_, String>(2)?);
            return Err(ReadError::Corrupt { what, message: error.to_string() });
        }
    };
    let body = Bytes::copy_from_slice(row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?);
    Ok(Event { attributes, body })
}
