//! What triggers must agree on, or may have only so much of in all.
//!
//! A trigger with problems of its own is looked at beside the good ones, so that all is told at once; but what it would
//! take counts for nobody else, and takes no good one out of force.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::further::new;
use super::{Problems, chains, groups, versions, watches};
use crate::engine::definitions::load::LoadedDocument;
use crate::engine::definitions::model::Trigger;
use crate::engine::definitions::schema::Finding;

/// A trigger with its document.
pub(super) type Listed<'a> = (&'a LoadedDocument, Arc<Trigger>);

/// A trigger with problems, as far as it could be made, and the fields that could not be read.
pub(super) struct Aside<'a> {
    pub(super) listed: Listed<'a>,
    pub(super) faults: &'a [String],
}

/// What is wrong with which of the triggers beside the others, by their places in the list; those that come first have
/// what they ask for.
type Check = fn(&[Listed<'_>]) -> Vec<(usize, Finding)>;

/// Each looks only at what the ones before it have left.
const CHECKS: [Check; 4] = [groups::wrong, watches::wrong, versions::wrong, chains::wrong];

/// Takes out the triggers that can't be beside the others, and names each and what is wrong in that way with those
/// `aside`.
pub(super) fn check<'a>(triggers: &mut Vec<Listed<'a>>, aside: &[Aside<'a>], problems: &mut Problems) {
    for check in CHECKS {
        let mut wrong: BTreeMap<usize, Vec<Finding>> = BTreeMap::new();
        for (at, finding) in check(triggers) {
            wrong.entry(at).or_default().push(finding);
        }
        let mut places = 0..;
        triggers.retain(|(document, _)| {
            let findings = places.next().and_then(|at| wrong.remove(&at));
            !problems.found(document, findings.unwrap_or_default())
        });
    }
    if aside.is_empty() {
        return;
    }
    let good = triggers.len();
    let all: Vec<Listed<'_>> = triggers.iter().chain(aside.iter().map(|it| &it.listed)).cloned().collect();
    for (at, finding) in CHECKS.iter().flat_map(|check| check(&all)) {
        let Some(Aside { listed: (document, _), faults }) = at.checked_sub(good).map(|at| &aside[at]) else {
            continue;
        };
        problems.found(document, new(vec![finding], faults));
    }
}
