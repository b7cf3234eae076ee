//! All templates that triggers may speak of.
//!
//! A trigger is checked also by a template that has problems, so that these hide none of its own; but of what could not
//! be read of the template nothing is told, and nothing ever runs by it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::further::{Bad, new};
use super::patterns::{Held, most, of_allow, of_template};
use super::{Problems, beyond, precedence, template};
use crate::engine::definitions::config::{DocumentConfig, JobTemplateSpec, ParamConfig};
use crate::engine::definitions::load::{Loaded, LoadedDocument};
use crate::engine::definitions::model::{JobTemplate, Snapshot};
use crate::engine::definitions::partial::{Faults, NO_FAULTS};
use crate::engine::definitions::schema::Finding;
use crate::engine::definitions::tenants::{Tenant, Tenants};
use crate::engine::ids::ObjectName;

/// Fields of a param that say which values it takes: without one of them a good value may look wrong. Without the
/// others less is refused.
pub(super) const OF_VALUES: [&str; 2] = ["type", "enum"];

/// A template with what was written, for what triggers ask of it.
#[derive(Debug)]
pub(super) struct Template<'a> {
    pub(super) compiled: Arc<JobTemplate>,
    pub(super) spec: &'a JobTemplateSpec,
    /// Whose it is; `None` for one from a file.
    pub(super) tenant: Option<Tenant<'a>>,
    /// Whether it has no problems; else it is for checks alone.
    pub(super) sound: bool,
    faults: &'a Faults,
}

impl<'a> Template<'a> {
    fn new(
        document: &'a LoadedDocument,
        spec: &'a JobTemplateSpec,
        compiled: Arc<JobTemplate>,
        tenants: &'a Tenants,
        (sound, faults): (bool, &'a Faults),
    ) -> Self {
        Self { compiled, spec, tenant: tenants.of(document), sound, faults }
    }

    /// Whether all of `field` could be read; see [`Faults::reads`].
    pub(super) fn reads(&self, field: &str) -> bool {
        self.faults.knows(field)
    }

    /// Whether it could be read which values the param takes.
    pub(super) fn reads_values(&self, name: &str) -> bool {
        let at = self.spec.params.iter().position(|param| param.name == name);
        at.is_some_and(|at| OF_VALUES.iter().all(|field| self.reads(&format!("spec.params[{at}].{field}"))))
    }

    /// The params that must be given, of those that could be read so far.
    pub(super) fn required(&self) -> impl Iterator<Item = &'a ParamConfig> {
        let read = |at: &usize| {
            ["name", "default", "required"]
                .iter()
                .all(|field| self.reads(&format!("spec.params[{at}].{field}")))
        };
        let all = self
            .spec
            .params
            .iter()
            .enumerate()
            .filter(|(_, param)| param.required && param.default.is_none());
        all.filter(move |(at, _)| read(at)).map(|(_, param)| param)
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
        problems.found(document, findings);
        if let Some(made) = made.filter(|made| sound || aside.take(document, of_template(made)).is_ok()) {
            let template = Template::new(document, &config.spec, made, &loaded.tenants, (sound, &NO_FAULTS));
            templates.insert(document.object(&loaded.namespace), template);
        }
    }
    for Bad { document, faults, is_one, .. } in bad {
        let DocumentConfig::JobTemplate(config) = &document.config else { continue };
        let (made, findings) = one(document, &config.spec, loaded, None, &held);
        problems.found(document, new(findings, faults));
        if let Some(made) = made.filter(|made| *is_one && aside.take(document, of_template(made)).is_ok()) {
            let template = Template::new(document, &config.spec, made, &loaded.tenants, (false, faults));
            templates.insert(document.object(&loaded.namespace), template);
        }
    }
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
