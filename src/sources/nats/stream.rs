//! One durable consumer of a stream of `JetStream`.
//!
//! A message is acknowledged only after its event is in the inbox, and the server confirms that. If we die
//! before the append, or after it and before the acknowledgement, the server delivers the message again 30 s
//! later: it is a new event then, or a known one, and is acknowledged. If we die after the acknowledgement, the
//! event is in the inbox. While the inbox can't store, messages are held and the server is told that they are
//! being worked on, which counts as no delivery; when we stop, they are given back.
//!
//! A stream that is made anew counts its messages from 1 again, so its creation is part of where its messages
//! come in: whenever the connection was made anew it is asked for before anything is stored. A consumer that
//! vanished is made again, behind what was acknowledged. One that has messages for us and delivers none for
//! half a minute is read anew, and told until it does: another reader may hold all that it gives out at once.
//!
//! What the server gave up after its last delivery stays in the stream. It tells so once, and an event is
//! made of it then that every trigger decides `invalid`; nothing is acknowledged.

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::consumer::pull::MessagesError;
use async_nats::jetstream::consumer::{Info, PullConsumer};
use async_nats::jetstream::stream::Stream;
use async_nats::jetstream::{AckKind, Message};
use async_nats::{Request, Subscriber};
use futures::future::join_all;
use futures::stream::ReadyChunks;
use futures::{StreamExt as _, TryFutureExt as _};
use serde::Deserialize;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tracing::{debug, warn};

use super::consumer::{Mark, consumer, created, stream};
use super::reader::{BATCH, Cancelled, Raw, Reader, parked};
use super::reading::{Consumer, Reading};
use crate::engine::event::Ingress;
use crate::outside::chain;

/// Batches whose acknowledgements may be on their way.
const ACKING: usize = 8;
/// Until an acknowledgement is confirmed.
const CONFIRMED: Duration = Duration::from_secs(10);
/// How long acknowledgements may take to be confirmed when reading ends.
const FAREWELL: Duration = Duration::from_secs(3);
/// How often is looked whether messages come.
const LOOK: Duration = Duration::from_secs(10);
/// A consumer that has messages and delivers none for this long is read anew.
const SILENT: Duration = Duration::from_secs(30);
/// What a request for messages lasts, and how often it must show that it is alive.
const EXPIRES: Duration = Duration::from_secs(30);
const HEARTBEAT: Duration = Duration::from_secs(5);
/// Pauses between attempts to read.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LAST_PAUSE: Duration = Duration::from_secs(30);
/// After which who gives messages back wants them delivered to another.
const GIVEN_BACK: Duration = Duration::from_secs(1);
/// What the server publishes about what it gave up.
const GIVEN_UP: &str = "$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES";

/// Why a consumer is no longer read.
enum Stop {
    Cancelled,
    /// To be read anew at once: nothing is wrong.
    Anew,
    /// For people.
    Failed(String),
}

impl From<Cancelled> for Stop {
    fn from(_: Cancelled) -> Self {
        Self::Cancelled
    }
}

/// What is known of a consumer from one reading of it to the next.
#[derive(Debug, Default)]
struct Past {
    mark: Option<Mark>,
    /// It has messages and delivered none so far, which was told.
    silent: bool,
}

/// A consumer that is being read.
struct Open<'a> {
    reader: &'a Reader,
    wanted: &'a Consumer,
    stream: Stream,
    consumer: PullConsumer,
    ingress: Ingress,
    created: i64,
    /// How often the connection had been made when the stream was asked for.
    times: u64,
    /// When something came in last, or nothing was there that could.
    heard: Instant,
}

/// Reads until it is told to end.
pub(super) async fn read(reader: Reader) {
    let Reading::Consumer(wanted) = reader.reading.clone() else { return };
    let mut pause = FIRST_PAUSE;
    let mut past = Past::default();
    loop {
        let begun = Instant::now();
        let why = match open(&reader, &wanted, past.mark).await {
            Ok(mut open) => match open.follow(&mut past).await {
                Stop::Cancelled => return,
                Stop::Anew => continue,
                Stop::Failed(why) => why,
            },
            Err(Stop::Cancelled) => return,
            Err(Stop::Anew) => continue,
            Err(Stop::Failed(why)) => why,
        };
        past.silent = false;
        if begun.elapsed() > LAST_PAUSE {
            pause = FIRST_PAUSE;
        }
        // While there is no connection that is all there is to say.
        if reader.connection.standing().borrow().connected {
            reader.deaf(&denied(&reader, &wanted).unwrap_or(why));
        }
        if reader.rest(pause).await == Err(Cancelled) {
            return;
        }
        pause = (pause * 2).min(LAST_PAUSE);
    }
}

/// The server refuses a request with nothing but a line to the whole connection.
fn denied(reader: &Reader, wanted: &Consumer) -> Option<String> {
    let api = |refusal: &String| refusal.contains("$JS.API") || refusal.contains("_INBOX");
    let refusal = reader.connection.denied(&format!(".{}", wanted.stream)).filter(api);
    let refusal = refusal.or_else(|| reader.connection.denied("_INBOX"));
    refusal.map(|refusal| format!("the server refuses it: {refusal}"))
}

async fn open<'a>(reader: &'a Reader, wanted: &'a Consumer, mark: Option<Mark>) -> Result<Open<'a>, Stop> {
    let times = reader.connected().await?;
    let jetstream = reader.connection.jetstream();
    let stream = stream(&jetstream, &wanted.stream).await.map_err(Stop::Failed)?;
    let consumer = consumer(&stream, wanted, mark).await.map_err(Stop::Failed)?;
    let created = created(&stream);
    let ingress = Ingress::JetStream { stream: wanted.stream.clone(), created: Some(created) };
    Ok(Open { reader, wanted, stream, consumer, ingress, created, times, heard: Instant::now() })
}

type Messages = ReadyChunks<async_nats::jetstream::consumer::pull::Stream>;

impl Open<'_> {
    async fn follow(&mut self, past: &mut Past) -> Stop {
        let mut acks = JoinSet::new();
        let stop = match self.pump(past, &mut acks).await {
            Ok(never) => match never {},
            Err(stop) => stop,
        };
        let settled = async { while acks.join_next().await.is_some() {} };
        if tokio::time::timeout(FAREWELL, settled).await.is_err() {
            debug!(reading = %self.wanted, "not all acknowledgements were confirmed");
        }
        stop
    }

    async fn pump(
        &mut self,
        past: &mut Past,
        acks: &mut JoinSet<()>,
    ) -> Result<std::convert::Infallible, Stop> {
        // In this order: the first request for messages is what makes the server give one up.
        let mut given_up = self.given_up().await?;
        let mut messages = self.messages().await?;
        if !past.silent {
            self.reader.hears();
        }
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = self.reader.cancel.cancelled() => return Err(Stop::Cancelled),
                chunk = messages.next(), if acks.len() < ACKING => {
                    let chunk = chunk.ok_or_else(|| Stop::Failed("the server sends no more".to_owned()))?;
                    self.take(chunk, acks).await?;
                    past.silent = false;
                }
                _ = acks.join_next(), if !acks.is_empty() => {}
                Some(told) = given_up.next() => self.park(&told).await?,
                _ = looks.tick() => self.look(past).await?,
            }
        }
    }

    async fn messages(&self) -> Result<Messages, Stop> {
        let limits = &self.consumer.cached_info().config;
        let most = usize::try_from(limits.max_batch).ok().filter(|most| *most > 0).unwrap_or(BATCH);
        let expires = if limits.max_expires.is_zero() { EXPIRES } else { EXPIRES.min(limits.max_expires) };
        let builder = self.consumer.stream().max_messages_per_batch(BATCH.min(most));
        let messages = builder.expires(expires).heartbeat(HEARTBEAT.min(expires / 3)).messages().await;
        messages.map(|messages| messages.ready_chunks(BATCH)).map_err(|error| Stop::Failed(chain(&error)))
    }

    async fn given_up(&self) -> Result<Subscriber, Stop> {
        let subject = format!("{GIVEN_UP}.{}.{}", self.wanted.stream, self.wanted.name);
        let subscribed = self.reader.connection.client().subscribe(subject).await;
        subscribed.map_err(|error| Stop::Failed(chain(&error)))
    }

    /// Stores what came, then acknowledges it.
    async fn take(
        &mut self,
        chunk: Vec<Result<Message, MessagesError>>,
        acks: &mut JoinSet<()>,
    ) -> Result<(), Stop> {
        self.same_stream().await?;
        let (mut raws, mut given) = (Vec::with_capacity(chunk.len()), Vec::with_capacity(chunk.len()));
        let mut failed = None;
        for message in chunk {
            match message {
                Ok(message) => {
                    let sequence = message.info().ok().map(|info| info.stream_sequence);
                    raws.push(Raw { message: message.message.clone(), sequence });
                    given.push(message);
                }
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        if !raws.is_empty() {
            let events = self.reader.events(&Arc::new(raws), &self.ingress).await;
            if self.reader.store(events, || tell(&given, AckKind::Progress)).await == Err(Cancelled) {
                tell(&given, AckKind::Nak(Some(GIVEN_BACK))).await;
                return Err(Stop::Cancelled);
            }
            self.reader.hears();
            let client = self.reader.connection.client().clone();
            acks.spawn(async move { confirm(&client, &given).await });
        }
        // Only now, as storing may have taken long.
        self.heard = Instant::now();
        match failed {
            None => Ok(()),
            Some(error) => Err(Stop::Failed(chain(&error))),
        }
    }

    /// After a connection was made anew the stream may be another of the same name.
    async fn same_stream(&mut self) -> Result<(), Stop> {
        let times = self.reader.connection.standing().borrow().times;
        if times == self.times {
            return Ok(());
        }
        let jetstream = self.reader.connection.jetstream();
        let now = stream(&jetstream, &self.wanted.stream).await.map_err(Stop::Failed)?;
        if created(&now) != self.created {
            return Err(Stop::Anew);
        }
        self.times = times;
        Ok(())
    }

    /// Whether the consumer has messages and delivers none; and what was acknowledged so far.
    async fn look(&mut self, past: &mut Past) -> Result<(), Stop> {
        if !self.reader.connection.standing().borrow().connected {
            self.heard = Instant::now();
            return Ok(());
        }
        let info = self.consumer.get_info().await.map_err(|error| Stop::Failed(chain(&error)))?;
        past.mark = Some(Mark { created: self.created, acknowledged: info.ack_floor.stream_sequence });
        if info.num_pending > 0 && !info.paused && self.heard.elapsed() > SILENT {
            past.silent = true;
            self.reader.deaf(&silence(&info));
            return Err(Stop::Anew);
        }
        if info.num_pending == 0 || info.paused {
            past.silent = false;
            self.heard = Instant::now();
        }
        if info.paused {
            self.reader.deaf("the consumer is paused");
        } else if !past.silent {
            self.reader.hears();
        }
        Ok(())
    }

    /// Makes an event of what the server gave up.
    async fn park(&mut self, told: &async_nats::Message) -> Result<(), Stop> {
        let Ok(GivenUp { stream_seq, deliveries }) = serde_json::from_slice(&told.payload) else {
            return Ok(());
        };
        self.same_stream().await?;
        let raw = match self.stream.get_raw_message(stream_seq).await {
            Ok(message) => message,
            Err(error) => {
                let reason = chain(&error);
                warn!(reading = %self.wanted, sequence = stream_seq, reason, "a message was given up, and is gone");
                return Ok(());
            }
        };
        let message = async_nats::Message {
            subject: raw.subject,
            reply: None,
            length: raw.payload.len(),
            payload: raw.payload,
            headers: Some(raw.headers),
            status: None,
            description: None,
        };
        let raw = Raw { message, sequence: Some(stream_seq) };
        let why =
            format!("it was delivered {deliveries} times and never acknowledged: the server gave it up");
        warn!(reading = %self.wanted, sequence = stream_seq, deliveries, "a message was given up");
        let event = parked(&raw, &self.ingress, why, self.reader.clock.now());
        Ok(self.reader.store(vec![event], || std::future::ready(())).await?)
    }
}

/// What there is to say of a consumer that has messages and delivers none.
fn silence(info: &Info) -> String {
    let mut text = format!("{} messages wait, and none came for {} s", info.num_pending, SILENT.as_secs());
    let most = info.config.max_ack_pending;
    if most > 0 && i64::try_from(info.num_ack_pending).is_ok_and(|held| held >= most) {
        text += ": as many as it allows (max_ack_pending) were delivered and are not acknowledged";
    }
    text
}

/// The part of the server's word that is needed.
#[derive(Deserialize)]
struct GivenUp {
    stream_seq: u64,
    deliveries: u64,
}

/// Says the same of all; one that can't be said costs a delivery and nothing else.
async fn tell(messages: &[Message], kind: AckKind) {
    let told = messages.iter().map(|message| message.ack_with(kind));
    let failed = join_all(told).await.into_iter().find_map(Result::err);
    if let Some(error) = failed {
        debug!(%error, "the server could not be told of messages");
    }
}

/// Acknowledges all and waits until the server says that it knows. Where it does not, it delivers them again
/// and they are known.
async fn confirm(client: &async_nats::Client, messages: &[Message]) {
    let confirmed = messages.iter().filter_map(|message| message.reply.clone()).map(|reply| {
        let request = Request::new().payload("+ACK".into()).timeout(Some(CONFIRMED));
        client.send_request(reply, request).map_ok(drop)
    });
    if let Some(error) = join_all(confirmed).await.into_iter().find_map(Result::err) {
        debug!(%error, "an acknowledgement was not confirmed");
    }
}
