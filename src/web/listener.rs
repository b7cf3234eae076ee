//! Connections: how many, how slow, and how they end.
//!
//! Owns every task that serves one; none is detached. Once told to stop it accepts no more, lets the
//! requests under way finish for a moment, and then cuts them: their senders were told nothing.
//!
//! There is no limit for each address, on purpose: behind an ingress all senders share one, and a forge
//! delivers from few, so it would turn away the good ones. Whoever holds connections idle is bounded by
//! the time-outs, and goes first where places are short; who must be kept out by address is for the
//! ingress, which alone sees it.

mod linger;
mod patience;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use linger::Linger;
use patience::Patience;

/// Bounds of connections.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Most at once; further ones wait in the kernel's backlog.
    pub connections: usize,
    /// Longest time from the first byte of a request until its header is there.
    pub header_timeout: Duration,
    /// Longest time that a connection may say nothing; `header_timeout` once places are short.
    pub idle_timeout: Duration,
    /// Longest time that a peer may take no byte of its answer.
    pub write_timeout: Duration,
    /// Most bytes of a header.
    pub header_bytes: usize,
    /// Most fields of a header.
    pub header_fields: usize,
    /// How long requests under way may go on once told to stop.
    pub shutdown: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 8_192,
            header_timeout: Duration::from_secs(10),
            // Longer than those who keep connections for later do.
            idle_timeout: Duration::from_secs(620),
            write_timeout: Duration::from_secs(30),
            header_bytes: 64 << 10,
            header_fields: 100,
            shutdown: Duration::from_secs(5),
        }
    }
}

/// Pause after an error of `accept` that is not the peer's, for instance too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves `router` until cancelled.
pub async fn serve(listener: TcpListener, router: Router, limits: Limits, cancel: CancellationToken) {
    let places = Arc::new(Semaphore::new(limits.connections));
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = cancel.cancelled() => break,
            Some(ended) = connections.join_next() => report(ended),
            accepted = accept(&listener, &places) => match accepted {
                Ok((stream, place)) => {
                    let watcher = graceful.watcher();
                    let patience = Patience::new(limits, Arc::clone(&places));
                    connections.spawn(converse(stream, router.clone(), patience, watcher, place));
                }
                Err(error) => {
                    tracing::warn!(%error, "could not accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    if tokio::time::timeout(limits.shutdown, graceful.shutdown()).await.is_err() {
        tracing::warn!(connections = connections.len(), "cut connections that did not end in time");
    }
    connections.shutdown().await;
}

/// Takes a place first, so that no connection is accepted that can't be served.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let place = places.clone().acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    Ok((stream, place))
}

async fn converse(
    stream: TcpStream,
    router: Router,
    patience: Patience,
    watcher: Watcher,
    _place: OwnedSemaphorePermit,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "could not set TCP_NODELAY");
    }
    let service = TowerToHyperService::new(router);
    let limits = patience.limits();
    let stream = TokioIo::new(Linger::new(stream, patience.clone()));
    let connection = http1::Builder::new()
        .timer(patience)
        .header_read_timeout(limits.header_timeout)
        .max_headers(limits.header_fields)
        .max_header_size(limits.header_bytes)
        .serve_connection(stream, service);
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(%error, "a connection ended early");
    }
}

fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!("a request panicked; its connection was closed");
    }
}
