//! All templates that triggers may speak of.
//!
//! A trigger is checked also by a template that has problems, so that these hide none of its own; but of what could not
//! be read of the template nothing is told, and nothing ever runs by it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::further::{Bad, new};
use super::patterns::{Held, most, of_allow, of_template};
use super::{Problems, beyond, precedence, template};
use crate::engine::definitions::config::{DocumentConfig, JobTemplateSpec, ParamConfig};
use crate::engine::definitions::load::{Loaded, LoadedDocument};
use crate::engine::definitions::model::{JobTemplate, Snapshot};
use crate::engine::definitions::partial;
use crate::engine::definitions::schema::Finding;
use crate::engine::definitions::tenants::Tenant;
use crate::engine::ids::ObjectName;

/// A template with what was written, for what triggers ask of it.
#[derive(Debug)]
pub(super) struct Template<'a> {
    pub(super) compiled: Arc<JobTemplate>,
    pub(super) spec: &'a JobTemplateSpec,
    /// Whose it is; `None` for one from a file.
    pub(super) tenant: Option<Tenant<'a>>,
    /// Whether it has no problems; else it is for checks alone.
    pub(super) sound: bool,
    /// The fields that could not be read.
    faults: &'a [String],
}

impl<'a> Template<'a> {
    /// Whether all of `field` could be read.
    pub(super) fn reads(&self, field: &str) -> bool {
        !self.faults.iter().any(|fault| partial::follows(field, fault))
    }

    /// Whether every item of the list `field` could be read by its name.
    pub(super) fn lists(&self, field: &str) -> bool {
        let named =
            |fault: &String| fault.rsplit('.').next() == Some("name") && partial::follows(field, fault);
        !self.faults.iter().any(|fault| partial::lost(field, fault) || named(fault))
    }

    /// The params as they are written, but for those of which something could not be read.
    pub(super) fn params(&self) -> impl Iterator<Item = &'a ParamConfig> {
        let all = self.spec.params.iter().enumerate();
        all.filter(|(index, _)| self.reads(&format!("spec.params[{index}]"))).map(|(_, param)| param)
    }
}

/// Compiles them, those in `bad` too. Those with problems count apart, so that what is in force has its room.
pub(super) fn templates<'a>(
    usable: &[&'a LoadedDocument],
    bad: &[Bad<'a>],
    loaded: &'a Loaded,
    previous: Option<&Snapshot>,
    problems: &mut Problems,
) -> BTreeMap<ObjectName, Template<'a>> {
    let (mut templates, mut held, mut aside) = (BTreeMap::new(), Held::default(), Held::default());
    for document in precedence::ordered(usable, previous) {
        let DocumentConfig::JobTemplate(config) = &document.config else { continue };
        let (made, mut findings) = one(document, &config.spec, loaded, previous, &held);
        if let Some(made) = made.as_ref().filter(|_| findings.is_empty()) {
            findings.extend(held.take(document, of_template(made)).err().into_iter().flatten());
        }
        let sound = findings.is_empty();
        let made = made.filter(|made| sound || aside.take(document, of_template(made)).is_ok());
        problems.found(document, findings);
        let (spec, tenant) = (&config.spec, loaded.tenants.of(document));
        let template = made.map(|compiled| Template { compiled, spec, tenant, sound, faults: &[] });
        templates.extend(template.map(|template| (document.object(&loaded.namespace), template)));
    }
    let mut twice = BTreeSet::new();
    for &Bad { document, faults } in bad {
        let DocumentConfig::JobTemplate(config) = &document.config else { continue };
        let (made, findings) = one(document, &config.spec, loaded, None, &aside);
        problems.found(document, new(findings, faults));
        let made = made.filter(|made| aside.take(document, of_template(made)).is_ok());
        let (spec, tenant) = (&config.spec, loaded.tenants.of(document));
        let template = made.map(|compiled| Template { compiled, spec, tenant, sound: false, faults });
        let name = document.object(&loaded.namespace);
        if templates.contains_key(&name) {
            twice.insert(name);
        } else {
            templates.extend(template.map(|template| (name, template)));
        }
    }
    // Which of two is meant nobody knows.
    templates.retain(|name, template| template.sound || !twice.contains(name));
    templates
}

/// A template as far as it can be made, and all that is wrong with it.
fn one(
    document: &LoadedDocument,
    spec: &JobTemplateSpec,
    loaded: &Loaded,
    previous: Option<&Snapshot>,
    held: &Held,
) -> (Option<Arc<JobTemplate>>, Vec<Finding>) {
    let mut findings = beyond::template(loaded.tenants.of(document), spec);
    if let Err(full) = held.may_take(document, of_allow(&spec.allow)) {
        findings.extend(full);
        return (None, findings);
    }
    let (name, hash) = (document.object(&loaded.namespace), &document.document.hash);
    let old = previous.and_then(|previous| previous.templates.get(&name));
    let (made, wrong) = template::compile(name, hash, spec, old, most(document));
    findings.extend(wrong);
    (made, findings)
}
