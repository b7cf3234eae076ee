//! What `serve` is told.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::engine::address::Pattern;
use crate::outside::kubernetes::Cluster;
use crate::outside::nats::Bus;

/// What `serve` is told, as the command line or a test says it.
#[derive(Debug, Clone)]
pub struct ServeConfig {
    /// Folder of definitions; none means no definitions.
    pub definitions: Option<PathBuf>,
    /// Whether resources of the cluster are definitions too.
    pub definitions_from_cluster: bool,
    /// Which labels these have, as Kubernetes writes selectors; empty for any.
    pub definitions_selector: String,
    /// File of what these may do beyond their namespaces.
    pub grants: Option<PathBuf>,
    /// Where Jobs run.
    pub executor: ExecutorKind,
    /// Where everything is kept.
    pub data_dir: PathBuf,
    /// Address to listen on; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Namespace of definitions from files; where it is missing the cluster's own, else `default`.
    pub namespace: Option<String>,
    /// Name of this Kickoff, part of every derived id: fixed for a data folder.
    pub instance: String,
    /// Where people reach the server, for links.
    pub public_url: Option<String>,
    /// File of the tokens that may use the API.
    pub tokens: Option<PathBuf>,
    /// Everybody on this machine may use the API.
    pub insecure_no_auth: bool,
    /// How many runs may go on at once.
    pub max_running: Option<u32>,
    /// What is kept, and how long.
    pub retention: RetentionPolicy,
    /// The NATS that triggers may listen to; none where nobody names one.
    pub nats: Option<Bus>,
    /// For how long a result is tried before it is set aside, milliseconds.
    pub results_retry_ms: i64,
    /// Whether steps of runs are published there as CDEvents.
    pub cdevents: bool,
    /// Which addresses events may choose for gates.
    pub gate_allow: Vec<Pattern>,
    /// Folder with the Secrets and ConfigMaps of local runs, as `<name>/<key>`.
    pub local_secrets: Option<PathBuf>,
}

pub use crate::runs::retention::Policy as RetentionPolicy;

/// Where Jobs run.
#[derive(Debug, Clone)]
pub enum ExecutorKind {
    /// As processes on this machine.
    Local,
    /// As Jobs of a cluster.
    Kubernetes {
        /// Which.
        cluster: Cluster,
        /// The only namespaces that are served; empty for all.
        namespaces: Vec<String>,
    },
}

impl ExecutorKind {
    /// The only namespaces that are served; empty for all.
    pub fn namespaces(&self) -> &[String] {
        match self {
            Self::Local => &[],
            Self::Kubernetes { namespaces, .. } => namespaces,
        }
    }
}
