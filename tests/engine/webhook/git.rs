//! `git` of GitHub's and GitLab's events beyond pushes and pull or merge requests.

use serde_json::{Value, json};

use super::deliveries::read;
use super::providers::said;

fn repository() -> Value {
    json!({"id": 1, "full_name": "acme/shop", "html_url": "https://github.com/acme/shop"})
}

/// `git` beside repository and address must be `wanted`.
fn check(event: &str, body: Value, wanted_subject: Option<&str>, wanted: Value) {
    let mut body = body;
    body["repository"] = repository();
    body["sender"] = json!({"login": "bot"});
    let fields = [("X-GitHub-Event", event), ("X-GitHub-Delivery", "d-1")];
    let said = read("github", &Value::Null, &fields, body.to_string()).unwrap().attributes;
    let mut git = wanted;
    git["repository"] = json!("acme/shop");
    git["url"] = json!("https://github.com/acme/shop");
    assert_eq!(serde_json::to_value(&said.git).unwrap(), git, "{event}: {body}");
    assert_eq!(said.subject.as_deref(), wanted_subject, "{event}");
}

fn pull(number: u64) -> Value {
    json!({"number": number, "head": {"ref": "tax", "sha": "abc1"}, "base": {"ref": "main", "sha": "abc0"}})
}

#[test]
fn a_workflow_tells_its_head_and_whether_it_is_of_a_fork() {
    for (head, fork) in [
        (repository(), json!(false)),
        (json!({"id": 2, "full_name": "mallory/shop"}), json!(true)),
        (Value::Null, json!(true)),
    ] {
        let run = json!({
            "id": 3_043, "head_branch": "tax", "head_sha": "acb5", "pull_requests": [pull(7)],
            "actor": {"login": "kim"}, "head_commit": {"id": "acb5", "message": "Tax"}, "head_repository": head,
        });
        let git = json!({
            "sha": "acb5", "branch": "tax", "baseBranch": "main", "number": 7, "fork": fork, "author": "kim",
            "message": "Tax",
        });
        check("workflow_run", json!({"action": "completed", "workflow_run": run}), Some("3043"), git);
    }
    let run = json!({"head_branch": "main", "head_sha": "acb5", "pull_requests": [pull(7), pull(8)]});
    let git = json!({"sha": "acb5", "branch": "main", "author": "bot"});
    check("workflow_run", json!({ "workflow_run": run }), None, git);
    let job = json!({"id": 5, "head_branch": "main", "head_sha": "acb5"});
    let git = json!({"sha": "acb5", "branch": "main", "author": "bot"});
    check("workflow_job", json!({"action": "completed", "workflow_job": job}), Some("5"), git);
}

#[test]
fn a_suite_without_a_branch_is_of_a_fork_and_one_with_a_branch_is_not() {
    for (branch, further) in [
        (json!("main"), json!({"branch": "main", "fork": false})),
        (Value::Null, json!({"fork": true})),
        (json!(7), json!({})),
    ] {
        let mut git = json!({"sha": "acb5", "author": "bot"});
        git.as_object_mut().unwrap().extend(further.as_object().unwrap().clone());
        let suite = json!({"id": 118, "head_branch": branch, "head_sha": "acb5", "pull_requests": []});
        check("check_suite", json!({"action": "completed", "check_suite": suite}), Some("118"), git.clone());
        let run = json!({"id": 128, "head_sha": "acb5", "check_suite": {"head_branch": branch}, "pull_requests": []});
        check("check_run", json!({"action": "completed", "check_run": run}), Some("128"), git);
    }
}

#[test]
fn statuses_releases_deployments_and_queues_tell_what_they_are_about() {
    let status = |branches: Value| {
        let commit = json!({"author": {"login": "kim"}, "commit": {"message": "Tax"}});
        json!({"sha": "acb5", "state": "success", "branches": branches, "commit": commit})
    };
    let known = json!({"sha": "acb5", "branch": "main", "author": "kim", "message": "Tax"});
    check("status", status(json!([{"name": "main"}])), Some("acb5"), known);
    let several = json!([{"name": "main"}, {"name": "dev"}]);
    let known = json!({"sha": "acb5", "author": "kim", "message": "Tax"});
    check("status", status(several), Some("acb5"), known);
    let release = json!({"id": 9, "tag_name": "v1", "target_commitish": "main", "name": "First", "author": {"login": "kim"}});
    let known = json!({"ref": "refs/tags/v1", "author": "kim", "message": "First"});
    check("release", json!({"action": "published", "release": release}), Some("9"), known);
    let deployment = json!({"id": 8, "sha": "acb5", "ref": "main", "creator": {"login": "kim"}});
    let known = json!({"sha": "acb5", "author": "kim"});
    check("deployment", json!({"action": "created", "deployment": deployment}), Some("8"), known.clone());
    check(
        "deployment_status",
        json!({"deployment_status": {"state": "success"}, "deployment": deployment}),
        None,
        known,
    );
    let group = json!({
        "head_sha": "acb5", "head_ref": "refs/heads/gh-readonly-queue/main/pr-1", "base_ref": "refs/heads/main",
        "head_commit": {"message": "Tax"},
    });
    let known = json!({
        "sha": "acb5", "ref": "refs/heads/gh-readonly-queue/main/pr-1", "branch": "gh-readonly-queue/main/pr-1",
        "baseBranch": "main", "author": "bot", "message": "Tax",
    });
    check("merge_group", json!({"action": "checks_requested", "merge_group": group}), None, known);
    let known = json!({"ref": "refs/heads/old", "branch": "old", "author": "bot"});
    check("delete", json!({"ref": "old", "ref_type": "branch"}), Some("old"), known);
}

const GITLAB: &str = "https://gitlab.example/acme/shop";

/// <https://docs.gitlab.com/user/project/integrations/webhook_events/>
#[test]
fn pipelines_jobs_releases_and_comments_of_gitlab_tell_their_commit() {
    let project = json!({"id": 1, "path_with_namespace": "acme/shop", "web_url": GITLAB});
    let user = json!({"name": "Kim", "username": "kim"});
    let merge = json!({
        "id": 1, "iid": 12, "title": "Tax", "source_branch": "tax", "target_branch": "main",
        "source_project_id": 2, "target_project_id": 1, "state": "opened",
    });
    let commit = json!({"id": "bcbb", "message": "Tax\n", "author": {"name": "Kim"}});
    let pipeline = |merge: Value, tag: bool, reference: &str| {
        json!({
            "object_kind": "pipeline", "user": user, "project": project, "commit": commit, "merge_request": merge,
            "object_attributes": {"id": 31, "iid": 3, "ref": reference, "tag": tag, "sha": "bcbb", "status": "success"},
        })
    };
    let git = |further: Value| {
        let mut git = json!({"repository": "acme/shop", "url": GITLAB, "sha": "bcbb", "author": "kim", "message": "Tax\n"});
        git.as_object_mut().unwrap().extend(further.as_object().unwrap().clone());
        git
    };
    let job = |tag: bool| {
        json!({
            "object_kind": "build", "ref": "main", "tag": tag, "sha": "bcbb", "build_id": 77, "build_status": "failed",
            "user": user, "commit": {"id": 2366, "sha": "bcbb", "message": "Tax\n"}, "project": project,
        })
    };
    let release = json!({
        "object_kind": "release", "action": "create", "tag": "v1", "name": "First", "commit": commit, "project": project,
    });
    let last = json!({"id": "bcbb", "message": "Tax\n"});
    let mut commented = merge.clone();
    commented["last_commit"] = last;
    let note = json!({
        "object_kind": "note", "user": user, "project": project, "merge_request": commented,
        "object_attributes": {"id": 1244, "noteable_type": "MergeRequest"},
    });
    let of_merge = json!({
        "ref": "refs/merge-requests/12/head", "branch": "tax", "baseBranch": "main", "number": 12, "fork": true,
    });
    for (body, kind, subject, wanted) in [
        (
            pipeline(Value::Null, false, "main"),
            "gitlab.pipeline.success",
            Some("31"),
            git(json!({"ref": "refs/heads/main", "branch": "main"})),
        ),
        (
            pipeline(Value::Null, true, "v1"),
            "gitlab.pipeline.success",
            Some("31"),
            git(json!({"ref": "refs/tags/v1"})),
        ),
        (
            pipeline(merge, false, "refs/merge-requests/12/head"),
            "gitlab.pipeline.success",
            Some("31"),
            git(of_merge.clone()),
        ),
        (
            job(false),
            "gitlab.job.failed",
            Some("77"),
            git(json!({"ref": "refs/heads/main", "branch": "main"})),
        ),
        (job(true), "gitlab.job.failed", Some("77"), git(json!({"ref": "refs/tags/main"}))),
        (
            release,
            "gitlab.release.create",
            None,
            git(json!({"ref": "refs/tags/v1", "author": "Kim", "message": "First"})),
        ),
        (note, "gitlab.note.merge_request", Some("1244"), {
            let mut git = git(of_merge);
            git["message"] = json!("Tax");
            git
        }),
    ] {
        let event =
            read("gitlab", &Value::Null, &[("webhook-id", "l-1")], body.to_string()).unwrap().attributes;
        assert_eq!(said(&event), (kind, "l-1", subject, GITLAB, wanted), "{body}");
    }
}
