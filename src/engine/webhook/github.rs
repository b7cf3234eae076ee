//! GitHub's deliveries: types as in `cloudevents/spec` `adapters/github.md`, source the repository's
//! web address.

use http::HeaderMap;

use crate::engine::event::Git;

use super::delivery::{Delivery, Unreadable, commit_id, event_name, event_type, object, required, web_url};
use super::headers::one;
use super::payload::{Number, Object, Opening, Text, payload};

payload! {
    /// What is read of any delivery.
    Hook {
        "action" => action: Text,
        "after" => after: Text,
        "deployment_status" => deployment_status: Object<Deployment>,
        "head_commit" => head_commit: Object<Commit>,
        "issue" => issue: Object<Issue>,
        "number" => number: Number,
        "pull_request" => pull_request: Object<PullRequest>,
        "pusher" => pusher: Object<User>,
        "ref" => reference: Text,
        "ref_type" => ref_type: Text,
        "repository" => repository: Object<Repository>,
        "scope" => scope: Text,
        "sender" => sender: Object<User>,
        "state" => state: Text,
    }
}
payload! { Deployment { "state" => state: Text, } }
payload! { Commit { "id" => id: Text, "message" => message: Opening, } }
payload! { Issue { "number" => number: Number, } }
payload! { User { "login" => login: Text, "name" => name: Text, } }
payload! {
    Repository {
        "id" => id: Number,
        "full_name" => full_name: Text,
        "html_url" => html_url: Text,
    }
}
payload! {
    PullRequest {
        "number" => number: Number,
        "title" => title: Opening,
        "user" => user: Object<User>,
        "head" => head: Object<Side>,
        "base" => base: Object<Side>,
    }
}
payload! {
    Side {
        "ref" => reference: Text,
        "sha" => sha: Text,
        "repo" => repo: Object<Repository>,
    }
}

/// Reads a delivery; GitHub always sends its id and the event's name.
pub(super) fn read(headers: &HeaderMap, body: &[u8]) -> Result<Delivery, Unreadable> {
    let id = required(headers, &["x-github-delivery"])?;
    let event = one(headers, "x-github-event").map_err(Unreadable::Malformed)?;
    let event = event.and_then(event_name).ok_or_else(|| {
        Unreadable::Malformed("the header x-github-event is missing or no name of an event".to_owned())
    })?;
    let hook: Box<Hook> = object(body)?;
    let url = hook.repository.get().and_then(|repository| web_url(repository.html_url.0.as_deref()));
    Ok(Delivery {
        id: Some(id),
        event: full_event(event, &hook),
        subject: subject(event, &hook),
        git: git(event, &hook, url.clone()),
        source: url,
    })
}

/// The adapter's names, where they are not those of the header and the action.
fn full_event(event: &str, hook: &Hook) -> String {
    let action = hook.action.0.as_deref();
    let deployment = hook.deployment_status.get().and_then(|status| status.state.0.as_deref());
    match event {
        "create" | "delete" => event_type(event, &[hook.ref_type.0.as_deref()]),
        "deployment" => event_type(event, &[]),
        "deployment_status" => event_type(event, &[deployment]),
        "installation_repositories" => event_type("installation_repository", &[action]),
        "issues" => event_type("issue", &[action]),
        "membership" => event_type(event, &[hook.scope.0.as_deref(), action]),
        "status" => event_type(event, &[hook.state.0.as_deref()]),
        _ => event_type(event, &[action]),
    }
}

fn subject(event: &str, hook: &Hook) -> Option<String> {
    match event {
        "push" | "create" | "delete" => hook.reference.0.clone(),
        "issues" => hook.issue.get()?.number.0.map(|number| number.to_string()),
        _ => hook.pull_number().map(|number| number.to_string()),
    }
}

fn git(event: &str, hook: &Hook, url: Option<String>) -> Option<Git> {
    let repository = hook.repository.get().and_then(|repository| repository.full_name.0.clone());
    let git = Git { repository, url, ..Git::default() };
    let git = match (event, hook.pull_request.get()) {
        ("push", _) => pushed(hook, git),
        ("create", _) => created(hook, git),
        (_, Some(pull)) => pull_request(hook, pull, git),
        _ => git,
    };
    (git != Git::default()).then_some(git)
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
        branch: reference.as_deref().and_then(|name| name.strip_prefix("refs/heads/")).map(str::to_owned),
        reference,
        author: hook.sender().or_else(|| hook.pusher.get().and_then(User::called)),
        message: head.and_then(|commit| commit.message.0.clone()),
        ..git
    }
}

fn created(hook: &Hook, git: Git) -> Git {
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
        fork: is_fork(head, pull.base.get()),
        author: pull.user.get().and_then(User::called).or_else(|| hook.sender()),
        message: pull.title.0.clone(),
        ..git
    }
}

/// Whether the head is in another repository; a head without one was in a fork that is gone.
fn is_fork(head: Option<&Side>, base: Option<&Side>) -> Option<bool> {
    let head = match &head?.repo {
        Object::Null => return Some(true),
        Object::Missing => return None,
        Object::Found(repository) => repository,
    };
    let base = base?.repo.get()?;
    match (head.id.0, base.id.0, &head.full_name.0, &base.full_name.0) {
        (Some(head), Some(base), _, _) => Some(head != base),
        (_, _, Some(head), Some(base)) => Some(head != base),
        _ => None,
    }
}

impl Hook {
    fn sender(&self) -> Option<String> {
        self.sender.get().and_then(User::called)
    }

    fn pull_number(&self) -> Option<u64> {
        let pull = self.pull_request.get()?;
        pull.number.0.or(self.number.0)
    }
}

impl User {
    fn called(&self) -> Option<String> {
        self.login.0.clone().or_else(|| self.name.0.clone())
    }
}
