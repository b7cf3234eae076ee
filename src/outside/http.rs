//! The HTTP client that asks addresses which others wrote. Made once; holds nothing that a crash could lose.

use reqwest::redirect::Policy;
use tracing::warn;

/// A client that goes where it is told and nowhere else.
///
/// It follows no redirect, asks no proxy whatever the environment says, and begins a connection for each request,
/// so that what answers is what is there now. Where the machine has no certificates of authorities, `https` answers
/// nothing and `http` goes on; an error is one of the TLS library.
pub fn asking() -> Result<reqwest::Client, reqwest::Error> {
    let builder = || {
        reqwest::Client::builder()
            .redirect(Policy::none())
            .no_proxy()
            .referer(false)
            .pool_max_idle_per_host(0)
            .user_agent(concat!("kickoff/", env!("CARGO_PKG_VERSION")))
    };
    builder().build().or_else(|error| {
        warn!(%error, "no certificates of authorities are there: a gate with https stays shut");
        builder().tls_certs_only([]).build()
    })
}

/// Why a request failed, in the words of what failed first: "Connection refused (os error 111)".
pub fn innermost(error: &reqwest::Error) -> String {
    let mut inner: &dyn std::error::Error = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    inner.to_string()
}
