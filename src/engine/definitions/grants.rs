//! What a cluster must let the server do, so that it sees what triggers watch: rules of a Role, as YAML.

use std::collections::{BTreeMap, BTreeSet};

use super::model::Snapshot;
use crate::engine::watch::Kind;

/// How its Roles are called.
const NAME: &str = "kickoff-watches";

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
    if namespaces.is_empty() {
        documents.extend(role(&Grants::of(snapshot, None), None, account));
    }
    for namespace in namespaces {
        let grants = Grants::of(snapshot, Some(namespace));
        documents.extend(role(&grants, Some(namespace), account));
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

/// A Role with its binding, where there is anything to grant.
fn role(grants: &Grants, namespace: Option<&str>, account: &ServiceAccount) -> Option<String> {
    if grants.is_empty() {
        return None;
    }
    let prefix = if namespace.is_some() { "" } else { "Cluster" };
    let place = namespace.map(|namespace| format!("  namespace: {namespace:?}\n")).unwrap_or_default();
    let api = "rbac.authorization.k8s.io";
    let head = |kind: &str| {
        format!("apiVersion: {api}/v1\nkind: {prefix}{kind}\nmetadata:\n  name: {NAME}\n{place}")
    };
    let ServiceAccount { namespace, name } = account;
    let subject = format!("  - kind: ServiceAccount\n    name: {name:?}\n    namespace: {namespace:?}\n");
    let reference = format!("roleRef:\n  apiGroup: {api}\n  kind: {prefix}Role\n  name: {NAME}\n");
    Some(format!(
        "{}{}---\n{}{reference}subjects:\n{subject}",
        head("Role"),
        grants.rules(),
        head("RoleBinding"),
    ))
}

fn rule(group: &str, resources: &str, verbs: &str) -> String {
    format!("  - apiGroups: [{group:?}]\n    resources: [{resources}]\n    verbs: [{verbs}]\n")
}
