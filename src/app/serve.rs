//! Puts the parts together: the only wiring there is.
//!
//! Order of start: store, definitions with the cluster's, lease, gates, launcher, dispatch, watches, schedules,
//! tracker, retention, NATS, HTTP. They stop in reverse, so nothing is accepted any more while what was accepted is
//! still being decided, and the instance's name is let go of when nothing is done under it any more. If we die at
//! any moment, the next start folds the records and goes on.

mod begin;
mod error;
mod gates;
mod health;
mod kubernetes;
mod nats;
mod resources;

use std::collections::BTreeSet;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use self::begin::{auth, bus, define, take_over};
pub use self::error::ServeError;
use self::error::io;
use super::config::ServeConfig;
use super::definitions::Origin;
use super::home::{Abroad, Home, home};
use super::open_files;
use super::supervisor::Supervisor;
use super::telemetry::traces;
use crate::engine::address::Allowed;
use crate::engine::definitions::Snapshot;
use crate::engine::machine::{Input, MachineConfig};
use crate::engine::render::Maker;
use crate::outside::clock::Clock;
use crate::outside::kubernetes::api::Api;
use crate::outside::metrics::Metrics;
use crate::outside::nats::Connection;
use crate::outside::traces::Traces;
use crate::runs::decisions::Decisions;
use crate::runs::dispatch::Dispatch;
use crate::runs::executor::Executor;
use crate::runs::launcher::{LAUNCH_DEADLINE, Launcher};
use crate::runs::logs::Logs;
use crate::runs::observe::Observer;
use crate::runs::retention::Retention;
use crate::runs::tracker::track;
use crate::sources::kubernetes::Blind;
use crate::sources::nats::Deaf;
use crate::sources::schedule::Schedules;
use crate::store::blobs::Blobs;
use crate::store::sqlite::SqliteStore;
use crate::web::auth::Auth;
use crate::web::health::Health;
use crate::web::hooks::Intake;
use crate::web::listener::{self, Limits};
use crate::web::state::WebState;

/// Orders that wait for the launcher.
const ORDERS: usize = 256;
/// Results that wait for the reporter: more than are ordered at once, also after a commit that failed.
const REPORTS: usize = 1_024;
/// Facts that wait for dispatch.
const FACTS: usize = 1_024;
/// Largest log that is kept.
pub(super) const LOG_CAP: u64 = 64 << 20;

/// Serves until `stop`; `ready` is called once with the address.
pub async fn serve(
    config: ServeConfig,
    origin: Origin,
    stop: impl Future<Output = ()>,
    ready: impl FnOnce(SocketAddr),
) -> Result<(), ServeError> {
    serve_until(config, origin, Box::pin(stop), Box::new(ready)).await
}

/// One for all callers, or all that serves would be compiled for each of them.
async fn serve_until(
    config: ServeConfig,
    origin: Origin,
    mut stop: Pin<Box<dyn Future<Output = ()> + '_>>,
    ready: Box<dyn FnOnce(SocketAddr) + '_>,
) -> Result<(), ServeError> {
    if config.insecure_no_auth && !config.listen.ip().is_loopback() {
        return Err(ServeError::Exposed(config.listen));
    }
    let auth = auth(&config)?;
    let bus = bus(&config).await?;
    let clock = Clock::System;
    let store = tokio::select! {
        store = take_over(&config.data_dir, &clock) => store?,
        () = &mut stop => return Ok(()),
    };
    let traces = traces()?;
    let metrics = Metrics::new(clock.now());
    let home = home(&config, &store, &clock).await?;
    let (loader, snapshot, joined) = tokio::select! {
        defined = define(origin, &config, &home, &store) => defined?,
        () = &mut stop => return Ok(()),
    };
    let (publish, snapshots) = watch::channel(snapshot);
    let Home { namespace, executor, mut abroad } = home;
    if let Some(Abroad { keeper, .. }) = &mut abroad {
        tokio::select! {
            taken = keeper.take_over() => taken?,
            () = &mut stop => return Ok(()),
        }
    }
    let blobs = Blobs::open(&config.data_dir.join("logs")).map_err(io("open the logs' folder"))?;
    let listener = TcpListener::bind(config.listen).await;
    let listener = listener.map_err(|source| ServeError::Listen { address: config.listen, source })?;
    let address = listener.local_addr().map_err(io("tell the address"))?;

    metrics.watch_inbox(store.arrived());
    let health = Health::default();
    let tasks = health.part("tasks");
    let parts = Parts {
        deaf: Deaf::new(&config.instance),
        blind: Blind::new(config.executor.namespaces()),
        cluster: abroad.as_ref().map(|abroad| abroad.api.clone()),
        config,
        namespace,
        clock,
        store,
        snapshots,
        executor,
        blobs,
        auth,
        metrics,
        health,
        bus,
    };
    let mut supervisor = Supervisor::default();
    parts.watch_store(&mut supervisor);
    parts.follow_definitions(&mut supervisor, loader, publish, joined);
    parts.work_abroad(&mut supervisor, abroad);
    parts.decide_and_run(&mut supervisor, address, traces.clone())?;
    parts.read_nats(&mut supervisor);
    parts.listen(&mut supervisor, listener);
    tasks.ready();
    ready(address);
    let ended = supervisor
        .run(async {
            stop.await;
            tasks.not_ready("stopping");
        })
        .await;
    if let Err(error) = tokio::task::spawn_blocking(move || traces.flush()).await {
        tracing::debug!(%error, "the last spans were not sent");
    }
    Ok(ended?)
}

struct Parts {
    config: ServeConfig,
    namespace: String,
    clock: Clock,
    store: SqliteStore,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    executor: Arc<dyn Executor>,
    blobs: Blobs,
    auth: Auth,
    metrics: Metrics,
    health: Health,
    deaf: Deaf,
    /// NATS, where one is named.
    bus: Option<Connection>,
    blind: Blind,
    /// The cluster, where runs become Jobs of one.
    cluster: Option<Api>,
}

impl Parts {
    /// What there is to do on a cluster, before anything changes it, so that it stops after that.
    fn work_abroad(&self, supervisor: &mut Supervisor, abroad: Option<Abroad>) {
        let Some(Abroad { executor, unheld, keeper, .. }) = abroad else { return };
        self.tell_trouble(supervisor, "cluster", true, executor.trouble());
        self.tell_trouble(supervisor, "lease", true, unheld);
        supervisor.spawn("lease keeper", |cancel| async move { Ok(keeper.keep(cancel).await?) });
        supervisor.spawn("logs", |cancel| async move {
            executor.follow_logs(cancel).await;
            Ok(())
        });
    }

    /// What decisions depend on besides definitions.
    fn machine(&self, address: SocketAddr) -> MachineConfig {
        let public_url = self.config.public_url.clone().unwrap_or_else(|| format!("http://{address}"));
        MachineConfig {
            instance: self.config.instance.clone(),
            namespace: self.namespace.clone(),
            max_running: self.config.max_running,
            public_url: Some(public_url),
            results: self.results(),
            gate_allow: Allowed::Listed(self.config.gate_allow.clone()),
        }
    }

    /// Who makes the Jobs.
    fn maker(&self) -> Maker {
        let folder = Some(self.store.origin().to_owned());
        Maker { instance: self.config.instance.clone(), folder }
    }

    fn decide_and_run(
        &self,
        supervisor: &mut Supervisor,
        address: SocketAddr,
        traces: Traces,
    ) -> Result<(), ServeError> {
        let (orders, ordered) = mpsc::channel(ORDERS);
        let (facts, told) = mpsc::channel::<Input>(FACTS);
        let (reports, ordered_reports) = mpsc::channel::<u64>(REPORTS);
        let probes = self.ask_gates(supervisor, facts.clone());
        let launcher = Launcher {
            executor: Arc::clone(&self.executor),
            records: Arc::new(self.store.clone()),
            inbox: Arc::new(self.store.clone()),
            blobs: self.blobs.clone(),
            facts: facts.clone(),
            reports,
            probes,
            maker: self.maker(),
            log_cap: LOG_CAP,
            launch_deadline: LAUNCH_DEADLINE,
        };
        supervisor.spawn("launcher", |cancel| async move {
            launcher.run(ordered, cancel).await;
            Ok(())
        });
        let dispatch = Dispatch {
            inbox: Arc::new(self.store.clone()),
            records: Arc::new(self.store.clone()),
            snapshots: self.snapshots.clone(),
            facts: told,
            orders,
            clock: self.clock.clone(),
            config: self.machine(address),
            maker: self.maker(),
            observer: Observer::new(self.metrics.clone(), traces),
        };
        let deciding =
            supervisor.spawn_thread("dispatch", |cancel| async move { Ok(dispatch.run(cancel).await?) });
        deciding.map_err(io("start the dispatch thread"))?;
        self.report(supervisor, ordered_reports, facts.clone());
        self.watch_cluster(supervisor, facts.clone());
        let schedules = Schedules {
            inbox: Arc::new(self.store.clone()),
            records: Arc::new(self.store.clone()),
            snapshots: self.snapshots.clone(),
            clock: self.clock.clone(),
        };
        supervisor.spawn("schedules", |cancel| async move {
            schedules.run(cancel).await;
            Ok(())
        });
        let (executor, seen) = (Arc::clone(&self.executor), facts.clone());
        supervisor.spawn("tracker", |cancel| async move {
            track(executor, seen, cancel).await;
            Ok(())
        });
        let retention = Retention {
            history: self.store.history(),
            records: Arc::new(self.store.clone()),
            blobs: self.blobs.clone(),
            snapshots: self.snapshots.clone(),
            facts,
            clock: self.clock.clone(),
            store: self.store.clone(),
            policy: self.config.retention,
            unused: BTreeSet::new(),
        };
        supervisor.spawn("retention", |cancel| async move {
            retention.run(cancel).await;
            Ok(())
        });
        Ok(())
    }

    fn listen(self, supervisor: &mut Supervisor, listener: TcpListener) {
        let decisions = Decisions::new(
            Arc::new(self.store.clone()),
            Arc::new(self.store.clone()),
            self.namespace.clone(),
        );
        let mut state = WebState {
            inbox: Arc::new(self.store.clone()),
            records: Arc::new(self.store.clone()),
            history: self.store.history(),
            snapshots: self.snapshots,
            logs: Logs { blobs: self.blobs, executor: self.executor },
            auth: Arc::new(self.auth),
            clock: self.clock,
            metrics: self.metrics,
            health: self.health,
            intake: Intake::default(),
            stopping: CancellationToken::new(),
            instance: self.config.instance,
            namespace: self.namespace,
            decisions,
            deaf: self.deaf,
            blind: self.blind,
        };
        let limits = Limits::default();
        let limits = Limits { connections: open_files::make_room(limits.connections), ..limits };
        supervisor.spawn("http", |cancel| async move {
            state.stopping = cancel.clone();
            let router = crate::web::router(state);
            listener::serve(listener, router, limits, cancel).await;
            Ok(())
        });
    }
}
