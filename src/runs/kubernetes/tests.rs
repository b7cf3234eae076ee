//! What is begun before its commit is durable, under a Lease.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::time::Instant;

use super::*;
use crate::engine::ids::RunId;
use crate::engine::render::Manifest;
use crate::outside::kubernetes::scripted;

#[tokio::test]
async fn what_was_begun_under_a_lease_that_is_lost_by_then_is_not_made() {
    for stays in [true, false] {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let api = scripted::api(move |_| {
            count.fetch_add(1, Ordering::Relaxed);
            Some((201, json!({"metadata": {"name": "a", "namespace": "ns", "uid": "u"}}).to_string()))
        });
        let (relied_on_until, lease) = Lease::relied_on(Some(Instant::now() + Duration::from_mins(1)));
        let folder = tempfile::tempdir().unwrap();
        let executor = KubernetesExecutor::open(KubernetesOptions {
            api,
            instance: "test".to_owned(),
            data_folder: "0123456789abcdef".to_owned(),
            namespaces: Vec::new(),
            folder: folder.path().to_owned(),
            log_cap: 1,
            clock: Clock::System,
            lease: Some(lease),
        });
        let spec = JobSpec {
            id: JobId { run: RunId::parse(&"a".repeat(20)).unwrap(), attempt: 1 },
            name: "a".to_owned(),
            namespace: "ns".to_owned(),
            manifest: Manifest::of(&json!({"spec": {}})).unwrap(),
            timeout_ms: 1_000,
        };
        let (giver, clearance) = clearance::clearance();
        let executor = executor.unwrap();
        let create = executor.create_once(&spec, clearance);
        let meanwhile = async {
            if !stays {
                relied_on_until.send_replace(None);
            }
            giver.give();
        };
        let (created, ()) = tokio::join!(create, meanwhile);
        assert_eq!((created.is_ok(), asked.load(Ordering::Relaxed)), (stays, usize::from(stays)));
    }
}
