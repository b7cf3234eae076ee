//! What `deploy/` grants is what the shipped triggers need; examples that watch other kinds say `kickoff rbac`.

use std::collections::BTreeSet;

use kickoff::engine::definitions::compile::compile;
use kickoff::engine::definitions::crd::{GROUP, every_kind, plural};
use kickoff::engine::definitions::grants::{Grants, ServiceAccount, definition_roles};
use kickoff::engine::definitions::load::load;
use kickoff::engine::definitions::model::Secrets;
use serde_json::Value;

/// Group, resource and verb of each rule of the Roles in a file.
fn granted(file: &str) -> BTreeSet<(String, String, String)> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(&super::read(file)).unwrap();
    let rules = documents.iter().flat_map(|document| document["rules"].as_array().into_iter().flatten());
    let texts = |rule: &Value, name: &str| -> Vec<String> {
        rule[name].as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
    };
    let mut granted = BTreeSet::new();
    for rule in rules {
        for group in texts(rule, "apiGroups") {
            for resource in texts(rule, "resources") {
                for verb in texts(rule, "verbs") {
                    granted.insert((group.clone(), resource.clone(), verb));
                }
            }
        }
    }
    granted
}

#[test]
fn what_shipped_definitions_watch_is_granted() {
    let mut count = 0;
    for folder in ["triggers", "deploy/definitions"] {
        let snapshot = compile(&load(&super::yaml_files(folder), "default"), &Secrets::new(), None);
        let grants = Grants::of(&snapshot, None);
        for file in ["deploy/kickoff-tests/role.yaml", "deploy/all-namespaces/cluster-role.yaml"] {
            let granted = granted(file);
            let check = |group: &str, resource: &str, verb: &str| {
                let wanted = (group.to_owned(), resource.to_owned(), verb.to_owned());
                assert!(granted.contains(&wanted), "{folder} needs {wanted:?}, which {file} does not grant");
            };
            for (group, plurals) in &grants.watched {
                for plural in plurals {
                    check(group, plural, "list");
                    check(group, plural, "watch");
                    count += 1;
                }
            }
            if grants.namespaces {
                check("", "namespaces", "get");
            }
        }
    }
    assert!(count > 0, "nothing that is shipped watches a cluster");
}

#[test]
fn examples_that_watch_say_where_their_grants_come_from() {
    let mut count = 0;
    for folder in super::folders().into_iter().filter(|folder| folder.starts_with("examples/")) {
        let files = super::yaml_files(&folder);
        let snapshot = compile(&load(&files, "default"), &Secrets::new(), None);
        if Grants::of(&snapshot, None).watched.is_empty() {
            continue;
        }
        let command = format!("kickoff rbac {folder} | kubectl apply -f -");
        assert!(files.iter().any(|(_, text)| text.contains(&command)), "{folder} does not say {command:?}");
        count += 1;
    }
    assert!(count > 0, "no example watches a cluster");
}

#[test]
fn what_definitions_as_resources_need_is_granted() {
    let core = |resource: &str| (String::new(), resource.to_owned(), "get".to_owned());
    let mut wanted = BTreeSet::from([core("secrets"), core("namespaces")]);
    for kind in every_kind() {
        for (resource, verb) in [("", "list"), ("", "watch"), ("/status", "patch")] {
            wanted.insert((GROUP.to_owned(), format!("{}{resource}", plural(kind)), verb.to_owned()));
        }
    }
    for place in ["kickoff-tests/role", "all-namespaces/cluster-role"] {
        assert_eq!(granted(&format!("deploy/resources/{place}.yaml")), wanted, "{place}");
    }
    let written: Vec<Value> = serde_saphyr::from_multiple(&definition_roles(&[], &account())).unwrap();
    let shipped: Vec<Value> =
        serde_saphyr::from_multiple(&super::read("deploy/resources/all-namespaces/cluster-role.yaml"))
            .unwrap();
    assert_eq!(written, shipped, "kickoff rbac --definitions-from-cluster writes the same");
}

fn account() -> ServiceAccount {
    ServiceAccount { namespace: "kickoff".to_owned(), name: "kickoff".to_owned() }
}
