//! The inbox in SQL: append, read on, get.

use std::collections::VecDeque;
use std::ops::RangeInclusive;

use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt as _};
use rusqlite::{Connection, OptionalExtension as _, Row};
use tokio::sync::{oneshot, watch};

use super::arrivals::{Arriving, Found};
use super::keys::{Keys, raw};
use super::readers::{ReadError, Readers};
use super::work::{Failure, Reply, Rest, State, Work};
use crate::engine::event::Event;
use crate::engine::ids::EventKey;
use crate::store::inbox::{Appended, InboxError, Stored};

const READ_ROWS: usize = 128;
const READ_BYTES: usize = 4 << 20;
/// Sizes of bodies that are packed: below it gains little, and above it takes long on a thread that
/// serves connections.
const PACKED: RangeInclusive<usize> = 512..=256 << 10;

/// What an append answers.
pub(super) type Answer = Result<Vec<Appended>, InboxError>;

/// Events to append.
pub(super) struct Append {
    rows: Vec<Encoded>,
    keys: Keys,
    appended: Vec<Appended>,
    reply: oneshot::Sender<Reply<Answer>>,
}

/// An event, and what its row has of it.
struct Encoded {
    event: Event,
    attributes: String,
    packed: Option<Bytes>,
    /// Where it was written, if it was.
    position: Option<u64>,
}

impl Encoded {
    fn of(event: Event) -> serde_json::Result<Self> {
        let attributes = serde_json::to_string(&event.attributes)?;
        Ok(Self { attributes, packed: pack(&event.body), event, position: None })
    }

    fn body(&self) -> &[u8] {
        self.packed.as_ref().unwrap_or(&self.event.body)
    }
}

/// The body as an LZ4 block with its size before it, where that is worth it: less to write twice.
fn pack(body: &Bytes) -> Option<Bytes> {
    if !PACKED.contains(&body.len()) {
        return None;
    }
    let packed = lz4_flex::compress_prepend_size(body);
    (packed.len() < body.len() / 4 * 3).then(|| packed.into())
}

fn unpack(packed: &[u8]) -> Result<Bytes, String> {
    let size = packed.first_chunk().map_or(0, |size| u32::from_le_bytes(*size) as usize);
    if !PACKED.contains(&size) {
        return Err(format!("a packed body of {size} bytes"));
    }
    lz4_flex::decompress_size_prepended(packed).map(Bytes::from).map_err(|error| error.to_string())
}

impl Append {
    /// Encodes the events, on the caller's thread.
    pub(super) fn new(
        events: Vec<Event>,
        keys: Keys,
    ) -> Result<(Self, oneshot::Receiver<Reply<Answer>>), InboxError> {
        let (reply, answer) = oneshot::channel();
        let rows: serde_json::Result<Vec<_>> = events.into_iter().map(Encoded::of).collect();
        let rows = rows.map_err(|error| InboxError::Unavailable(error.to_string()))?;
        Ok((Self { rows, keys, appended: Vec::new(), reply }, answer))
    }
}

impl Work for Append {
    fn bytes(&self) -> usize {
        self.rows.iter().map(|row| row.body().len() + row.attributes.len()).sum()
    }

    fn carry_out(&mut self, connection: &Connection, state: &mut State) -> rusqlite::Result<()> {
        self.appended.clear();
        let sql = "INSERT INTO inbox (key, attributes, body, packed) VALUES (?1, ?2, ?3, ?4)";
        let mut insert = connection.prepare_cached(sql)?;
        for row in &mut self.rows {
            let key = &row.event.attributes.key;
            row.position = None;
            if self.keys.has(connection, key)? {
                self.appended.push(Appended::Known);
                continue;
            }
            insert.execute((key.as_str(), &row.attributes, row.body(), row.packed.is_some()))?;
            state.arrived = connection.last_insert_rowid().cast_unsigned();
            self.keys.add(key, state.arrived);
            row.position = Some(state.arrived);
            self.appended.push(Appended::New);
        }
        Ok(())
    }

    fn take_arrived(&mut self) -> Vec<Stored> {
        let rows = std::mem::take(&mut self.rows).into_iter();
        rows.filter_map(|row| Some(Stored { position: row.position?, event: row.event })).collect()
    }

    fn answer(self: Box<Self>, outcome: Result<(), Failure>, rest: Rest) {
        let answer = match outcome {
            Ok(()) => Ok(self.appended),
            Err(failure) => Err(InboxError::Unavailable(failure.why().to_owned())),
        };
        // Who asked may have gone; the event is kept all the same.
        self.reply.send((answer, rest)).ok();
    }
}

/// Everything after `position`, then what arrives.
///
/// After an error the next item is a new try from the same place.
pub(super) fn read(
    readers: Readers,
    arriving: Arriving,
    arrived: watch::Receiver<u64>,
    position: u64,
) -> BoxStream<'static, Result<Stored, InboxError>> {
    let reading = Reading { readers, arriving, arrived, position, rows: VecDeque::new() };
    stream::unfold(reading, |mut reading| async {
        let item = reading.next().await?;
        Some((item, reading))
    })
    .boxed()
}

struct Reading {
    readers: Readers,
    arriving: Arriving,
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
            match self.arriving.after(self.position) {
                Found::Next(rows) if rows.is_empty() => {
                    self.arriving.more().await?;
                    continue;
                }
                Found::Next(rows) => {
                    self.rows = rows;
                    continue;
                }
                Found::Before => {}
            }
            let newest = *self.arrived.borrow_and_update();
            if newest <= self.position {
                self.arrived.changed().await.ok()?;
                continue;
            }
            let position = self.position;
            match self.readers.with(move |connection| between(connection, position, newest)).await {
                Ok(rows) if rows.is_empty() => self.position = newest,
                Ok(rows) => self.rows = rows,
                Err(error) => return Some(Err(InboxError::Unavailable(error.to_string()))),
            }
        }
    }
}

/// After `position`, up to `durable`: what is newer may not be on disk yet.
fn between(connection: &Connection, position: u64, durable: u64) -> Result<VecDeque<Stored>, ReadError> {
    let sql = "SELECT attributes, body, packed, key, seq FROM inbox
               WHERE seq > ?1 AND seq <= ?2 ORDER BY seq LIMIT ?3";
    let mut statement = connection.prepare_cached(sql)?;
    let limit = i64::try_from(READ_ROWS).unwrap_or(i64::MAX);
    let mut rows = statement.query((super::number(position), super::number(durable), limit))?;
    let (mut found, mut bytes) = (VecDeque::new(), 0);
    while let Some(row) = rows.next()? {
        let event = event(row)?;
        bytes += event.body.len();
        found.push_back(Stored { position: row.get::<_, i64>(4)?.cast_unsigned(), event });
        if bytes >= READ_BYTES {
            break;
        }
    }
    Ok(found)
}

/// One event with its body, if it is among those up to the position `durable`.
pub(super) fn get(
    connection: &Connection,
    key: &EventKey,
    keys: &Keys,
    durable: u64,
) -> Result<Option<Event>, ReadError> {
    // Memory first: what leaves it is in the table by then.
    let recent = keys.recent(key).map(super::number);
    let sql = "SELECT attributes, body, packed, key FROM inbox
               WHERE seq = coalesce(?1, (SELECT seq FROM inbox_keys WHERE key = ?2)) AND seq <= ?3";
    let mut statement = connection.prepare_cached(sql)?;
    let found = statement.query_row((recent, raw(key), super::number(durable)), |row| Ok(event(row)));
    found.optional()?.transpose()
}

fn event(row: &Row<'_>) -> Result<Event, ReadError> {
    let corrupt = |message: String| match row.get::<_, String>(3) {
        Ok(key) => ReadError::Corrupt { what: format!("event {key}"), message },
        Err(error) => error.into(),
    };
    let attributes = serde_json::from_str(row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?);
    let attributes = attributes.map_err(|error| corrupt(error.to_string()))?;
    let body = row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?;
    let body = if row.get(2)? { unpack(body).map_err(corrupt)? } else { Bytes::copy_from_slice(body) };
    Ok(Event { attributes, body })
}
