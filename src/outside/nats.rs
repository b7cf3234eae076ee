//! The client of NATS: the only constructor of it, and what is known of its connection.
//!
//! A connection is made in the background and made anew without end, so a bus that is away delays nothing.
//! What proves who we are is read from files each time, so a rotated one needs no restart; none of it is in
//! a log, an error or an address. A connection that answers no ping for a quarter of a minute counts as lost.

mod login;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_nats::connection::State;
use async_nats::{AuthError, Client, ConnectOptions, Event, ServerAddr, ServerError, jetstream};
use tokio::sync::watch;

pub use self::login::Login;

/// Until a connection stands, and until a request is answered.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often a server must show that it lives; after three in vain it counts as gone.
const PING: Duration = Duration::from_secs(5);
/// Longest pause between two attempts to connect.
const SLOWEST: Duration = Duration::from_secs(3);
/// Messages of a subscription that wait to be stored; of more the newest are dropped, and counted.
const WAITING: usize = 8_192;
/// Most refusals of a server that are remembered.
const MOST_DENIED: usize = 100;

/// Which NATS, and how we prove who we are.
#[derive(Debug, Clone, Default)]
pub struct Bus {
    /// Addresses of servers of one cluster.
    pub servers: Vec<String>,
    /// Who we are, where the servers want to know.
    pub login: Option<Login>,
    /// Certificates of whom to trust; without it those of the system.
    pub ca: Option<PathBuf>,
    /// Our certificate and its key.
    pub certificate: Option<(PathBuf, PathBuf)>,
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    /// An address.
    #[error("{0:?} is no address of NATS: write nats://HOST:PORT, or tls://HOST:PORT")]
    Address(String),
    /// Whoever lists processes would read it.
    #[error("an address of NATS may hold no password: give --nats-creds, --nats-nkey or --nats-token FILE")]
    Password,
    /// A file that is needed to connect.
    #[error("{}: {why}", file.display())]
    File {
        /// Which.
        file: PathBuf,
        /// What is wrong with it; nothing of what is in it.
        why: String,
    },
    /// The client.
    #[error("the client of NATS can't be made: {0}")]
    Client(Box<async_nats::ConnectError>),
}

/// A connection that may be away. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Connection {
    client: Client,
    tell: Arc<watch::Sender<Standing>>,
    dropped: Arc<AtomicU64>,
}

/// What is known of a connection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// Whether it stands.
    pub connected: bool,
    /// How often it was made.
    pub times: u64,
    /// Why it does not stand.
    pub why: String,
    /// What the server refused since it was made, in its own words.
    pub denied: BTreeSet<String>,
}

/// Makes a client, which goes by `name`. Its files must be there; the servers may be away.
pub async fn connect(bus: &Bus, name: &str) -> Result<Connection, BusError> {
    let servers = addresses(&bus.servers)?;
    let files = bus.certificate.iter().flat_map(|(certificate, key)| [certificate, key]);
    for file in bus.ca.iter().chain(files) {
        readable(file).await?;
    }
    let mut options = match &bus.login {
        None => ConnectOptions::new(),
        Some(login) => {
            login.read().await.map_err(|why| BusError::File { file: login.file().to_owned(), why })?;
            with_login(login.clone())
        }
    };
    if let Some(ca) = &bus.ca {
        options = options.add_root_certificates(ca.clone()).require_tls(true);
    }
    if let Some((certificate, key)) = &bus.certificate {
        options = options.add_client_certificate(certificate.clone(), key.clone()).require_tls(true);
    }
    let tell = Arc::new(watch::Sender::new(Standing { why: "connecting".to_owned(), ..Standing::default() }));
    let dropped = Arc::new(AtomicU64::new(0));
    let (seen, counted, tried) = (Arc::clone(&tell), Arc::clone(&dropped), Arc::clone(&tell));
    let client = options
        .name(name)
        .connection_timeout(PATIENCE)
        .request_timeout(Some(PATIENCE))
        .ping_interval(PING)
        .subscription_capacity(WAITING)
        .retry_on_initial_connect()
        .max_reconnects(None)
        .reconnect_delay_callback(pause)
        .reconnect_to_server_callback(move |servers, _| {
            // It is asked before each round of attempts, and is told there how the last one went.
            failed(&tried, &servers);
            std::future::ready(None)
        })
        .event_callback(move |event| {
            happened(&seen, &counted, event);
            std::future::ready(())
        })
        .connect(servers)
        .await
        .map_err(|error| BusError::Client(Box::new(error)))?;
    Ok(Connection { client, tell, dropped })
}

impl Connection {
    /// The client.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// `JetStream` of the same servers.
    pub fn jetstream(&self) -> jetstream::Context {
        jetstream::ContextBuilder::new().timeout(PATIENCE).build(self.client.clone())
    }

    /// What is known of it, and what becomes of that.
    pub fn standing(&self) -> watch::Receiver<Standing> {
        self.tell.subscribe()
    }

    /// How many messages came faster than they could be stored, and were dropped: at least so many, as of many
    /// events at once the client forgets some.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// What the server refused that has to do with `about`.
    pub fn denied(&self, about: &str) -> Option<String> {
        self.tell.borrow().denied.iter().find(|text| text.contains(about)).cloned()
    }

    /// Looks at the connection itself: of many events at once the client forgets some.
    pub fn look(&self) {
        let connected = self.client.connection_state() == State::Connected;
        if self.tell.borrow().connected != connected {
            let event = if connected { Event::Connected } else { Event::Disconnected };
            happened(&self.tell, &self.dropped, event);
        }
    }
}

fn with_login(login: Login) -> ConnectOptions {
    ConnectOptions::with_auth_callback(move |nonce| {
        let login = login.clone();
        async move {
            login
                .answer(&nonce)
                .await
                .map_err(|why| AuthError::new(format!("{}: {why}", login.file().display())))
        }
    })
}

fn addresses(servers: &[String]) -> Result<Vec<ServerAddr>, BusError> {
    let address = |text: &String| {
        let wrong = || BusError::Address(text.clone());
        // Said before all else, and without the text: an address may hold a password and be none.
        if text.contains('@') {
            return Err(BusError::Password);
        }
        let address: ServerAddr = text.trim().parse().map_err(|_| wrong())?;
        (!address.is_websocket() && !address.host().is_empty()).then_some(address).ok_or_else(wrong)
    };
    servers.iter().map(address).collect()
}

async fn readable(file: &Path) -> Result<(), BusError> {
    let read = tokio::fs::read(file).await;
    read.map(drop).map_err(|error| BusError::File { file: file.to_owned(), why: error.to_string() })
}

/// At once, then slower and slower.
fn pause(attempt: usize) -> Duration {
    match u32::try_from(attempt) {
        Ok(attempt @ 2..=12) => Duration::from_millis(1 << attempt).min(SLOWEST),
        Ok(0 | 1) => Duration::ZERO,
        _ => SLOWEST,
    }
}

fn happened(tell: &watch::Sender<Standing>, dropped: &AtomicU64, event: Event) {
    match event {
        Event::Connected => tell.send_modify(|standing| {
            *standing = Standing { connected: true, times: standing.times + 1, ..Standing::default() };
        }),
        Event::Disconnected => tell.send_modify(|standing| {
            standing.connected = false;
            if standing.why.is_empty() {
                "the connection was lost".clone_into(&mut standing.why);
            }
        }),
        Event::Closed => tell.send_modify(|standing| {
            standing.connected = false;
            "the connection was closed".clone_into(&mut standing.why);
        }),
        Event::SlowConsumer(_) => {
            dropped.fetch_add(1, Ordering::Relaxed);
        }
        Event::ServerError(ServerError::Other(text)) if text.starts_with("Permissions Violation") => {
            tell.send_if_modified(|standing| {
                standing.denied.len() < MOST_DENIED && standing.denied.insert(text)
            });
        }
        Event::ServerError(error) => tell.send_modify(|standing| {
            standing.why = bare(&error.to_string());
        }),
        Event::ClientError(_) | Event::LameDuckMode | Event::Draining => {}
    }
}

/// How the last attempts went: each server's own reason, where there is one.
fn failed(tell: &watch::Sender<Standing>, servers: &[async_nats::Server]) {
    let reason = |server: &async_nats::Server| {
        let error = server.last_error.as_deref()?;
        Some(format!("{}:{}: {}", server.addr.host(), server.addr.port(), bare(error)))
    };
    let reasons: Vec<String> = servers.iter().filter_map(reason).collect();
    if !reasons.is_empty() {
        tell.send_if_modified(|standing| {
            let why = reasons.join(", ");
            let new = !standing.connected && standing.why != why;
            if new {
                standing.why = why;
            }
            new
        });
    }
}

/// A reason without the name of the client in front, and without that of a type of errors.
fn bare(text: &str) -> String {
    text.replace("nats: ", "").replace("AuthError(", "(")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_holds_no_password() {
        for (text, good) in [
            ("nats://127.0.0.1:4222", true),
            ("tls://nats.example", true),
            ("nats.example:4222", true),
            ("ws://nats.example", false),
            ("http://nats.example", false),
            ("nats://", false),
            ("nats://me:secret@nats.example", false),
        ] {
            let read = addresses(&[text.to_owned()]);
            assert_eq!(read.is_ok(), good, "{text}: {read:?}");
            let told = read.err().map(|error| error.to_string()).unwrap_or_default();
            assert!(!told.contains("secret"), "{told}");
        }
    }

    #[test]
    fn pauses_grow_to_a_bound() {
        let all: Vec<u128> = [0, 1, 2, 5, 11, 12, 40, usize::MAX].map(|at| pause(at).as_millis()).to_vec();
        assert_eq!(all, [0, 0, 4, 32, 2_048, 3_000, 3_000, 3_000]);
    }

    #[test]
    fn what_happens_is_known() {
        let (tell, dropped) = (watch::Sender::new(Standing::default()), AtomicU64::new(0));
        let denied = "Permissions Violation for Subscription to \"orders\"";
        happened(&tell, &dropped, Event::Connected);
        happened(&tell, &dropped, Event::ServerError(ServerError::Other(denied.to_owned())));
        happened(&tell, &dropped, Event::SlowConsumer(1));
        assert!(tell.borrow().connected && tell.borrow().denied.contains(denied));
        happened(&tell, &dropped, Event::ServerError(ServerError::Other("stale connection".to_owned())));
        happened(&tell, &dropped, Event::Disconnected);
        assert_eq!((tell.borrow().connected, tell.borrow().why.as_str()), (false, "stale connection"));
        happened(&tell, &dropped, Event::Connected);
        assert_eq!((tell.borrow().times, tell.borrow().denied.len()), (2, 0));
        assert_eq!(dropped.load(Ordering::Relaxed), 1);
    }
}
