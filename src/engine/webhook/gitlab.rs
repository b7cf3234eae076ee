//! GitLab's deliveries: types and subjects as in `cloudevents/spec` `adapters/gitlab.md`.

use http::HeaderMap;

use crate::engine::event::Git;

use super::delivery::{
    Delivery, Unreadable, branch_of, commit_id, event_name, event_type, object, required, some_git, web_url,
};
use super::headers::one;
use super::payload::{List, Number, Object, Opening, Text, TextOrTruth, Truth, payload};

payload! {
    /// What is read of any delivery.
    Hook {
        "action" => action: Text,
        "after" => after: Text,
        "build_id" => build_id: Number,
        "build_status" => build_status: Text,
        "checkout_sha" => checkout_sha: Text,
        "commit" => commit: Object<Commit>,
        "commits" => commits: List<Commit>,
        "event_name" => event_name: Text,
        "merge_request" => merge_request: Object<Attributes>,
        "name" => name: Opening,
        "object_attributes" => attributes: Object<Attributes>,
        "object_kind" => object_kind: Text,
        "project" => project: Object<Project>,
        "ref" => reference: Text,
        "repository" => repository: Object<Repository>,
        "sha" => sha: Text,
        "tag" => tag: TextOrTruth,
        "user" => user: Object<User>,
        "user_name" => user_name: Text,
        "user_username" => user_username: Text,
    }
}
payload! {
    Commit {
        "author" => author: Object<User>,
        "id" => id: Text,
        "message" => message: Opening,
        "sha" => sha: Text,
    }
}
payload! { Project { "path_with_namespace" => path: Text, "web_url" => web_url: Text, } }
payload! { Repository { "homepage" => homepage: Text, } }
payload! { User { "name" => name: Text, "username" => username: Text, } }
payload! {
    Attributes {
        "action" => action: Text,
        "id" => id: Number,
        "iid" => iid: Number,
        "last_commit" => last_commit: Object<Commit>,
        "noteable_type" => noteable_type: Text,
        "ref" => reference: Text,
        "sha" => sha: Text,
        "slug" => slug: Text,
        "source_branch" => source_branch: Text,
        "source_project_id" => source_project_id: Number,
        "state" => state: Text,
        "status" => status: Text,
        "tag" => tag: Truth,
        "target_branch" => target_branch: Text,
        "target_project_id" => target_project_id: Number,
        "title" => title: Opening,
    }
}

/// Reads a delivery. Its id is `webhook-id`, which a signing token signs, else `Idempotency-Key`
/// (GitLab 17.4 and newer); never `X-Gitlab-Event-UUID`, which several deliveries share.
pub(super) fn read(headers: &HeaderMap, body: &[u8]) -> Result<Delivery, Unreadable> {
    let id = required(headers, &["webhook-id", "idempotency-key"])?;
    let hook: Box<Hook> = object(body)?;
    let kind = kind(&hook, headers)?;
    let homepage = hook.repository.get().and_then(|repository| web_url(repository.homepage.0.as_deref()));
    let project = hook.project.get().and_then(|project| web_url(project.web_url.0.as_deref()));
    Ok(Delivery {
        id: Some(id),
        event: full_event(&kind, &hook),
        subject: subject(&kind, &hook),
        git: git(&kind, &hook, project.clone().or_else(|| homepage.clone())),
        source: homepage.or(project),
    })
}

/// `object_kind`; system hooks have `event_name`; else what the header says, `Push Hook` being `push`.
fn kind(hook: &Hook, headers: &HeaderMap) -> Result<String, Unreadable> {
    let in_body = hook.object_kind.0.as_deref().or(hook.event_name.0.as_deref());
    if let Some(kind) = in_body.and_then(event_name) {
        return Ok(kind.to_owned());
    }
    let header = one(headers, "x-gitlab-event").map_err(Unreadable::Malformed)?.unwrap_or_default();
    let kind = header.strip_suffix(" Hook").unwrap_or(header).to_ascii_lowercase().replace(' ', "_");
    event_name(&kind).map(str::to_owned).ok_or_else(|| {
        Unreadable::Malformed("neither object_kind nor x-gitlab-event names an event".to_owned())
    })
}

fn full_event(kind: &str, hook: &Hook) -> String {
    let none = Attributes::default();
    let attributes = hook.attributes.get().unwrap_or(&none);
    let action = attributes.action.0.as_deref().or(hook.action.0.as_deref());
    match kind {
        "push" | "tag_push" => event_type(kind, &[]),
        "issue" => event_type(kind, &[attributes.state.0.as_deref()]),
        "note" => event_type(kind, &[attributes.noteable_type.0.as_deref().and_then(noteable)]),
        "pipeline" => event_type(kind, &[attributes.status.0.as_deref()]),
        "build" | "job" => event_type("job", &[hook.build_status.0.as_deref()]),
        _ => event_type(kind, &[action]),
    }
}

fn noteable(kind: &str) -> Option<&str> {
    match kind {
        "Commit" => Some("commit"),
        "MergeRequest" => Some("merge_request"),
        "Issue" => Some("issue"),
        "Snippet" => Some("snippet"),
        _ => None,
    }
}

fn subject(kind: &str, hook: &Hook) -> Option<String> {
    let number = |number: Number| number.0.map(|number| number.to_string());
    match kind {
        "push" => hook.commit().or_else(|| hook.reference.0.clone()),
        "tag_push" => hook.reference.0.clone(),
        "build" | "job" => number(hook.build_id),
        "merge_request" | "issue" => number(hook.attributes.get()?.iid),
        "wiki_page" => hook.attributes.get()?.slug.0.clone(),
        _ => number(hook.attributes.get()?.id),
    }
}

fn git(kind: &str, hook: &Hook, url: Option<String>) -> Option<Git> {
    let repository = hook.project.get().and_then(|project| project.path.0.clone());
    let git = Git { repository, url, ..Git::default() };
    some_git(match (kind, hook.attributes.get()) {
        ("push" | "tag_push", _) => pushed(hook, git),
        ("merge_request", Some(attributes)) => merge_request(hook, attributes, git),
        ("note", _) => commented(hook, git),
        ("pipeline", Some(attributes)) => pipeline(hook, attributes, git),
        ("build" | "job", _) => job(hook, git),
        ("release", _) => released(hook, git),
        _ => git,
    })
}

/// A comment on a merge request is about its head; on anything else, about no commit that is told.
fn commented(hook: &Hook, git: Git) -> Git {
    let Some(merge) = hook.merge_request.get() else { return git };
    merge_request(hook, merge, git)
}

/// A pipeline runs for a branch, a tag, or a merge request, which has both sides and may be of a fork.
fn pipeline(hook: &Hook, attributes: &Attributes, git: Git) -> Git {
    let git = Git {
        sha: commit_id(attributes.sha.0.as_deref()),
        author: hook.user.get().and_then(User::called),
        message: hook.commit.get().and_then(|commit| commit.message.0.clone()),
        ..git
    };
    match hook.merge_request.get() {
        Some(merge) => Git {
            sha: git.sha.clone(),
            author: git.author.clone(),
            message: git.message.clone(),
            ..merge_request(hook, merge, git)
        },
        None => referred(attributes.reference.0.as_deref(), attributes.tag.0, git),
    }
}

fn job(hook: &Hook, git: Git) -> Git {
    let sha = hook.sha.0.as_deref().or_else(|| hook.commit.get()?.sha.0.as_deref());
    let git = Git {
        sha: commit_id(sha),
        author: hook.user.get().and_then(User::called),
        message: hook.commit.get().and_then(|commit| commit.message.0.clone()),
        ..git
    };
    referred(hook.reference.0.as_deref(), hook.tag.truth, git)
}

fn released(hook: &Hook, git: Git) -> Git {
    let commit = hook.commit.get();
    Git {
        sha: commit.and_then(|commit| commit_id(commit.id.0.as_deref())),
        reference: hook.tag.text.as_ref().map(|tag| format!("refs/tags/{tag}")),
        author: commit.and_then(|commit| commit.author.get()).and_then(User::called),
        message: hook.name.0.clone(),
        ..git
    }
}

/// The short name of a branch or tag; a full one stands for itself.
fn referred(name: Option<&str>, tag: Option<bool>, git: Git) -> Git {
    let Some(name) = name else { return git };
    let reference = match tag {
        _ if name.starts_with("refs/") => Some(name.to_owned()),
        Some(true) => Some(format!("refs/tags/{name}")),
        Some(false) => Some(format!("refs/heads/{name}")),
        None => None,
    };
    Git { branch: branch_of(reference.as_deref()), reference, ..git }
}

fn pushed(hook: &Hook, git: Git) -> Git {
    let sha = hook.commit();
    let reference = hook.reference.0.clone();
    let commits = &hook.commits.0;
    let head = commits.iter().find(|commit| commit.id.0.is_some() && commit.id.0 == sha);
    Git {
        branch: branch_of(reference.as_deref()),
        reference,
        author: hook.user_username.0.clone().or_else(|| hook.user_name.0.clone()),
        message: head.or_else(|| commits.last()).and_then(|commit| commit.message.0.clone()),
        sha,
        ..git
    }
}

fn merge_request(hook: &Hook, attributes: &Attributes, git: Git) -> Git {
    let (source, target) = (attributes.source_project_id.0, attributes.target_project_id.0);
    Git {
        sha: attributes.last_commit.get().and_then(|commit| commit_id(commit.id.0.as_deref())),
        reference: attributes.iid.0.map(|iid| format!("refs/merge-requests/{iid}/head")),
        branch: attributes.source_branch.0.clone(),
        base_branch: attributes.target_branch.0.clone(),
        number: attributes.iid.0,
        fork: source.zip(target).map(|(source, target)| source != target),
        author: hook.user.get().and_then(User::called),
        message: attributes.title.0.clone(),
        ..git
    }
}

impl User {
    fn called(&self) -> Option<String> {
        self.username.0.clone().or_else(|| self.name.0.clone())
    }
}

impl Hook {
    /// The commit to test; a deleted branch or tag has none.
    fn commit(&self) -> Option<String> {
        commit_id(self.checkout_sha.0.as_deref()).or_else(|| commit_id(self.after.0.as_deref()))
    }
}
