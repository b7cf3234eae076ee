//! What a server needs before anything of it runs: who may ask, the bus, the data folder, the definitions.
//!
//! Nothing is decided here, and nothing is written but what opening a store mends. If we die, the next start does the
//! same.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::warn;

use super::super::config::ServeConfig;
use super::super::definitions::{Loader, Origin, Read, before};
use super::super::home::Home;
use super::ServeError;
use super::resources::{self, Joined};
use crate::engine::definitions::Snapshot;
use crate::outside::clock::Clock;
use crate::outside::nats::{BusError, Connection, connect};
use crate::store::sqlite::{OpenError, Options, SqliteStore};
use crate::web::auth::Auth;

/// How long a predecessor may take to let go of the data folder.
const PREDECESSOR: Duration = Duration::from_secs(30);
/// How often is looked whether it has.
const PREDECESSOR_LOOK: Duration = Duration::from_millis(50);
/// How often the records are asked, and the pause between: what can't be folded is tried again meanwhile.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_secs(1);

/// Opens the data folder, once whoever has it lets go of it: a predecessor that is still stopping, or
/// one that was killed and left a child between its fork and its exec.
pub(super) async fn take_over(folder: &Path, clock: &Clock) -> Result<SqliteStore, OpenError> {
    let give_up = Instant::now() + PREDECESSOR;
    let mut told = false;
    loop {
        match SqliteStore::open(folder, Options::new(clock.clone())) {
            Err(held @ OpenError::InUse { .. }) if Instant::now() < give_up => {
                if !std::mem::replace(&mut told, true) {
                    warn!(reason = %held, "waiting up to {} s for the data folder", PREDECESSOR.as_secs());
                }
                tokio::time::sleep(PREDECESSOR_LOOK).await;
            }
            opened => return opened,
        }
    }
}

/// Loads the definitions, also those of the cluster, once what they need of it is answered.
pub(super) async fn define(
    origin: Origin,
    config: &ServeConfig,
    home: &Home,
    store: &SqliteStore,
) -> Result<(Loader, Arc<Snapshot>, Option<Joined>), ServeError> {
    let tenants = resources::tenants(config)?;
    let loader = Loader::new(origin, home.namespace.clone());
    let (mut loader, mut joined) = resources::join(loader, config, tenants, home.abroad.as_ref()).await;
    let read = loader.read_once().await?;
    if let Some(joined) = &mut joined {
        joined.ask().await;
    }
    let snapshot = load(&mut loader, read, store, &home.namespace).await?;
    Ok((loader, snapshot, joined))
}

/// Loads the definitions; those that are bad now and were good before this process are known as such.
async fn load(
    loader: &mut Loader,
    read: Read,
    store: &SqliteStore,
    namespace: &str,
) -> Result<Arc<Snapshot>, ServeError> {
    let snapshot = loader.load_read(read).await?;
    for left in (0..TRIES).rev() {
        match before::find(&snapshot, &store.history(), store, namespace).await {
            Ok(None) => return Ok(snapshot),
            Ok(Some(before)) => return Ok(loader.load_after(before).await?),
            Err(error) if left > 0 && error.may_pass() => {
                warn!(%error, "can't read which definitions were good, trying again");
                tokio::time::sleep(PAUSE).await;
            }
            Err(error) => warn!(%error, "definitions that are bad now are not known to have been good"),
        }
    }
    Ok(snapshot)
}

/// NATS, where one is named. It may be away.
pub(super) async fn bus(config: &ServeConfig) -> Result<Option<Connection>, BusError> {
    match &config.nats {
        Some(bus) => Ok(Some(connect(bus, &format!("kickoff {}", config.instance)).await?)),
        None => Ok(None),
    }
}

pub(super) fn auth(config: &ServeConfig) -> Result<Auth, ServeError> {
    Ok(match (&config.tokens, config.insecure_no_auth) {
        (_, true) => Auth::insecure(),
        (Some(file), false) => Auth::from_file(file)?,
        (None, false) => Auth::closed(),
    })
}
