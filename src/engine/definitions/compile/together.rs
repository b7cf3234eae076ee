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
use crate::engine::definitions::partial::{Faults, NO_FAULTS};
use crate::engine::definitions::schema::Finding;

/// A trigger with its document.
pub(super) type Listed<'a> = (&'a LoadedDocument, Arc<Trigger>);

/// A trigger with problems, as far as it could be made.
pub(super) struct Aside<'a> {
    pub(super) listed: Listed<'a>,
    pub(super) faults: &'a Faults,
}

/// What is wrong with which of the triggers beside the others, by their places in the list; those that come first have
/// what they ask for.
type Check = fn(&[Listed<'_>]) -> Vec<(usize, Finding)>;

/// Each takes out of force what it finds, so that the next looks at what is left.
const CHECKS: [Check; 4] = [groups::wrong, watches::wrong, versions::wrong, chains::wrong];

/// Takes out the triggers that can't be beside the others. What is wrong in that way is told of them all, and of those
/// `aside`: none hides what another check finds.
pub(super) fn check<'a>(triggers: &mut Vec<Listed<'a>>, aside: Vec<Aside<'a>>, problems: &mut Problems) {
    // With each the check that told what is wrong with it.
    let mut bad: Vec<(Aside<'a>, Option<usize>)> = aside.into_iter().map(|aside| (aside, None)).collect();
    for (number, check) in CHECKS.iter().enumerate() {
        let mut wrong: BTreeMap<usize, Vec<Finding>> = BTreeMap::new();
        for (at, finding) in check(triggers) {
            wrong.entry(at).or_default().push(finding);
        }
        let mut left = Vec::with_capacity(triggers.len());
        for (at, listed) in std::mem::take(triggers).into_iter().enumerate() {
            if problems.found(listed.0, wrong.remove(&at).unwrap_or_default()) {
                bad.push((Aside { listed, faults: &NO_FAULTS }, Some(number)));
            } else {
                left.push(listed);
            }
        }
        *triggers = left;
    }
    if bad.is_empty() {
        return;
    }
    let good = triggers.len();
    let all: Vec<Listed<'_>> = triggers.iter().chain(bad.iter().map(|(it, _)| &it.listed)).cloned().collect();
    for (number, check) in CHECKS.iter().enumerate() {
        for (at, finding) in check(&all) {
            let Some((Aside { listed: (document, _), faults }, told)) =
                at.checked_sub(good).map(|at| &bad[at])
            else {
                continue;
            };
            if *told != Some(number) {
                problems.found(document, new(vec![finding], faults));
            }
        }
    }
}
