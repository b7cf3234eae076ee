//! Which NATS `serve` listens to, what it says there, and how it proves who it is. Everything secret is in files.

use std::path::PathBuf;

use kickoff::engine::definitions::quantity::Span;
use kickoff::outside::nats::{Bus, Login};

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "NATS")]
pub(crate) struct NatsArgs {
    /// The NATS that triggers listen to: nats://HOST:PORT or tls://HOST:PORT, several of one cluster
    #[arg(long, value_name = "URL,...", value_delimiter = ',', env = "KICKOFF_NATS")]
    nats: Vec<String>,
    /// Publish the steps of runs there as CDEvents 0.5.1: dev.cdevents.testsuiterun.{queued,started,finished}
    #[arg(long, requires = "nats")]
    pub(super) cdevents: bool,
    /// A user's JWT and key, as nsc writes them
    #[arg(long, value_name = "FILE", group = "login", requires = "nats")]
    nats_creds: Option<PathBuf>,
    /// The seed of a user's key
    #[arg(long, value_name = "FILE", group = "login", requires = "nats")]
    nats_nkey: Option<PathBuf>,
    /// A token
    #[arg(long, value_name = "FILE", group = "login", requires = "nats")]
    nats_token: Option<PathBuf>,
    /// Certificates of whom to trust; TLS is required then. Default: those of the system
    #[arg(long, value_name = "FILE", requires = "nats")]
    nats_ca: Option<PathBuf>,
    /// Our certificate, where NATS wants one
    #[arg(long, value_name = "FILE", requires = "nats_key")]
    nats_cert: Option<PathBuf>,
    /// The key of our certificate
    #[arg(long, value_name = "FILE", requires = "nats_cert")]
    nats_key: Option<PathBuf>,
    /// For how long a result is tried, from when it happened; then it is parked: kickoff results
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = Span::parse)]
    pub(super) results_retry: Span,
}

impl NatsArgs {
    /// What is to be connected to, if anything.
    pub(super) fn bus(self) -> Option<Bus> {
        let login = self.nats_creds.map(Login::Creds);
        let login = login.or(self.nats_nkey.map(Login::Nkey)).or(self.nats_token.map(Login::Token));
        (!self.nats.is_empty()).then_some(Bus {
            servers: self.nats,
            login,
            ca: self.nats_ca,
            certificate: self.nats_cert.zip(self.nats_key),
        })
    }
}
