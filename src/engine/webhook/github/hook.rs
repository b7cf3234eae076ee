//! What is read of a delivery of GitHub, and of Gitea, which sends nearly the same.

use super::super::payload::{List, Nullable, Number, Object, Opening, Text, payload};

payload! {
    /// What is read of any delivery.
    Hook {
        "action" => action: Text,
        "after" => after: Text,
        "branches" => branches: List<Branch>,
        "check_run" => check_run: Object<Check>,
        "check_suite" => check_suite: Object<Check>,
        "commit" => commit: Object<StatusCommit>,
        "deployment" => deployment: Object<Deployment>,
        "deployment_status" => deployment_status: Object<State>,
        "head_commit" => head_commit: Object<Commit>,
        "issue" => issue: Object<Issue>,
        "merge_group" => merge_group: Object<MergeGroup>,
        "number" => number: Number,
        "pull_request" => pull_request: Object<PullRequest>,
        "pusher" => pusher: Object<User>,
        "ref" => reference: Text,
        "ref_type" => ref_type: Text,
        "release" => release: Object<Release>,
        "repository" => repository: Object<Repository>,
        "scope" => scope: Text,
        "sender" => sender: Object<User>,
        "sha" => sha: Text,
        "state" => state: Text,
        "workflow_job" => workflow_job: Object<Check>,
        "workflow_run" => workflow_run: Object<Check>,
    }
}
payload! { Branch { "name" => name: Text, } }
payload! { Commit { "id" => id: Text, "message" => message: Opening, } }
payload! { Issue { "number" => number: Number, } }
payload! { State { "state" => state: Text, } }
payload! { StatusCommit { "author" => author: Object<User>, "commit" => commit: Object<Commit>, } }
payload! { User { "login" => login: Text, "name" => name: Text, } }
payload! {
    /// A run of a workflow, one of its jobs, a check, or a suite of them.
    Check {
        "actor" => actor: Object<User>,
        "check_suite" => suite: Object<Suite>,
        "head_branch" => head_branch: Nullable,
        "head_commit" => head_commit: Object<Commit>,
        "head_repository" => head_repository: Object<Repository>,
        "head_sha" => head_sha: Text,
        "id" => id: Number,
        "pull_requests" => pull_requests: List<PullRequest>,
    }
}
payload! { Suite { "head_branch" => head_branch: Nullable, } }
payload! { Deployment { "creator" => creator: Object<User>, "id" => id: Number, "sha" => sha: Text, } }
payload! {
    MergeGroup {
        "base_ref" => base_ref: Text,
        "head_commit" => head_commit: Object<Commit>,
        "head_ref" => head_ref: Text,
        "head_sha" => head_sha: Text,
    }
}
payload! {
    Release {
        "author" => author: Object<User>,
        "id" => id: Number,
        "name" => name: Opening,
        "tag_name" => tag_name: Text,
    }
}
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

impl Hook {
    /// What a delivery is about, as the adapter has it.
    pub(in crate::engine::webhook) fn subject(&self, event: &str) -> Option<String> {
        let number = |number: Number| number.0.map(|number| number.to_string());
        match event {
            "push" | "create" | "delete" => self.reference.0.clone(),
            "issues" => number(self.issue.get()?.number),
            "check_run" => number(self.check_run.get()?.id),
            "check_suite" => number(self.check_suite.get()?.id),
            "workflow_run" => number(self.workflow_run.get()?.id),
            "workflow_job" => number(self.workflow_job.get()?.id),
            "deployment" => number(self.deployment.get()?.id),
            "release" => number(self.release.get()?.id),
            "status" => self.sha.0.clone(),
            _ => self.pull_number().map(|number| number.to_string()),
        }
    }

    pub(super) fn sender(&self) -> Option<String> {
        self.sender.get().and_then(User::called)
    }

    pub(super) fn pull_number(&self) -> Option<u64> {
        let pull = self.pull_request.get()?;
        pull.number.0.or(self.number.0)
    }
}

impl User {
    pub(super) fn called(&self) -> Option<String> {
        self.login.0.clone().or_else(|| self.name.0.clone())
    }
}
