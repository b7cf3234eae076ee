//! `git` of a delivery, event by event. What a payload lacks stays missing.

use super::super::delivery::{branch_of, commit_id, some_git};
use super::super::payload::{Nullable, Object};
use super::hook::{Check, Hook, PullRequest, Repository, Side, User};
use crate::engine::event::Git;

impl Hook {
    /// What the delivery of an `event` says about the code; `url` is the repository's web address.
    pub(in crate::engine::webhook) fn git(&self, event: &str, url: Option<String>) -> Option<Git> {
        let repository = self.repository.get().and_then(|repository| repository.full_name.0.clone());
        let git = Git { repository, url, ..Git::default() };
        some_git(match (event, self.pull_request.get()) {
            ("push", _) => pushed(self, git),
            ("create" | "delete", _) => named(self, git),
            ("workflow_run", _) => checked(self, &self.workflow_run, git),
            ("workflow_job", _) => checked(self, &self.workflow_job, git),
            ("check_suite", _) => checked(self, &self.check_suite, git),
            ("check_run", _) => checked(self, &self.check_run, git),
            ("status", _) => status(self, git),
            ("release", _) => released(self, git),
            ("deployment" | "deployment_status", _) => deployed(self, git),
            ("merge_group", _) => queued(self, git),
            (_, Some(pull)) => pull_request(self, pull, git),
            _ => git,
        })
    }
}

fn pushed(hook: &Hook, git: Git) -> Git {
    let reference = hook.reference.0.clone();
    let head = hook.head_commit.get();
    // Of an annotated tag `after` is the tag's own id, not the commit's.
    let tagged = reference.as_deref().is_some_and(|name| name.starts_with("refs/tags/"));
    let after = commit_id(hook.after.0.as_deref());
    let commit = head.and_then(|commit| commit_id(commit.id.0.as_deref()));
    let sha = match (&after, tagged) {
        (Some(_), true) => commit.or(after),
        _ => after,
    };
    Git {
        sha,
        branch: branch_of(reference.as_deref()),
        reference,
        author: hook.sender().or_else(|| hook.pusher.get().and_then(User::called)),
        message: head.and_then(|commit| commit.message.0.clone()),
        ..git
    }
}

/// A branch or tag that was created or deleted: its name alone is told.
fn named(hook: &Hook, git: Git) -> Git {
    let name = hook.reference.0.as_deref();
    let branch = hook.ref_type.0.as_deref() == Some("branch");
    let folder = match hook.ref_type.0.as_deref() {
        Some("branch") => "refs/heads",
        Some("tag") => "refs/tags",
        _ => return Git { author: hook.sender(), ..git },
    };
    Git {
        reference: name.map(|name| format!("{folder}/{name}")),
        branch: name.filter(|_| branch).map(str::to_owned),
        author: hook.sender(),
        ..git
    }
}

fn pull_request(hook: &Hook, pull: &PullRequest, git: Git) -> Git {
    let number = hook.pull_number();
    let head = pull.head.get();
    let branch_of = |side: Option<&Side>| side.and_then(|side| side.reference.0.clone());
    Git {
        sha: head.and_then(|head| commit_id(head.sha.0.as_deref())),
        reference: number.map(|number| format!("refs/pull/{number}/head")),
        branch: branch_of(head),
        base_branch: branch_of(pull.base.get()),
        number,
        fork: is_fork(head.map(|head| &head.repo), pull.base.get().and_then(|base| base.repo.get())),
        author: pull.user.get().and_then(User::called).or_else(|| hook.sender()),
        message: pull.title.0.clone(),
        ..git
    }
}

/// Whether the head is in another repository; a head without one was in a fork that is gone.
fn is_fork(head: Option<&Object<Repository>>, base: Option<&Repository>) -> Option<bool> {
    let head = match head? {
        Object::Null => return Some(true),
        Object::Missing => return None,
        Object::Found(repository) => repository,
    };
    let base = base?;
    match (head.id.0, base.id.0, &head.full_name.0, &base.full_name.0) {
        (Some(head), Some(base), _, _) => Some(head != base),
        (_, _, Some(head), Some(base)) => Some(head != base),
        _ => None,
    }
}

/// A workflow, job, check or suite. Of a suite the branch tells: null is one of a fork, and what is
/// pushed to the repository itself has one. The one pull request is told where there is one.
fn checked(hook: &Hook, check: &Object<Check>, git: Git) -> Git {
    let Some(check) = check.get() else { return git };
    let branch = check.suite.get().map_or(&check.head_branch, |suite| &suite.head_branch);
    let told = is_fork(Some(&check.head_repository), hook.repository.get());
    let suite = hook.check_suite.get().is_some() || check.suite.get().is_some();
    let by_branch = match branch {
        Nullable::Null => Some(true),
        Nullable::Found(_) => Some(false),
        Nullable::Missing => None,
    };
    let pull = match check.pull_requests.0.as_slice() {
        [pull] => Some(pull),
        _ => None,
    };
    Git {
        sha: commit_id(check.head_sha.0.as_deref()),
        branch: branch.get().map(str::to_owned),
        base_branch: pull.and_then(|pull| pull.base.get()?.reference.0.clone()),
        number: pull.and_then(|pull| pull.number.0),
        fork: told.or(by_branch.filter(|_| suite)),
        author: check.actor.get().and_then(User::called).or_else(|| hook.sender()),
        message: check.head_commit.get().and_then(|commit| commit.message.0.clone()),
        ..git
    }
}

/// A status of a commit; its branch where only one holds the commit.
fn status(hook: &Hook, git: Git) -> Git {
    let commit = hook.commit.get();
    Git {
        sha: commit_id(hook.sha.0.as_deref()),
        branch: match hook.branches.0.as_slice() {
            [branch] => branch.name.0.clone(),
            _ => None,
        },
        author: commit
            .and_then(|commit| commit.author.get())
            .and_then(User::called)
            .or_else(|| hook.sender()),
        message: commit.and_then(|commit| commit.commit.get()?.message.0.clone()),
        ..git
    }
}

/// A release: its tag; the commit is not told (`target_commitish` counts only where there is no tag yet).
fn released(hook: &Hook, git: Git) -> Git {
    let Some(release) = hook.release.get() else { return git };
    Git {
        reference: release.tag_name.0.as_ref().map(|tag| format!("refs/tags/{tag}")),
        author: release.author.get().and_then(User::called).or_else(|| hook.sender()),
        message: release.name.0.clone(),
        ..git
    }
}

/// A deployment: its commit; what it calls `ref` may be a branch, a tag or a commit.
fn deployed(hook: &Hook, git: Git) -> Git {
    let Some(deployment) = hook.deployment.get() else { return git };
    Git {
        sha: commit_id(deployment.sha.0.as_deref()),
        author: deployment.creator.get().and_then(User::called).or_else(|| hook.sender()),
        ..git
    }
}

/// What waits to be merged.
fn queued(hook: &Hook, git: Git) -> Git {
    let Some(group) = hook.merge_group.get() else { return git };
    Git {
        sha: commit_id(group.head_sha.0.as_deref()),
        branch: branch_of(group.head_ref.0.as_deref()),
        base_branch: branch_of(group.base_ref.0.as_deref()),
        reference: group.head_ref.0.clone(),
        author: hook.sender(),
        message: group.head_commit.get().and_then(|commit| commit.message.0.clone()),
        ..git
    }
}
