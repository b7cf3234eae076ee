//! The HTTP client that asks addresses which others wrote. Made once, when it is first needed; holds nothing that a
//! crash could lose.

use std::net::{SocketAddr, ToSocketAddrs as _};
use std::sync::Arc;

use reqwest::Client;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::Policy;
use tokio::sync::{OnceCell, Semaphore};
use tracing::warn;

/// Names that are looked up at once. A lookup can't be given up: where the name server is silent it holds its thread
/// for long after nobody waits for it, and the store and others need threads of the same pool, which has 512.
const LOOKUPS: usize = 128;

/// Looks names up as the system does.
struct Names(Arc<Semaphore>);

impl Resolve for Names {
    fn resolve(&self, name: Name) -> Resolving {
        let permits = Arc::clone(&self.0);
        Box::pin(async move {
            let permit = permits.acquire_owned().await?;
            let lookup = move || {
                // Until it ends, not until who asked gives up.
                let _permit = permit;
                (name.as_str(), 0).to_socket_addrs().map(Iterator::collect::<Vec<SocketAddr>>)
            };
            let found = tokio::task::spawn_blocking(lookup).await??;
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// A client that goes where it is told and nowhere else. Cheap to clone.
///
/// It follows no redirect, asks no proxy whatever the environment says, and begins a connection for each request,
/// so that what answers is what is there now. Where the machine has no certificates of authorities, `https` answers
/// nothing and `http` goes on.
#[derive(Clone, Default)]
pub struct Asking(Arc<OnceCell<Client>>);

impl Asking {
    /// The client, which the first call makes: to read the certificates of all authorities takes longer than all else
    /// of a start, and few servers have gates. An error is one of the TLS library; the next call tries again.
    pub async fn client(&self) -> Result<&Client, String> {
        let made = || async {
            let made = tokio::task::spawn_blocking(make).await.map_err(|error| error.to_string())?;
            made.map_err(|error| error.to_string())
        };
        self.0.get_or_try_init(made).await
    }
}

fn make() -> Result<Client, reqwest::Error> {
    let permits = Arc::new(Semaphore::new(LOOKUPS));
    let builder = || {
        Client::builder()
            .redirect(Policy::none())
            .no_proxy()
            .referer(false)
            .pool_max_idle_per_host(0)
            .dns_resolver(Names(Arc::clone(&permits)))
            .user_agent(concat!("kickoff/", env!("CARGO_PKG_VERSION")))
    };
    builder().build().or_else(|error| {
        warn!(%error, "no certificates of authorities are there: a gate with https stays shut");
        builder().tls_certs_only([]).build()
    })
}

/// Why a request failed, in the words of what failed first: "Connection refused (os error 111)". The same failure
/// has the same words, whenever it is.
pub fn innermost(error: &reqwest::Error) -> String {
    let mut inner: &dyn std::error::Error = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    let text = inner.to_string();
    text.split(": verification time").next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_client_is_made_once_and_not_before_it_is_needed() {
        rustls::crypto::ring::default_provider().install_default().ok();
        let asking = Asking::default();
        let other = asking.clone();
        assert!(!asking.0.initialized());
        let first: *const Client = asking.client().await.unwrap();
        assert!(std::ptr::eq(first, other.client().await.unwrap()));
    }
}
