//! GitLab's deliveries: types and subjects as in `cloudevents/spec` `adapters/gitlab.md`.

use http::HeaderMap;

use crate::engine::event::Git;

use super::delivery::{Delivery, Unreadable, commit_id, event_name, event_type, object, required, web_url};
use super::headers::one;
use super::payload::{List, Number, Object, Opening, Text, payload};

payload! {
    /// What is read of any delivery.
    Hook {
        "action" => action: Text,
        "after" => after: Text,
        "build_id" => build_id: Number,
        "build_status" => build_status: Text,
        "checkout_sha" => checkout_sha: Text,
        "commits" => commits: List<Commit>,
        "event_name" => event_name: Text,
        "object_attributes" => attributes: Object<Attributes>,
        "object_kind" => object_kind: Text,
        "project" => project: Object<Project>,
        "ref" => reference: Text,
        "repository" => repository: Object<Repository>,
        "user" => user: Object<User>,
        "user_name" => user_name: Text,
        "user_username" => user_username: Text,
    }
}
payload! { Commit { "id" => id: Text, "message" => message: Opening, } }
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
        "slug" => slug: Text,
        "source_branch" => source_branch: Text,
        "source_project_id" => source_project_id: Number,
        "state" => state: Text,
        "status" => status: Text,
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
    let git = match (kind, hook.attributes.get()) {
        ("push" | "tag_push", _) => pushed(hook, git),
        ("merge_request", Some(attributes)) => merge_request(hook, attributes, git),
        _ => git,
    };
    (git != Git::default()).then_some(git)
}

fn pushed(hook: &Hook, git: Git) -> Git {
    let sha = hook.commit();
    let reference = hook.reference.0.clone();
    let commits = &hook.commits.0;
    let head = commits.iter().find(|commit| commit.id.0.is_some() && commit.id.0 == sha);
    Git {
        branch: reference.as_deref().and_then(|name| name.strip_prefix("refs/heads/")).map(str::to_owned),
        reference,
        author: hook.user_username.0.clone().or_else(|| hook.user_name.0.clone()),
        message: head.or_else(|| commits.last()).and_then(|commit| commit.message.0.clone()),
        sha,
        ..git
    }
}

fn merge_request(hook: &Hook, attributes: &Attributes, git: Git) -> Git {
    let (source, target) = (attributes.source_project_id.0, attributes.target_project_id.0);
    let user = hook.user.get();
    Git {
        sha: attributes.last_commit.get().and_then(|commit| commit_id(commit.id.0.as_deref())),
        reference: attributes.iid.0.map(|iid| format!("refs/merge-requests/{iid}/head")),
        branch: attributes.source_branch.0.clone(),
        base_branch: attributes.target_branch.0.clone(),
        number: attributes.iid.0,
        fork: source.zip(target).map(|(source, target)| source != target),
        author: user.and_then(|user| user.username.0.clone().or_else(|| user.name.0.clone())),
        message: attributes.title.0.clone(),
        ..git
    }
}

impl Hook {
    /// The commit to test; a deleted branch or tag has none.
    fn commit(&self) -> Option<String> {
        commit_id(self.checkout_sha.0.as_deref()).or_else(|| commit_id(self.after.0.as_deref()))
    }
}
