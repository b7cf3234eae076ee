//! `allow`: globs that a rendered value must match to stand where it reaches far.

use super::position::List;
use crate::engine::definitions::config::AllowConfig;
use crate::engine::glob::AnyOf;

/// The compiled lists.
#[derive(Debug)]
pub(super) struct Allow {
    images: Entries,
    service_accounts: Entries,
    secrets: Entries,
    config_maps: Entries,
    namespaces: Entries,
    size: usize,
}

/// One list.
#[derive(Debug)]
struct Entries {
    /// Those that are right.
    globs: AnyOf,
    /// Whether none is written, not a wrong one either.
    none: bool,
}

impl Allow {
    /// Compiles what is right; every problem as (field below `allow`, message). Each glob is counted as it is compiled,
    /// and from the first on that brings them to more than `most` bytes none is.
    pub(super) fn compile(config: &AllowConfig, most: usize) -> (Self, Vec<(String, String)>) {
        let (mut problems, mut size) = (Vec::new(), 0);
        let mut list = |name: &str, texts: &[String]| Entries {
            globs: globs(name, texts, most, &mut size, &mut problems),
            none: texts.is_empty(),
        };
        let allow = Self {
            images: list("images", &config.images),
            service_accounts: list("serviceAccounts", &config.service_accounts),
            secrets: list("secrets", &config.secrets),
            config_maps: list("configMaps", &config.config_maps),
            namespaces: list("namespaces", &config.namespaces),
            size,
        };
        (allow, problems)
    }

    /// What the globs hold of memory, bytes.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    fn list(&self, list: List) -> &Entries {
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
        self.list(list).none
    }

    /// Checks a rendered value.
    pub(super) fn check(&self, list: List, value: &str) -> Result<(), String> {
        let globs = &self.list(list).globs;
        if globs.is_match(value) {
            return Ok(());
        }
        Err(format!("{value:?} is not allowed: allow.{} has {}", list.name(), globs.texts().join(", ")))
    }
}

fn globs(
    name: &str,
    texts: &[String],
    most: usize,
    size: &mut usize,
    problems: &mut Vec<(String, String)>,
) -> AnyOf {
    let mut any = AnyOf::default();
    for (index, text) in texts.iter().enumerate() {
        if *size > most {
            break;
        }
        match any.add(text) {
            Ok(held) => *size += held.unwrap_or(text.len()),
            Err(message) => problems.push((format!("{name}[{index}]"), message)),
        }
        if *size > most {
            let message = format!(
                "brings the globs of allow to more than {} MiB when compiled: write fewer",
                most >> 20
            );
            problems.push((format!("{name}[{index}]"), message));
        }
    }
    any
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: usize = 8 << 20;

    #[test]
    fn a_plain_text_is_compared_as_text_and_counts_its_length() {
        let images = vec!["registry/shop:1".to_owned(), "registry/bank:*".to_owned()];
        let config = AllowConfig { images, ..AllowConfig::default() };
        let (allow, problems) = Allow::compile(&config, MOST);
        assert_eq!(problems, []);
        for (value, allowed) in [
            ("registry/shop:1", true),
            ("registry/shop:2", false),
            ("registry/bank:7", true),
            ("registry/bank:*", true),
            ("registry/bank", false),
        ] {
            assert_eq!(allow.check(List::Images, value).is_ok(), allowed, "{value}");
        }
        let names = AllowConfig { secrets: vec!["name".to_owned(); 1_000], ..AllowConfig::default() };
        assert_eq!(Allow::compile(&names, MOST).0.size(), 4_000);
        let one = AllowConfig { secrets: vec!["{a}".to_owned()], ..AllowConfig::default() };
        assert!(Allow::compile(&one, MOST).0.check(List::Secrets, "{a}").is_err(), "it means a");
    }

    #[test]
    fn globs_are_counted_as_they_are_compiled_and_what_is_too_much_is_told_once() {
        let few = AllowConfig { images: vec!["registry/*".to_owned()], ..AllowConfig::default() };
        let size = Allow::compile(&few, MOST).0.size();
        assert!(size >= 1 << 12, "{size}");
        let mut many = AllowConfig { images: vec!["registry/*".to_owned(); 100_000], ..few };
        many.secrets = vec!["[".to_owned()];
        let (allow, problems) = Allow::compile(&many, MOST);
        let [(field, message)] = &problems[..] else { panic!("{} problems", problems.len()) };
        assert_eq!(*field, format!("images[{}]", MOST / size));
        assert_eq!(message, "brings the globs of allow to more than 8 MiB when compiled: write fewer");
        assert!(!allow.is_empty(List::Secrets), "there is one, if it was not looked at");
        assert!(allow.is_empty(List::Namespaces));
    }
}
