//! `allow`: globs that a rendered value must match to stand where it reaches far.

use super::position::List;
use crate::engine::definitions::config::AllowConfig;
use crate::engine::glob::Glob;

/// The compiled lists.
#[derive(Debug)]
pub(super) struct Allow {
    images: Globs,
    service_accounts: Globs,
    secrets: Globs,
    config_maps: Globs,
    namespaces: Globs,
}

#[derive(Debug)]
struct Globs {
    texts: Vec<String>,
    compiled: Vec<Glob>,
}

impl Allow {
    /// Compiles; every problem as (field below `allow`, message).
    pub(super) fn compile(config: &AllowConfig) -> Result<Self, Vec<(String, String)>> {
        let mut problems = Vec::new();
        let mut list = |name: &str, texts: &[String]| globs(name, texts, &mut problems);
        let allow = Self {
            images: list("images", &config.images),
            service_accounts: list("serviceAccounts", &config.service_accounts),
            secrets: list("secrets", &config.secrets),
            config_maps: list("configMaps", &config.config_maps),
            namespaces: list("namespaces", &config.namespaces),
        };
        if problems.is_empty() { Ok(allow) } else { Err(problems) }
    }

    fn list(&self, list: List) -> &Globs {
        match list {
            List::Images => &self.images,
            List::ServiceAccounts => &self.service_accounts,
            List::Secrets => &self.secrets,
            List::ConfigMaps => &self.config_maps,
            List::Namespaces => &self.namespaces,
        }
    }

    /// Whether the list allows anything at all.
    pub(super) fn is_empty(&self, list: List) -> bool {
        self.list(list).texts.is_empty()
    }

    /// Checks a rendered value.
    pub(super) fn check(&self, list: List, value: &str) -> Result<(), String> {
        let globs = self.list(list);
        if globs.compiled.iter().any(|glob| glob.is_match(value)) {
            return Ok(());
        }
        Err(format!("{value:?} is not allowed: allow.{} has {}", list.name(), globs.texts.join(", ")))
    }
}

fn globs(name: &str, texts: &[String], problems: &mut Vec<(String, String)>) -> Globs {
    let mut compiled = Vec::with_capacity(texts.len());
    for (index, text) in texts.iter().enumerate() {
        match Glob::compile(text) {
            Ok(glob) => compiled.push(glob),
            Err(message) => problems.push((format!("{name}[{index}]"), message)),
        }
    }
    Globs { texts: texts.to_vec(), compiled }
}
