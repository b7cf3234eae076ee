//! The service that the demo tests: a shop with one price, and releases that can be put live.
//!
//! It is real as far as a test can tell: it listens on a port of its own and answers over HTTP. It
//! keeps nothing.

use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};

use axum::extract::{Query, State};
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// What of the shop is live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Release {
    /// The commit it was built from.
    pub(super) commit: &'static str,
    /// The tax that it adds to a price, percent.
    pub(super) tax_percent: u64,
}

/// The shop. Clones share the release that is live.
#[derive(Debug, Clone)]
pub(super) struct Shop {
    live: Arc<RwLock<Release>>,
}

#[derive(Debug, Deserialize)]
struct Basket {
    net: u64,
}

impl Shop {
    /// A shop with a first release.
    pub(super) fn new(release: Release) -> Self {
        Self { live: Arc::new(RwLock::new(release)) }
    }

    /// Puts a release live, at once.
    pub(super) fn deploy(&self, release: Release) {
        *self.live.write().unwrap_or_else(PoisonError::into_inner) = release;
    }

    /// A free port on this machine alone.
    pub(super) async fn listen() -> std::io::Result<(TcpListener, SocketAddr)> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        Ok((listener, address))
    }

    /// Serves until the future is dropped.
    pub(super) async fn serve(self, listener: TcpListener) -> std::io::Result<()> {
        let router = Router::new()
            .route("/healthz", get(|| async { "ok\n" }))
            .route("/version", get(version))
            .route("/price", get(price))
            .with_state(self);
        axum::serve(listener, router).await
    }

    fn live(&self) -> Release {
        *self.live.read().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn version(State(shop): State<Shop>) -> Json<Value> {
    Json(json!({"commit": shop.live().commit}))
}

async fn price(State(shop): State<Shop>, Query(basket): Query<Basket>) -> Json<Value> {
    let tax = basket.net.saturating_mul(shop.live().tax_percent) / 100;
    Json(json!({"net": basket.net, "gross": basket.net.saturating_add(tax)}))
}
