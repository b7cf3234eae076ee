//! How much of what all share the resources of one namespace may take.

use std::collections::BTreeMap;
use std::sync::Arc;

use kickoff::app::definitions::cluster::{Resource as Seen, Resources};
use kickoff::app::definitions::lookups::{Answers, Needs};
use kickoff::app::definitions::{FromCluster, InForce, Loader, Origin};
use kickoff::engine::definitions::tenants::Tenants;
use kickoff::engine::ids::ObjectName;
use serde_json::Value;
use tokio::sync::watch;

use super::tenants::{Resource, loaded, snapshot, template};

#[test]
fn a_namespace_has_so_many_definitions_and_others_go_on() {
    let names: Vec<String> = (0..502).map(|index| format!("t{index}")).collect();
    let of_shop = names.iter().map(|name| ("JobTemplate", "shop", name.as_str(), template()));
    let mut resources: Vec<Resource<'_>> = of_shop.collect();
    resources.push(("JobTemplate", "bank", "smoke", template()));
    let made = snapshot(&loaded(&[], &resources, ""), None);
    assert_eq!(made.templates.len(), 501);
    assert!(made.templates.contains_key(&ObjectName::new("bank", "smoke")));
    let told: Vec<String> = made.problems.iter().map(ToString::to_string).collect();
    let too_many =
        |name: &str| format!("JobTemplate shop/{name}: metadata.namespace: shop has 500 older definitions");
    assert_eq!(told.len(), 2, "{told:#?}");
    assert!(told[0].starts_with(&too_many("t500")) && told[1].starts_with(&too_many("t501")), "{told:#?}");
}

/// A template of the cluster that was made in this month.
fn seen(name: &str, month: u8, spec: Value) -> ((String, ObjectName), Arc<Seen>) {
    let (kind, namespace, name) = ("JobTemplate".to_owned(), "shop".to_owned(), name.to_owned());
    let key = (kind.clone(), ObjectName::new("shop", &name));
    let (uid, created) = (name.clone(), format!("2026-{month:02}-01T00:00:00Z"));
    let seen = Seen { kind, namespace, name, uid, generation: 1, created, spec, status: Value::Null };
    (key, Arc::new(seen))
}

#[tokio::test]
async fn the_older_definitions_stay_whatever_the_new_ones_are_called() {
    let mut all: BTreeMap<_, _> = (0..500).map(|index| seen(&format!("t{index}"), 1, template())).collect();
    all.extend([seen("a-new-one", 2, template())]);
    let loader = Loader::new(Origin::None, "default").with_cluster(FromCluster {
        resources: Some(watch::channel(Arc::new(Resources { revision: 1, all })).1),
        tenants: Tenants::new(Vec::new()),
        needs: watch::Sender::new(Needs::default()),
        answers: watch::channel(Arc::<Answers>::default()).1,
        in_force: watch::Sender::new(InForce::default()),
    });
    let mut loader = loader.without_secrets();
    let (made, _) = loader.load_once().await.unwrap();
    let told: Vec<String> = made.problems.iter().map(ToString::to_string).collect();
    assert_eq!((made.templates.len(), told.len()), (500, 1), "{told:#?}");
    assert!(told[0].starts_with("JobTemplate shop/a-new-one: "), "{told:#?}");
}
