//! What a Job takes of the processors: of the server, and of the control plane where it is created directly.

use std::fmt;
use std::path::Path;

use super::cluster::Cluster;
use super::process::cpu_ms;

/// What a Job may take of the processors, milliseconds.
const PER_JOB: f64 = 0.4;

/// What was used for so many Jobs, milliseconds.
#[derive(Default, Clone, Copy)]
pub struct Cost {
    /// By the server that made them.
    pub server: u64,
    /// By the control plane, for as many bare creates.
    pub control_plane: u64,
}

impl Cost {
    pub fn each(self, jobs: usize) -> Each {
        #[allow(clippy::cast_precision_loss, reason = "some thousands")]
        let each = |cpu_ms: u64| cpu_ms as f64 / jobs as f64;
        Each { job: each(self.server), create: each(self.control_plane) }
    }
}

/// The same for each of them, milliseconds.
pub struct Each {
    job: f64,
    create: f64,
}

impl Each {
    pub fn is_little(&self) -> bool {
        self.job <= PER_JOB
    }
}

impl fmt::Display for Each {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { job, create } = self;
        write!(formatter, "{job:.2} ms, {:.2}x of the control plane's {create:.2} ms", job / create)
    }
}

/// The processes that a create keeps busy: etcd and the API server.
pub struct ControlPlane(Vec<String>);

impl ControlPlane {
    pub fn of(cluster: &Cluster) -> Self {
        let state = cluster.state().to_str().unwrap();
        let processes = std::fs::read_dir("/proc").unwrap();
        let ids = processes.filter_map(|entry| entry.unwrap().file_name().into_string().ok());
        let ids: Vec<String> = ids.filter(|id| is_part(id, state)).collect();
        assert_eq!(ids.len(), 2, "etcd and the API server of {state}: {ids:?}");
        Self(ids)
    }

    /// What they have used of the processors, milliseconds.
    pub fn cpu_ms(&self) -> u64 {
        self.0.iter().map(|id| cpu_ms(id)).sum()
    }
}

/// Whether a process is one of these, of the cluster whose folder is `state`.
fn is_part(id: &str, state: &str) -> bool {
    // Others end meanwhile.
    let Ok(line) = std::fs::read_to_string(format!("/proc/{id}/cmdline")) else { return false };
    let program = Path::new(line.split('\0').next().unwrap_or_default()).file_name();
    program.is_some_and(|name| name == "etcd" || name == "kube-apiserver") && line.contains(state)
}
