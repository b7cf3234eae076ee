//! The client of a Kubernetes API server: the only constructor of it.
//!
//! It sets no limit of its own on how often it asks, since the API server shares itself out fairly. A call
//! that is not a watch ends after 30 seconds, which its callers see to.

pub mod api;
pub mod feed;
mod held;
#[cfg(test)]
pub(crate) mod scripted;

use std::path::PathBuf;

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

use self::api::Api;

/// Which cluster.
#[derive(Debug, Clone, Default)]
pub struct Cluster {
    /// A kubeconfig; without it `KUBECONFIG`, `~/.kube/config`, or the pod's own service account.
    pub kubeconfig: Option<PathBuf>,
    /// A context of the kubeconfig; without it the current one.
    pub context: Option<String>,
}

/// A client, and where it is at home.
#[derive(Clone)]
pub struct Connection {
    /// Talks to the API server; cheap to clone.
    pub client: Client,
    /// The namespace of the kubeconfig's context, or of the pod; else `default`.
    pub namespace: String,
    /// Where the API server is.
    pub server: String,
}

impl Connection {
    /// Asks the API server.
    pub fn api(&self) -> Api {
        Api::holding(self.client.clone())
    }
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// A kubeconfig.
    #[error("the kubeconfig {}can't be used", file.as_ref().map(|file| format!("{} ", file.display())).unwrap_or_default())]
    Kubeconfig {
        /// Which.
        file: Option<PathBuf>,
        /// Why not.
        source: Box<kube::config::KubeconfigError>,
    },
    /// Neither a kubeconfig nor a service account.
    #[error(
        "no cluster is known here: give --kubeconfig FILE, set KUBECONFIG, or run in a pod with a service \
         account ({0})"
    )]
    Nowhere(Box<kube::config::InferConfigError>),
    /// Certificates, or a helper of the kubeconfig.
    #[error("the client of the API server can't be made: {0}")]
    Client(Box<kube::Error>),
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("server", &self.server).finish_non_exhaustive()
    }
}

/// Makes a client. Nothing is asked of the API server yet, so it may be away.
pub async fn connect(cluster: &Cluster) -> Result<Connection, ConnectError> {
    let config = config(cluster).await?;
    let client = held::client(&config).map_err(|error| ConnectError::Client(Box::new(error)))?;
    let (namespace, server) = (config.default_namespace, config.cluster_url.to_string());
    Ok(Connection { client, namespace, server })
}

async fn config(cluster: &Cluster) -> Result<Config, ConnectError> {
    let options = KubeConfigOptions { context: cluster.context.clone(), ..KubeConfigOptions::default() };
    let refused =
        |source| ConnectError::Kubeconfig { file: cluster.kubeconfig.clone(), source: Box::new(source) };
    match (&cluster.kubeconfig, &cluster.context) {
        (Some(file), _) => {
            let kubeconfig = Kubeconfig::read_from(file).map_err(refused)?;
            Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(refused)
        }
        (None, Some(_)) => Config::from_kubeconfig(&options).await.map_err(refused),
        (None, None) => Config::infer().await.map_err(|error| ConnectError::Nowhere(Box::new(error))),
    }
}
