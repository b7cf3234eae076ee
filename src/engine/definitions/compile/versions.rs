//! One version of each kind: marks and events of an object are the same in whichever version it is read, so two
//! watches of one kind would tell its changes twice. And a bound on what the mark of an object holds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Problems;
use crate::engine::definitions::load::LoadedDocument;
use crate::engine::definitions::model::Trigger;
use crate::engine::definitions::schema::Finding;
use crate::engine::event::Ingress;

/// Most clauses of a kind that are told by themselves: each is a part of the mark of each object.
const MOST_CLAUSES: usize = 100;

/// Takes out the triggers that watch a kind in another version than one before them does, or with more
/// conditions and fields than the mark of an object may hold.
pub(super) fn check(triggers: &mut Vec<(&LoadedDocument, Arc<Trigger>)>, problems: &mut Problems) {
    let mut versions: BTreeMap<Ingress, (String, String)> = BTreeMap::new();
    let mut clauses: BTreeMap<Ingress, BTreeSet<String>> = BTreeMap::new();
    triggers.retain(|(document, trigger)| {
        if trigger.kubernetes().next().is_none() {
            return true;
        }
        let (mut own, mut asked, mut findings) = (versions.clone(), clauses.clone(), Vec::new());
        for source in trigger.kubernetes() {
            let (version, first) = own
                .entry(source.kind.ingress())
                .or_insert_with(|| (source.kind.api_version(), trigger.name.name.clone()));
            if *version != source.kind.api_version() {
                let message = format!(
                    "{} are watched in one version, and trigger {first} says {version}",
                    source.kind.title()
                );
                findings.push(Finding::value("spec.sources", message));
            }
            let asked = asked.entry(source.kind.ingress()).or_default();
            let bound = source.wants().iter().filter(|want| !want.is_shared());
            asked.extend(bound.map(|want| want.key().to_owned()));
            if asked.len() > MOST_CLAUSES {
                let kinds = source.kind.title();
                let message = format!(
                    "{kinds} are watched for {MOST_CLAUSES} conditions, fields and values of oncePer already: no more may be"
                );
                findings.push(Finding::value("spec.sources", message));
            }
        }
        let bad = problems.found(document, findings);
        if !bad {
            (versions, clauses) = (own, asked);
        }
        !bad
    });
}
