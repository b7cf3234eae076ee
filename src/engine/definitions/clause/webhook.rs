//! Deliveries of Webhooks: forks, repositories, branches, paths. Where a payload can't tell, the event passes and the
//! decision says so.

use super::cut;
use super::globs::{Found, Globs, matching};
use crate::engine::definitions::config::Forks;
use crate::engine::event::Git;
use crate::engine::ids::ObjectName;
use crate::engine::values::Facts;
use crate::engine::webhook::Change;

/// What is too much to compare with globs.
const TOO_LONG: &str = "names, too long in all to compare with these globs";

/// Which deliveries of which Webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookSource {
    /// The Webhook.
    pub webhook: ObjectName,
    /// Event types with `com.<provider>.` in front; empty means all. `a.b` also covers `a.b.c`.
    pub events: Vec<String>,
    /// What its Webhook says of pull requests from forks.
    pub forks: Forks,
    /// Repositories; none means all.
    pub repositories: Globs,
    /// Branches; none means all.
    pub branches: Globs,
    /// Files of which one must have changed; none means any.
    pub paths: Globs,
}

impl WebhookSource {
    pub(super) fn admits(
        &self,
        git: Option<&Git>,
        event_type: &str,
        facts: &Facts,
    ) -> Result<Option<String>, String> {
        let none = Git::default();
        let git = git.unwrap_or(&none);
        if let Some(what) = &facts.change().deleted {
            return Err(format!("the {} was deleted: there is no commit to test", cut(what)));
        }
        let fork = self.fork(git, event_type)?;
        matching("repository", git.repository.as_deref(), &self.repositories)?;
        let branch = self.branch(git, facts.change())?;
        let paths = self.paths(facts)?;
        let notes: Vec<String> = [fork, branch, paths].into_iter().flatten().collect();
        Ok((!notes.is_empty()).then(|| notes.join("; ")))
    }

    fn fork(&self, git: &Git, event_type: &str) -> Result<Option<String>, String> {
        let denied = format!("webhook {} denies them (forks: Deny)", self.webhook.name);
        match (self.forks, git.fork, git.number) {
            (Forks::Allow, ..) | (_, Some(false), _) => Ok(None),
            (_, Some(true), _) => Err(format!("it comes from a fork, and {denied}")),
            (_, None, Some(_)) => Err(format!("whether it comes from a fork is not told, and {denied}")),
            // Told by no payload of these types, although a fork can cause them.
            (_, None, None) if event_type.starts_with("com.github.workflow_job") => {
                Ok(Some("forks not checked: the payload does not tell".to_owned()))
            }
            (_, None, None) => Ok(None),
        }
    }

    /// Of a pull request the branch that it goes into counts, of all else its own.
    fn branch(&self, git: &Git, change: &Change) -> Result<Option<String>, String> {
        let branch = git.base_branch.as_deref().or(git.branch.as_deref());
        let own = self.branches.find(branch);
        if self.branches.any() || matches!(own, Found::Match(_)) {
            return Ok(None);
        }
        match (self.branches.find(change.branches.iter().map(String::as_str)), own) {
            (Found::Match(other), _) => Ok(Some(format!(
                "the push also moved {}; git is that of {}",
                cut(other),
                cut(branch.unwrap_or("another reference"))
            ))),
            (Found::Unasked, _) => {
                Ok(Some(format!("branches not checked: the push moved {} {TOO_LONG}", change.branches.len())))
            }
            (Found::Nothing, Found::Unasked) => Ok(Some(
                "branches not checked: the name of the branch is too long to compare with these globs"
                    .to_owned(),
            )),
            (Found::Nothing, _) => matching("branch", branch, &self.branches).map(|()| None),
        }
    }

    fn paths(&self, facts: &Facts) -> Result<Option<String>, String> {
        if self.paths.any() {
            return Ok(None);
        }
        let paths = facts.paths();
        match self.paths.find(paths.listed.iter().map(String::as_str)) {
            Found::Match(_) => return Ok(None),
            Found::Nothing => {}
            Found::Unasked => {
                let listed = paths.listed.len();
                return Ok(Some(format!("paths not checked: the push lists {listed} {TOO_LONG}")));
            }
        }
        match &paths.untold {
            Some(why) => Ok(Some(format!("paths not checked: {why}"))),
            None => Err(format!(
                "none of {} changed files matches, wanted {}",
                paths.listed.len(),
                self.paths.wanted()
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;
    use crate::engine::event::{Attributes, Ingress};
    use crate::engine::ids::EventKey;

    fn globs(texts: &[&str]) -> Globs {
        let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
        Globs::compile(&texts).unwrap()
    }

    fn source(paths: &[&str]) -> WebhookSource {
        WebhookSource {
            webhook: ObjectName::new("default", "github"),
            events: Vec::new(),
            forks: Forks::Deny,
            repositories: Globs::default(),
            branches: globs(&["release/**", "**/hot?"]),
            paths: globs(paths),
        }
    }

    fn facts(name: &str, count: usize) -> Facts {
        let commit = json!({"added": vec![name; count], "removed": [], "modified": []});
        let attributes = Attributes {
            key: EventKey::derive("webhook/default/github", "https://github.com/acme/shop", "1"),
            ingress: Ingress::Webhook(ObjectName::new("default", "github")),
            id: "1".to_owned(),
            source: "https://github.com/acme/shop".to_owned(),
            event_type: "com.github.push".to_owned(),
            subject: None,
            datacontenttype: "application/json".to_owned(),
            git: None,
            extensions: BTreeMap::new(),
            cause: None,
            traceparent: None,
            received_at: 0,
        };
        Facts::from_parts(&attributes, json!({"commits": [commit]}))
    }

    #[test]
    fn what_is_too_much_to_compare_passes_and_says_so() {
        let long = format!("src/{}", "a".repeat(1 << 10));
        let said =
            "paths not checked: the push lists 20000 names, too long in all to compare with these globs";
        let none = "none of 20000 changed files matches, wanted ";
        for (paths, wanted) in [
            (&["src/**/b?????"][..], Ok(Some(said.to_owned()))),
            (&["docs/**/b?????"][..], Err(format!("{none}docs/**/b?????"))),
            (&["src/b"][..], Err(format!("{none}src/b"))),
        ] {
            assert_eq!(source(paths).paths(&facts(&long, 20_000)), wanted, "{paths:?}");
        }
        assert_eq!(source(&["src/**"]).paths(&facts("src/a", 20_000)), Ok(None));
        // What matches decides, whatever else there is; a single name is as little asked as many.
        assert_eq!(source(&["src/**/b?????", "src/**/a"]).paths(&facts("src/a", 1)), Ok(None));
        assert_eq!(source(&["src/**/b?????", long.as_str()]).paths(&facts(&long, 20_000)), Ok(None));
        let one = source(&["src/**/b?????"]).paths(&facts(&format!("src/{}", "a".repeat(1 << 19)), 1));
        let said = "paths not checked: the push lists 1 names, too long in all to compare with these globs";
        assert_eq!(one, Ok(Some(said.to_owned())));
    }

    #[test]
    fn a_large_merge_is_compared_with_several_globs() {
        let globs = ["**/*.go", "**/*.rs", "**/*.py", "**/*.js", "**/*.ts", "**/go.mod"];
        let name = format!("docs/{}/read.me", "a".repeat(47));
        let refused = source(&globs).paths(&facts(&name, 10_000)).unwrap_err();
        assert!(refused.starts_with("none of 10000 changed files matches, wanted **/*.go or "), "{refused}");
    }

    #[test]
    fn many_branches_are_compared_as_far_as_that_is_soon() {
        let git = Git { branch: Some("main".to_owned()), ..Git::default() };
        let change = |count: usize| Change { deleted: None, branches: vec!["b".repeat(1 << 10); count] };
        assert!(source(&[]).branch(&git, &change(10)).is_err());
        let said =
            "branches not checked: the push moved 20000 names, too long in all to compare with these globs";
        assert_eq!(source(&[]).branch(&git, &change(20_000)), Ok(Some(said.to_owned())));
        let long = Git { branch: Some("b".repeat(1 << 20)), ..Git::default() };
        let said = "branches not checked: the name of the branch is too long to compare with these globs";
        assert_eq!(source(&[]).branch(&long, &change(10)), Ok(Some(said.to_owned())));
    }
}
