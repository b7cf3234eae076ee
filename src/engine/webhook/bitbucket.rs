//! Bitbucket Cloud's deliveries: the event `repo:push` is the type `repo.push`, so that a bare name
//! covers all that it groups.
//!
//! <https://support.atlassian.com/bitbucket-cloud/docs/event-payloads/>

use http::HeaderMap;

use crate::engine::event::Git;

use super::delivery::{
    Delivery, Unreadable, branch_of, commit_id, named, object, required, some_git, web_url,
};
use super::payload::{List, Number, Object, Opening, Text, payload};

payload! {
    /// What is read of any delivery.
    Hook {
        "actor" => actor: Object<User>,
        "commit" => commit: Object<Commit>,
        "commit_status" => status: Object<Status>,
        "pullrequest" => pull_request: Object<PullRequest>,
        "push" => push: Object<Push>,
        "repository" => repository: Object<Repository>,
    }
}
payload! { Author { "user" => user: Object<User>, } }
payload! { Branch { "name" => name: Text, } }
payload! { Change { "new" => new: Object<Reference>, "old" => old: Object<Reference>, } }
payload! { Commit { "author" => author: Object<Author>, "hash" => hash: Text, "message" => message: Opening, } }
payload! { Link { "href" => href: Text, } }
payload! { Links { "commit" => commit: Object<Link>, "html" => html: Object<Link>, } }
payload! {
    PullRequest {
        "author" => author: Object<User>,
        "destination" => destination: Object<Side>,
        "id" => id: Number,
        "source" => source: Object<Side>,
        "title" => title: Opening,
    }
}
payload! { Push { "changes" => changes: List<Change>, } }
payload! { Reference { "name" => name: Text, "target" => target: Object<Commit>, "type" => kind: Text, } }
payload! { Repository { "full_name" => full_name: Text, "links" => links: Object<Links>, "uuid" => id: Text, } }
payload! {
    Side {
        "branch" => branch: Object<Branch>,
        "commit" => commit: Object<Commit>,
        "repository" => repository: Object<Repository>,
    }
}
payload! {
    Status {
        "commit" => commit: Object<Commit>,
        "links" => links: Object<Links>,
        "refname" => refname: Text,
    }
}
payload! { User { "display_name" => display_name: Text, "nickname" => nickname: Text, } }

/// Reads a delivery; Bitbucket always sends its id and the event's key.
pub(super) fn read(headers: &HeaderMap, body: &[u8]) -> Result<Delivery, Unreadable> {
    let id = required(headers, &["x-request-uuid"])?;
    let event = named(headers, &["x-event-key"])?.replace(':', ".");
    let hook: Box<Hook> = object(body)?;
    let url = hook.repository.get().and_then(Repository::web_address);
    Ok(Delivery {
        id: Some(id),
        subject: match hook.pull_request.get() {
            Some(pull) => pull.id.0.map(|id| id.to_string()),
            None => hook.pushed().and_then(Reference::full_name),
        },
        git: git(&hook, url.clone()),
        event,
        source: url,
    })
}

fn git(hook: &Hook, url: Option<String>) -> Option<Git> {
    let repository = hook.repository.get().and_then(|repository| repository.full_name.0.clone());
    let git = Git { repository, url, ..Git::default() };
    some_git(match (hook.pull_request.get(), hook.status.get()) {
        (Some(pull), _) => pull_request(hook, pull, git),
        (None, Some(status)) => built(hook, status, git),
        (None, None) => pushed(hook, git),
    })
}

fn pushed(hook: &Hook, git: Git) -> Git {
    let Some(reference) = hook.pushed() else { return git };
    let target = reference.target.get();
    let full_name = reference.full_name();
    Git {
        // Of a branch that is gone `old` tells where it was: nothing to test.
        sha: hook.is_there().then(|| target.and_then(|target| commit_id(target.hash.0.as_deref()))).flatten(),
        branch: branch_of(full_name.as_deref()),
        reference: full_name,
        author: hook.actor.get().and_then(User::called),
        message: target.filter(|_| hook.is_there()).and_then(|target| target.message.0.clone()),
        ..git
    }
}

/// Bitbucket has no references for pull requests: within one repository the head is its branch.
fn pull_request(hook: &Hook, pull: &PullRequest, git: Git) -> Git {
    let branch = |side: Option<&Side>| side.and_then(|side| side.branch.get()?.name.0.clone());
    let (source, destination) = (pull.source.get(), pull.destination.get());
    let fork = is_fork(source, destination);
    let head = branch(source);
    Git {
        sha: source.and_then(|side| commit_id(side.commit.get()?.hash.0.as_deref())),
        reference: head.as_ref().filter(|_| fork == Some(false)).map(|head| format!("refs/heads/{head}")),
        branch: head,
        base_branch: branch(destination),
        number: pull.id.0,
        fork,
        author: pull.author.get().and_then(User::called).or_else(|| hook.actor.get().and_then(User::called)),
        message: pull.title.0.clone(),
        ..git
    }
}

/// Whether the source is another repository; one that is gone is null.
fn is_fork(source: Option<&Side>, destination: Option<&Side>) -> Option<bool> {
    let source = match &source?.repository {
        Object::Null => return Some(true),
        Object::Missing => return None,
        Object::Found(repository) => repository,
    };
    let destination = destination?.repository.get()?;
    let differ =
        |one: &Text, other: &Text| one.0.as_ref().zip(other.0.as_ref()).map(|(one, other)| one != other);
    differ(&source.id, &destination.id).or_else(|| differ(&source.full_name, &destination.full_name))
}

/// A build's status: its commit stands beside it, or only at the end of a link.
fn built(hook: &Hook, status: &Status, git: Git) -> Git {
    let commit = hook.commit.get().or(status.commit.get());
    let link = status.links.get().and_then(|links| links.commit.get()?.href.0.as_deref());
    let linked = link.and_then(|href| href.rsplit('/').next());
    let linked = linked.filter(|hash| hash.bytes().all(|b| b.is_ascii_hexdigit()));
    let author = commit.and_then(|commit| commit.author.get());
    Git {
        sha: commit_id(commit.and_then(|commit| commit.hash.0.as_deref()).or(linked)),
        reference: status.refname.0.as_ref().map(|name| format!("refs/heads/{name}")),
        branch: status.refname.0.clone(),
        author: author.and_then(|author| author.user.get()?.called()).or_else(|| hook.actor.get()?.called()),
        message: commit.and_then(|commit| commit.message.0.clone()),
        ..git
    }
}

impl Hook {
    /// The reference that a push is about: the first of its changes that left something to test, else
    /// the first.
    fn pushed(&self) -> Option<&Reference> {
        let changes = &self.push.get()?.changes.0;
        let left = changes.iter().find_map(|change| change.new.get());
        left.or_else(|| changes.first()?.old.get())
    }

    /// Whether a push left anything.
    fn is_there(&self) -> bool {
        self.push.get().is_some_and(|push| push.changes.0.iter().any(|change| change.new.get().is_some()))
    }
}

impl Reference {
    fn full_name(&self) -> Option<String> {
        let name = self.name.0.as_deref()?;
        match self.kind.0.as_deref() {
            Some("branch" | "named_branch") => Some(format!("refs/heads/{name}")),
            Some("tag" | "annotated_tag") => Some(format!("refs/tags/{name}")),
            _ => None,
        }
    }
}

impl Repository {
    fn web_address(&self) -> Option<String> {
        web_url(self.links.get()?.html.get()?.href.0.as_deref())
    }
}

impl User {
    fn called(&self) -> Option<String> {
        self.nickname.0.clone().or_else(|| self.display_name.0.clone())
    }
}
