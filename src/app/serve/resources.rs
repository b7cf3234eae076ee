//! Definitions that are resources of the cluster: what a loader is joined with before it begins, and the tasks that
//! follow them and tell what came of them.
//!
//! The cluster may be away: a start waits a moment for it, and goes on with what was seen last.

use std::sync::Arc;

use tokio::sync::watch;

use super::super::config::ServeConfig;
use super::super::definitions::cluster::{ClusterWatch, Resources};
use super::super::definitions::lookups::Lookups;
use super::super::definitions::status::Statuses;
use super::super::definitions::{FromCluster, InForce, Loader};
use super::super::home::Abroad;
use super::super::supervisor::Supervisor;
use super::{Parts, ServeError};
use crate::engine::definitions::Snapshot;
use crate::engine::definitions::tenants::{Tenants, parse};
use crate::engine::definitions::writer::Instance;
use crate::outside::kubernetes::api::Api;

/// What a loader was joined with.
pub(super) struct Joined {
    api: Api,
    me: Instance,
    lookups: Lookups,
    unheld: watch::Receiver<Vec<String>>,
    in_force: watch::Receiver<InForce>,
    /// Where definitions are resources too.
    seen: Option<(ClusterWatch, watch::Receiver<Arc<Resources>>)>,
}

/// What resources may do beyond their namespaces.
pub(super) fn tenants(config: &ServeConfig) -> Result<Tenants, ServeError> {
    let Some(file) = &config.grants else { return Ok(Tenants::default()) };
    let shown = file.display().to_string();
    let unreadable = |error: std::io::Error| ServeError::Grants(format!("{shown} can't be read: {error}"));
    let text = std::fs::read_to_string(file).map_err(unreadable)?;
    let grants = parse(&shown, &text).map_err(|problems| {
        let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
        ServeError::Grants(problems.join("\n"))
    })?;
    Ok(Tenants::new(grants))
}

/// Joins a loader with the cluster, where there is one, and waits a moment for what it has.
pub(super) async fn join(
    loader: Loader,
    config: &ServeConfig,
    tenants: Tenants,
    abroad: Option<&Abroad>,
) -> (Loader, Option<Joined>) {
    let Some(Abroad { api, me, unheld, .. }) = abroad else { return (loader, None) };
    let (lookups, needs, answers) = Lookups::new(api.clone(), &config.data_dir);
    let (told, in_force) = watch::channel(InForce::default());
    let mut seen = None;
    if config.definitions_from_cluster {
        let (namespaces, labels) = (config.executor.namespaces(), &config.definitions_selector);
        let (mut cluster, resources) = ClusterWatch::new(api, namespaces, labels, &config.data_dir);
        cluster.begin().await;
        seen = Some((cluster, resources));
    }
    let resources = seen.as_ref().map(|(_, resources)| resources.clone());
    let loader = loader.with_cluster(FromCluster { resources, tenants, needs, answers, in_force: told });
    (
        loader,
        Some(Joined { api: api.clone(), me: me.clone(), lookups, unheld: unheld.clone(), in_force, seen }),
    )
}

impl Joined {
    /// Asks for what the definitions need, for a moment.
    pub(super) async fn ask(&mut self) {
        self.lookups.begin().await;
    }
}

impl Parts {
    /// Follows the definitions. Once loaded they stay in force, whatever becomes of the folder and of the cluster.
    pub(super) fn follow_definitions(
        &self,
        supervisor: &mut Supervisor,
        loader: Loader,
        publish: watch::Sender<Arc<Snapshot>>,
        joined: Option<Joined>,
    ) {
        self.tell_trouble(supervisor, "definitions", true, loader.trouble());
        supervisor.spawn("definition loader", |cancel| async move {
            loader.run(publish, cancel).await;
            Ok(())
        });
        self.follow_resources(supervisor, joined);
    }

    /// Follows what the cluster has, and tells there what came of it. It turns no delivery away.
    fn follow_resources(&self, supervisor: &mut Supervisor, joined: Option<Joined>) {
        let Some(Joined { api, me, lookups, unheld, in_force, seen }) = joined else { return };
        supervisor.spawn("lookups", |cancel| async move {
            lookups.run(cancel).await;
            Ok(())
        });
        let Some((cluster, resources)) = seen else { return };
        self.tell_trouble(supervisor, "resources", true, cluster.trouble());
        supervisor.spawn("cluster definitions", |cancel| async move {
            cluster.run(cancel).await;
            Ok(())
        });
        let (trouble, told) = watch::channel(Vec::new());
        self.tell_trouble(supervisor, "statuses", false, told);
        let (history, clock) = (self.store.history(), self.clock.clone());
        let (deaf, blind) = (self.deaf.clone(), self.blind.clone());
        let statuses =
            Statuses { api, me, in_force, resources, history, clock, unheld, deaf, blind, trouble };
        supervisor.spawn("status writer", |cancel| async move {
            statuses.run(cancel).await;
            Ok(())
        });
    }
}
