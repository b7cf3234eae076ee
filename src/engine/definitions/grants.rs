//! What a cluster must let the server do, so that it sees what triggers watch, and definitions that are resources: rules
//! of a Role, as YAML.

use std::collections::{BTreeMap, BTreeSet};

use super::crd::{GROUP, every_kind, plural};
use super::model::Snapshot;
use super::writer::Instance;
use crate::engine::watch::Kind;

/// How the Roles for what triggers watch are called.
const WATCHES: &str = "kickoff-watches";
/// How those for definitions that are resources are called.
const DEFINITIONS: &str = "kickoff-definitions";
/// How the names of those for the Leases of other servers begin.
const INSTANCES: &str = "kickoff-other-instances";
/// The Secret that Webhooks name in what is shipped.
const SECRET: &str = "kickoff-webhooks";

/// What is needed in one place.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grants {
    /// Plurals by API group; both as Roles write them.
    pub watched: BTreeMap<String, BTreeSet<String>>,
    /// Groups and plurals that are guesses.
    pub guessed: BTreeSet<(String, String)>,
    /// Kinds that can't be watched from a namespace.
    pub out_of_reach: BTreeSet<String>,
    /// Whether labels of namespaces are asked for.
    pub namespaces: bool,
}

/// Who is granted it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceAccount {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl Grants {
    /// What the triggers need in a namespace, or in the whole cluster.
    pub fn of(snapshot: &Snapshot, namespace: Option<&str>) -> Self {
        let mut grants = Self::default();
        for watched in snapshot.triggers.iter().flat_map(|trigger| trigger.watched()) {
            if namespace.is_some_and(|namespace| !watched.reaches(namespace)) {
                continue;
            }
            grants.watch(&watched.kind(), namespace);
            grants.namespaces |= watched.asks_for_namespaces();
        }
        grants
    }

    fn watch(&mut self, kind: &Kind, namespace: Option<&str>) {
        let plural = match kind.built_in() {
            Some(resource) if namespace.is_some() && !resource.namespaced => {
                self.out_of_reach.insert(kind.title());
                return;
            }
            Some(resource) => resource.plural,
            None => {
                let plural = kind.guessed_plural();
                self.guessed.insert((kind.group().to_owned(), plural.clone()));
                plural
            }
        };
        self.watched.entry(kind.group().to_owned()).or_default().insert(plural);
    }

    fn is_empty(&self) -> bool {
        self.watched.is_empty() && !self.namespaces
    }

    /// The rules, each with what is to be checked about it.
    fn rules(&self) -> String {
        let mut text = "rules:\n".to_owned();
        for (group, plurals) in &self.watched {
            let guesses = plurals.iter().filter(|plural| self.is_guess(group, plural));
            let check = |plural: &String| {
                format!("  # {plural} is a guess: check it by kubectl api-resources --api-group={group}\n")
            };
            text.extend(guesses.map(check));
            let plurals: Vec<&str> = plurals.iter().map(String::as_str).collect();
            text += &rule(group, &plurals.join(", "), "list, watch");
        }
        if self.namespaces {
            text += &rule("", "namespaces", "get");
        }
        text
    }

    fn is_guess(&self, group: &str, plural: &str) -> bool {
        self.guessed.iter().any(|(of, guess)| of == group && guess == plural)
    }
}

/// Roles and their bindings: of the whole cluster, or of each namespace.
pub fn roles(snapshot: &Snapshot, namespaces: &[String], account: &ServiceAccount) -> String {
    let mut documents = Vec::new();
    let mut out_of_reach = BTreeSet::new();
    let of = |grants: &Grants, namespace: Option<&str>| {
        (!grants.is_empty()).then(|| role(WATCHES, &grants.rules(), namespace, account))
    };
    if namespaces.is_empty() {
        documents.extend(of(&Grants::of(snapshot, None), None));
    }
    for namespace in namespaces {
        let grants = Grants::of(snapshot, Some(namespace));
        documents.extend(of(&grants, Some(namespace)));
        out_of_reach.extend(grants.out_of_reach);
    }
    let why = "are in no namespace: a server of only some namespaces does not see them";
    let lines: Vec<String> = out_of_reach.iter().map(|kinds| format!("# {kinds} {why}.\n")).collect();
    let mut text = lines.concat();
    if documents.is_empty() {
        text += "# No trigger watches anything here.\n";
    }
    text + &documents.join("---\n")
}

/// Roles and their bindings for definitions that are resources: of the whole cluster, or of each namespace. Which
/// Secrets they name is not known, so only the one of what is shipped may be read.
pub fn definition_roles(namespaces: &[String], account: &ServiceAccount) -> String {
    let kinds: Vec<String> = every_kind().into_iter().map(plural).collect();
    let statuses: Vec<String> = kinds.iter().map(|kind| format!("{kind}/status")).collect();
    let rules = format!(
        "rules:\n{}{}  # The Secrets that Webhooks name: add others to resourceNames.\n  - apiGroups: [\"\"]\n    \
         resources: [secrets]\n    resourceNames: [{SECRET}]\n    verbs: [get]\n  # Where allowedNamespaces of a Webhook \
         chooses by labels.\n{}",
        rule(GROUP, &kinds.join(", "), "list, watch"),
        rule(GROUP, &statuses.join(", "), "patch"),
        rule("", "namespaces", "get"),
    );
    let of = |namespace: Option<&str>| role(DEFINITIONS, &rules, namespace, account);
    if namespaces.is_empty() {
        return of(None);
    }
    let each: Vec<String> = namespaces.iter().map(|namespace| of(Some(namespace))).collect();
    each.join("---\n")
}

/// Roles and their bindings in the namespaces of other servers that serve some of the same resources: to read the Lease
/// of each of these and of no other, so that its statuses are left to it for as long as it runs, and no longer. Those
/// of each account have a name of their own, so that several servers may read Leases in one namespace.
pub fn instance_roles(others: &[Instance], account: &ServiceAccount) -> String {
    let mut each = BTreeMap::<&str, BTreeSet<String>>::new();
    for other in others {
        each.entry(&other.namespace).or_default().insert(format!("kickoff-{}", other.name));
    }
    // No namespace has a dot in its name, so that this is of no other account.
    let called = format!("{INSTANCES}-{}.{}", account.namespace, account.name);
    let of = |(namespace, leases): (&str, BTreeSet<String>)| {
        let leases: Vec<String> = leases.into_iter().collect();
        let rules = format!(
            "rules:\n  - apiGroups: [\"coordination.k8s.io\"]\n    resources: [leases]\n    resourceNames: [{}]\n    \
             verbs: [get]\n",
            leases.join(", ")
        );
        role(&called, &rules, Some(namespace), account)
    };
    each.into_iter().map(of).collect::<Vec<_>>().join("---\n")
}

/// A Role with its binding.
fn role(called: &str, rules: &str, namespace: Option<&str>, account: &ServiceAccount) -> String {
    let prefix = if namespace.is_some() { "" } else { "Cluster" };
    let place = namespace.map(|namespace| format!("  namespace: {namespace:?}\n")).unwrap_or_default();
    let api = "rbac.authorization.k8s.io";
    let head = |kind: &str| {
        format!("apiVersion: {api}/v1\nkind: {prefix}{kind}\nmetadata:\n  name: {called}\n{place}")
    };
    let ServiceAccount { namespace, name } = account;
    let subject = format!("  - kind: ServiceAccount\n    name: {name:?}\n    namespace: {namespace:?}\n");
    let reference = format!("roleRef:\n  apiGroup: {api}\n  kind: {prefix}Role\n  name: {called}\n");
    format!("{}{rules}---\n{}{reference}subjects:\n{subject}", head("Role"), head("RoleBinding"))
}

fn rule(group: &str, resources: &str, verbs: &str) -> String {
    format!("  - apiGroups: [{group:?}]\n    resources: [{resources}]\n    verbs: [{verbs}]\n")
}
