//! `serve`: the server.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::ValueEnum;
use kickoff::app::config::{ExecutorKind, RetentionPolicy, ServeConfig};
use kickoff::app::definitions::Origin;
use kickoff::app::serve::serve;
use kickoff::engine::definitions::quantity::Span;
use kickoff::store::history::DEDUP_HORIZON_MS;
use tokio::signal::unix::{SignalKind, signal};

use super::output::tell;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Folder of definitions; changes take effect at once
    #[arg(long, value_name = "DIR")]
    definitions: Option<PathBuf>,
    /// Where Jobs run
    #[arg(long, value_enum, default_value_t = Executor::Local)]
    executor: Executor,
    /// Where everything is kept; one server at a time
    #[arg(long, value_name = "DIR", default_value = "kickoff-data")]
    data_dir: PathBuf,
    /// Address to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Namespace of the definitions
    #[arg(long, value_name = "NAME", default_value = "default", value_parser = label)]
    namespace: String,
    /// Name of this Kickoff; keep it for as long as the data folder
    #[arg(long, value_name = "NAME", default_value = "kickoff", value_parser = label)]
    instance: String,
    /// Where people reach this server, for links
    #[arg(long, value_name = "URL", value_parser = web_address)]
    public_url: Option<String>,
    /// Who may use the API: YAML [{name, role, sha256, namespaces, expires}]
    #[arg(long, value_name = "FILE", conflicts_with = "insecure_no_auth")]
    tokens: Option<PathBuf>,
    /// Let everybody on this machine use the API; only on a loopback address
    #[arg(long)]
    insecure_no_auth: bool,
    /// How many runs may go on at once
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..))]
    max_running: u32,
    /// How long events are kept at least; never less than 7d, in which a repeat must be recognised
    #[arg(long, value_name = "DURATION", default_value = "7d", value_parser = event_age)]
    event_max_age: Span,
    /// How many events older than 7d are kept at most, the newest; without it only their age counts
    #[arg(long, value_name = "N")]
    max_events: Option<u64>,
    /// How often it is looked for what need not be kept
    #[arg(long, value_name = "DURATION", default_value = "1m", value_parser = span, hide = true)]
    retention_every: Span,
    /// Secrets and ConfigMaps of local runs, as DIR/NAME/KEY
    #[arg(long, value_name = "DIR")]
    local_secrets: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Executor {
    /// As processes on this machine, isolated from nothing
    Local,
}

/// Serves until it is told to end.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let mut terminate = signal(SignalKind::terminate()).context("can't listen for signals")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("can't listen for signals")?;
    let stop = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    let config = ServeConfig::from(args);
    let origin = config.definitions.clone().map_or(Origin::None, Origin::Folder);
    serve(config, origin, stop, |address| tell(&format!("listening on http://{address}"))).await?;
    Ok(ExitCode::SUCCESS)
}

impl From<Args> for ServeConfig {
    fn from(args: Args) -> Self {
        let Executor::Local = args.executor;
        Self {
            definitions: args.definitions,
            executor: ExecutorKind::Local,
            data_dir: args.data_dir,
            listen: args.listen,
            namespace: args.namespace,
            instance: args.instance,
            public_url: args.public_url,
            tokens: args.tokens,
            insecure_no_auth: args.insecure_no_auth,
            max_running: Some(args.max_running),
            retention: RetentionPolicy {
                every: Duration::from_millis(args.retention_every.as_millis().max(1).unsigned_abs()),
                event_age_ms: args.event_max_age.as_millis(),
                max_events: args.max_events,
            },
            local_secrets: args.local_secrets,
        }
    }
}

fn span(text: &str) -> Result<Span, String> {
    Span::parse(text)
}

fn event_age(text: &str) -> Result<Span, String> {
    let age = Span::parse(text)?;
    if age.as_millis() >= DEDUP_HORIZON_MS { Ok(age) } else { Err("must be at least 7d".to_owned()) }
}

/// A DNS label (RFC 1123), as Kubernetes has names of namespaces.
fn label(text: &str) -> Result<String, String> {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let good = (1..=63).contains(&text.len())
        && text.bytes().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-');
    if good { Ok(text.to_owned()) } else { Err("must be lower-case letters, digits and -".to_owned()) }
}

fn web_address(text: &str) -> Result<String, String> {
    let url = reqwest::Url::parse(text).map_err(|error| error.to_string())?;
    if matches!(url.scheme(), "http" | "https") && url.query().is_none() && url.fragment().is_none() {
        return Ok(text.trim_end_matches('/').to_owned());
    }
    Err("must begin with http:// or https://, and have no query".to_owned())
}
