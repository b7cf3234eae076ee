//! Where runs run: on this machine, or on a cluster under the instance's name.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::watch;

use super::config::{ExecutorKind, ServeConfig};
use crate::engine::definitions::writer::Instance;
use crate::engine::lease::Holder;
use crate::outside::clock::Clock;
use crate::outside::kubernetes::api::Api;
use crate::outside::kubernetes::{self, Cluster, ConnectError};
use crate::runs::executor::Executor;
use crate::runs::kubernetes::{KubernetesExecutor, KubernetesOptions, Lease, LeaseKeeper, LeaseOptions};
use crate::runs::local::{LocalExecutor, LocalOptions};
use crate::store::sqlite::SqliteStore;

/// Where runs run, and what is at home there.
pub(super) struct Home {
    /// Of the definitions.
    pub(super) namespace: String,
    pub(super) executor: Arc<dyn Executor>,
    /// What belongs to a cluster.
    pub(super) abroad: Option<Abroad>,
}

/// What there is besides where runs become Jobs of a cluster.
pub(super) struct Abroad {
    /// The same as runs use, for what only a cluster's has.
    pub(super) executor: KubernetesExecutor,
    pub(super) api: Api,
    /// Who we are there: where the Lease is, and whose.
    pub(super) me: Instance,
    /// Why it may not be changed.
    pub(super) unheld: watch::Receiver<Vec<String>>,
    pub(super) keeper: LeaseKeeper,
}

/// Why there is no home.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    /// The cluster.
    #[error(transparent)]
    Cluster(#[from] ConnectError),
    /// This machine.
    #[error("can't {what}")]
    Io {
        /// What was being done.
        what: &'static str,
        /// Why not.
        source: std::io::Error,
    },
}

/// Finds it; nothing is asked of a cluster yet. `store` tells our data folder from every other.
pub(super) async fn home(
    config: &ServeConfig,
    store: &SqliteStore,
    clock: &Clock,
) -> Result<Home, HomeError> {
    match &config.executor {
        ExecutorKind::Local => {
            let executor = local(config, clock.clone())?;
            let namespace = config.namespace.clone().unwrap_or_else(|| "default".to_owned());
            tracing::info!(
                "runs are processes of this user on this machine: the local executor isolates nothing"
            );
            Ok(Home { namespace, executor, abroad: None })
        }
        ExecutorKind::Kubernetes { cluster, namespaces } => {
            on_cluster(config, cluster, namespaces, store, clock).await
        }
    }
}

async fn on_cluster(
    config: &ServeConfig,
    cluster: &Cluster,
    namespaces: &[String],
    store: &SqliteStore,
    clock: &Clock,
) -> Result<Home, HomeError> {
    let connection = kubernetes::connect(cluster).await?;
    tracing::info!(server = connection.server, "runs become Jobs of a cluster");
    let (lease, keeper) = Lease::new(LeaseOptions {
        api: connection.api(),
        namespace: connection.namespace.clone(),
        instance: config.instance.clone(),
        me: holder(store.folder(), clock),
        clock: clock.clone(),
    });
    let unheld = lease.trouble();
    let api = connection.api();
    let executor = KubernetesExecutor::open(KubernetesOptions {
        api: api.clone(),
        instance: config.instance.clone(),
        data_folder: store.origin().to_owned(),
        namespaces: namespaces.to_vec(),
        folder: config.data_dir.join("kubernetes"),
        log_cap: super::serve::LOG_CAP,
        clock: clock.clone(),
        lease: Some(lease),
    });
    let executor = executor.map_err(io("open the folder of logs that are being written"))?;
    let me = Instance { namespace: connection.namespace.clone(), name: config.instance.clone() };
    let abroad = Some(Abroad { executor: executor.clone(), api, me, unheld, keeper });
    let namespace = config.namespace.clone().unwrap_or(connection.namespace);
    Ok(Home { namespace, executor: Arc::new(executor), abroad })
}

/// Who wants the Lease: where a person finds it, and since when, which no other process of ours has too.
fn holder(folder: &str, clock: &Clock) -> Holder {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    Holder { folder: folder.to_owned(), process: format!("{host}_{}_{}", std::process::id(), clock.now()) }
}

fn io(what: &'static str) -> impl FnOnce(std::io::Error) -> HomeError {
    move |source| HomeError::Io { what, source }
}

fn local(config: &ServeConfig, clock: Clock) -> Result<Arc<dyn Executor>, HomeError> {
    let binary: PathBuf = std::env::current_exe().map_err(io("find this binary"))?;
    let folder = config.data_dir.join("local");
    let options = LocalOptions {
        folder,
        binary,
        secrets: config.local_secrets.clone(),
        log_cap: super::serve::LOG_CAP,
        clock,
    };
    Ok(Arc::new(LocalExecutor::open(options).map_err(io("open the folder of local runs"))?))
}
