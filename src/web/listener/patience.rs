//! How long a connection may take to say what it wants: long while it says nothing, short once it began.
//!
//! Senders and proxies keep connections for the next request: nginx for 60 s, Go for 90 s, Caddy for 2 min,
//! the load balancers of Google for 10 min. A server that ends one sooner does so just when a delivery is
//! sent over it, and that delivery is lost where its sender tries once. So it is for them to end it, unless
//! places become short: then whoever says nothing goes first.
//!
//! hyper has one time-out for both, and starts it when it begins to wait. This is the timer given to it.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use hyper::rt::{Sleep, Timer};
use tokio::sync::Semaphore;
use tokio::time::Instant as Tick;

use super::Limits;

/// Places are short once fewer than one in so many is free.
const SHORT: usize = 8;

/// Makes a [`Wait`] for each header of one connection.
#[derive(Debug, Clone)]
pub(super) struct Patience(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    limits: Limits,
    places: Arc<Semaphore>,
    /// Set by whoever reads the connection, with every byte.
    heard: AtomicBool,
}

/// Until the header is there, or it took too long.
#[derive(Debug)]
struct Wait {
    patience: Patience,
    since: Tick,
    begun: bool,
    step: Pin<Box<tokio::time::Sleep>>,
}

impl Patience {
    pub(super) fn new(limits: Limits, places: Arc<Semaphore>) -> Self {
        Self(Arc::new(Shared { limits, places, heard: AtomicBool::new(false) }))
    }

    pub(super) fn limits(&self) -> Limits {
        self.0.limits
    }

    /// Something was read.
    pub(super) fn hear(&self) {
        self.0.heard.store(true, Ordering::Relaxed);
    }

    fn wait(&self) -> Pin<Box<dyn Sleep>> {
        self.0.heard.store(false, Ordering::Relaxed);
        let limits = &self.0.limits;
        let step = Box::pin(tokio::time::sleep(limits.header_timeout.min(limits.idle_timeout)));
        Box::pin(Wait { patience: self.clone(), since: Tick::now(), begun: false, step })
    }

    fn is_short_of_places(&self) -> bool {
        self.0.places.available_permits().saturating_mul(SHORT) < self.0.limits.connections
    }
}

impl Timer for Patience {
    fn sleep(&self, _: Duration) -> Pin<Box<dyn Sleep>> {
        self.wait()
    }

    fn sleep_until(&self, _: Instant) -> Pin<Box<dyn Sleep>> {
        self.wait()
    }
}

impl Sleep for Wait {}

impl Future for Wait {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let Limits { header_timeout, idle_timeout, .. } = this.patience.0.limits;
        // Polled after each read that did not complete a header, so that its first byte is not missed.
        if !this.begun && this.patience.0.heard.load(Ordering::Relaxed) {
            this.begun = true;
            this.step.as_mut().reset(Tick::now() + header_timeout);
        }
        loop {
            ready!(this.step.as_mut().poll(cx));
            let left = idle_timeout.saturating_sub(this.since.elapsed());
            if this.begun || left.is_zero() || this.patience.is_short_of_places() {
                return Poll::Ready(());
            }
            this.step.as_mut().reset(Tick::now() + left.min(header_timeout));
        }
    }
}
