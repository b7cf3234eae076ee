//! `serve`: the server.

mod nats;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::ValueEnum;
use kickoff::app::config::{ExecutorKind, RetentionPolicy, ServeConfig};
use kickoff::app::definitions::Origin;
use kickoff::app::serve::serve;
use kickoff::engine::address::Pattern;
use kickoff::engine::definitions::quantity::Span;
use kickoff::outside::kubernetes::Cluster;
use kickoff::store::history::DEDUP_HORIZON_MS;
use tokio::signal::unix::{SignalKind, signal};

use self::nats::NatsArgs;
use super::Usage;
use super::output::tell;

/// How many runs go on at once on this machine, where nothing else is said.
const LOCAL_MAX_RUNNING: u32 = 8;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Folder of definitions; changes take effect at once
    #[arg(long, value_name = "DIR")]
    definitions: Option<PathBuf>,
    /// Also take definitions that are resources of the executor's cluster; kickoff crds makes their kinds
    #[arg(long)]
    definitions_from_cluster: bool,
    /// Of these only those with these labels, as kickoff.dev/instance=staging; where a cluster has several servers,
    /// each needs labels that no other takes
    #[arg(long, value_name = "LABELS", requires = "definitions_from_cluster", value_parser = selector)]
    definitions_selector: Option<String>,
    /// What resources may do beyond their namespaces: YAML [{namespaces, runNamespaces, watchNamespaces,
    /// clusterKinds, natsSubjects, gateAddresses, maxPriority}]
    #[arg(long, value_name = "FILE", requires = "definitions_from_cluster")]
    grants: Option<PathBuf>,
    /// Where Jobs run
    #[arg(long, value_enum, default_value_t = Executor::Local)]
    executor: Executor,
    /// Cluster of the executor kubernetes; default KUBECONFIG, ~/.kube/config, or the pod's service account
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig; default its current one
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
    /// Serve Jobs in these namespaces only, each with a Role; default all of the cluster
    #[arg(long, value_name = "NAME,...", value_delimiter = ',', value_parser = label)]
    namespaces: Vec<String>,
    /// Where everything is kept; one server at a time
    #[arg(long, value_name = "DIR", default_value = "kickoff-data")]
    data_dir: PathBuf,
    /// Address to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Namespace of the definitions; default the kubeconfig's or the pod's, else `default`
    #[arg(long, value_name = "NAME", value_parser = label)]
    namespace: Option<String>,
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
    /// How many runs may go on at once; default 8 on this machine, no limit on a cluster
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    max_running: Option<u32>,
    /// How long events are kept at least; never less than 7d, in which a repeat must be recognised
    #[arg(long, value_name = "DURATION", default_value = "7d", value_parser = event_age)]
    event_max_age: Span,
    /// How many events older than 7d are kept at most, the newest; without it only their age counts
    #[arg(long, value_name = "N")]
    max_events: Option<u64>,
    /// How often it is looked for what need not be kept
    #[arg(long, value_name = "DURATION", default_value = "1m", value_parser = span, hide = true)]
    retention_every: Span,
    #[command(flatten)]
    nats: NatsArgs,
    /// An address that events may choose for a gate, as http://*.shop.svc/healthz; may be given several times
    #[arg(long, value_name = "URL", value_parser = Pattern::parse)]
    gate_allow: Vec<Pattern>,
    /// Secrets and ConfigMaps of local runs, as DIR/NAME/KEY
    #[arg(long, value_name = "DIR")]
    local_secrets: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Executor {
    /// As processes on this machine, isolated from nothing
    Local,
    /// As Jobs of a cluster
    Kubernetes,
}

/// Serves until it is told to end.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    if args.definitions_from_cluster && matches!(args.executor, Executor::Local) {
        let why = "--definitions-from-cluster needs a cluster: add --executor kubernetes";
        return Err(Usage(why.to_owned()).into());
    }
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
        let (executor, most) = match args.executor {
            Executor::Local => (ExecutorKind::Local, Some(LOCAL_MAX_RUNNING)),
            Executor::Kubernetes => {
                let cluster = Cluster { kubeconfig: args.kubeconfig, context: args.context };
                (ExecutorKind::Kubernetes { cluster, namespaces: args.namespaces }, None)
            }
        };
        Self {
            definitions: args.definitions,
            definitions_from_cluster: args.definitions_from_cluster,
            definitions_selector: args.definitions_selector.unwrap_or_default(),
            grants: args.grants,
            executor,
            data_dir: args.data_dir,
            listen: args.listen,
            namespace: args.namespace,
            instance: args.instance,
            public_url: args.public_url,
            tokens: args.tokens,
            insecure_no_auth: args.insecure_no_auth,
            max_running: args.max_running.or(most),
            retention: RetentionPolicy {
                every: Duration::from_millis(args.retention_every.as_millis().max(1).unsigned_abs()),
                event_age_ms: args.event_max_age.as_millis(),
                max_events: args.max_events,
            },
            results_retry_ms: args.nats.results_retry.as_millis(),
            cdevents: args.nats.cdevents,
            nats: args.nats.bus(),
            gate_allow: args.gate_allow,
            local_secrets: args.local_secrets,
        }
    }
}

/// A selector of labels; more than that it is one line only the API server knows.
fn selector(text: &str) -> Result<String, String> {
    let good = !text.trim().is_empty() && text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    if good {
        Ok(text.trim().to_owned())
    } else {
        Err("must be labels, as kickoff.dev/instance=a".to_owned())
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
pub(super) fn label(text: &str) -> Result<String, String> {
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
