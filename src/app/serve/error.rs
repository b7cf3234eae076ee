//! Why a server does not start, or ends.

use std::net::SocketAddr;

use super::super::definitions::files::ReadError;
use super::super::home::HomeError;
use super::super::supervisor::TaskEnded;
use crate::outside::nats::BusError;
use crate::outside::traces::TracesError;
use crate::runs::kubernetes::LeaseError;
use crate::store::sqlite::OpenError;
use crate::web::auth::AuthError;

/// Why the server did not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The store.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// The definitions' folder.
    #[error(transparent)]
    Definitions(#[from] ReadError),
    /// The tokens' file.
    #[error(transparent)]
    Auth(#[from] AuthError),
    /// The file of grants.
    #[error("the file of grants can't be used: {0}")]
    Grants(String),
    /// The address.
    #[error("can't listen on {address}, which --listen or its default says")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
    /// `--insecure-no-auth` on an address that others reach.
    #[error(
        "--insecure-no-auth listens on loopback only, and {0} is not: give --tokens FILE, or listen on 127.0.0.1"
    )]
    Exposed(SocketAddr),
    /// The executor.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// The client of NATS.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// Another has this instance's name.
    #[error(transparent)]
    Lease(#[from] LeaseError),
    /// The `OTEL_*` variables.
    #[error(transparent)]
    Traces(#[from] TracesError),
    /// Files or threads.
    #[error("can't {what}")]
    Io {
        /// What was being done.
        what: &'static str,
        /// Why not.
        source: std::io::Error,
    },
    /// A task ended by itself.
    #[error(transparent)]
    Task(#[from] TaskEnded),
}

/// Of files and threads: what could not be done.
pub(super) fn io(what: &'static str) -> impl FnOnce(std::io::Error) -> ServeError {
    move |source| ServeError::Io { what, source }
}
