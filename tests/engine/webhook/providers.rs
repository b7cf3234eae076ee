//! Fixtures by the documentation of Bitbucket, Gitea, Slack and Stripe: type, id and git.

use kickoff::engine::event::Attributes;
use kickoff::engine::webhook::Received;
use serde_json::{Value, json};

use super::deliveries::{read, receive};

/// Type after `com.`, id, subject, source and git.
pub(super) fn said(event: &Attributes) -> (&str, &str, Option<&str>, &str, Value) {
    (
        event.event_type.strip_prefix("com.").unwrap(),
        &event.id,
        event.subject.as_deref(),
        &event.source,
        serde_json::to_value(&event.git).unwrap(),
    )
}

fn bitbucket(key: &str, body: &Value) -> Attributes {
    let fields = [("X-Event-Key", key), ("X-Request-UUID", "b-1"), ("X-Hook-UUID", "h-1")];
    read("bitbucket", &Value::Null, &fields, body.to_string()).unwrap().attributes
}

fn shop() -> Value {
    json!({
        "type": "repository", "full_name": "acme/shop", "uuid": "{1}",
        "links": {"html": {"href": "https://bitbucket.org/acme/shop"}},
    })
}

const URL: &str = "https://bitbucket.org/acme/shop";

fn moved(kind: &str, name: &str, hash: &str) -> Value {
    json!({
        "type": kind, "name": name,
        "target": {"type": "commit", "hash": hash, "message": "Tax\n", "author": {"raw": "Kim <kim@acme.example>"}},
    })
}

/// <https://support.atlassian.com/bitbucket-cloud/docs/event-payloads/#Push>
#[test]
fn a_push_to_bitbucket_tells_its_commit() {
    let actor = json!({"type": "user", "display_name": "Kim L", "nickname": "kim"});
    let push = |changes: Value| json!({"actor": actor, "repository": shop(), "push": {"changes": changes}});
    let old = moved("branch", "main", "1e65");
    let branch =
        json!([{"new": moved("branch", "main", "709d"), "old": old, "created": false, "closed": false}]);
    let git = json!({
        "repository": "acme/shop", "url": URL, "sha": "709d", "ref": "refs/heads/main", "branch": "main",
        "author": "kim", "message": "Tax\n",
    });
    let event = bitbucket("repo:push", &push(branch));
    assert_eq!(said(&event), ("bitbucket.repo.push", "b-1", Some("refs/heads/main"), URL, git));
    let tag = json!([{"new": moved("tag", "v1", "709d"), "old": null, "created": true}]);
    let git = json!({
        "repository": "acme/shop", "url": URL, "sha": "709d", "ref": "refs/tags/v1", "author": "kim",
        "message": "Tax\n",
    });
    let event = bitbucket("repo:push", &push(tag));
    assert_eq!(said(&event), ("bitbucket.repo.push", "b-1", Some("refs/tags/v1"), URL, git));
    let gone = json!([{"new": null, "old": old, "closed": true}]);
    let git = json!({
        "repository": "acme/shop", "url": URL, "ref": "refs/heads/main", "branch": "main", "author": "kim",
    });
    let event = bitbucket("repo:push", &push(gone.clone()));
    assert_eq!(said(&event), ("bitbucket.repo.push", "b-1", Some("refs/heads/main"), URL, git));
    // Of several references, the first that is still there.
    let several = json!([gone[0], {"new": moved("branch", "dev", "77aa"), "old": null}]);
    assert_eq!(bitbucket("repo:push", &push(several)).git.unwrap().sha.as_deref(), Some("77aa"));
}

/// <https://support.atlassian.com/bitbucket-cloud/docs/event-payloads/#Pull-request-events>
#[test]
fn a_pull_request_of_bitbucket_tells_both_sides_and_whether_it_is_a_fork() {
    let mallory = json!({"full_name": "mallory/shop", "uuid": "{2}"});
    for (source, fork) in [(shop(), false), (mallory, true), (Value::Null, true)] {
        let body = json!({
            "actor": {"nickname": "bot"}, "repository": shop(),
            "pullrequest": {
                "id": 7, "title": "Tax", "state": "OPEN", "author": {"nickname": "kim", "display_name": "Kim L"},
                "source": {"branch": {"name": "tax"}, "commit": {"hash": "d3022fc0ca3d"}, "repository": source},
                "destination": {"branch": {"name": "main"}, "commit": {"hash": "ce5965ddd289"}, "repository": shop()},
            },
        });
        let mut git = json!({
            "repository": "acme/shop", "url": URL, "sha": "d3022fc0ca3d", "branch": "tax", "baseBranch": "main",
            "number": 7, "fork": fork, "author": "kim", "message": "Tax",
        });
        if !fork {
            git["ref"] = json!("refs/heads/tax");
        }
        let event = bitbucket("pullrequest:created", &body);
        assert_eq!(said(&event), ("bitbucket.pullrequest.created", "b-1", Some("7"), URL, git));
    }
}

/// <https://support.atlassian.com/bitbucket-cloud/docs/event-payloads/#Build-status-created>
#[test]
fn a_build_status_of_bitbucket_tells_its_commit() {
    let link = "https://api.bitbucket.org/2.0/repositories/acme/shop/commit/9fec847784abb10b2fa567ee63b85bd238955d0e";
    let status = |refname: Value| {
        json!({
            "name": "Unit tests", "state": "SUCCESSFUL", "key": "ci", "type": "build", "refname": refname,
            "links": {"commit": {"href": link}},
        })
    };
    let body =
        json!({"actor": {"nickname": "kim"}, "repository": shop(), "commit_status": status(json!("main"))});
    let git = json!({
        "repository": "acme/shop", "url": URL, "sha": "9fec847784abb10b2fa567ee63b85bd238955d0e",
        "ref": "refs/heads/main", "branch": "main", "author": "kim",
    });
    let event = bitbucket("repo:commit_status_updated", &body);
    assert_eq!(said(&event), ("bitbucket.repo.commit_status_updated", "b-1", None, URL, git));
    let body = json!({"repository": shop(), "commit_status": status(Value::Null), "commit": {"hash": "9fec", "message": "m"}});
    let git = json!({"repository": "acme/shop", "url": URL, "sha": "9fec", "message": "m"});
    assert_eq!(said(&bitbucket("repo:commit_status_created", &body)).4, git);
}

const GITEA: &str = "https://git.acme.example/acme/shop";

fn gitea(event: &str, body: &Value) -> Attributes {
    let all = read(
        "gitea",
        &Value::Null,
        &[("X-Gitea-Event", event), ("X-Gitea-Delivery", "g-1")],
        body.to_string(),
    );
    let all = all.unwrap().attributes;
    let forgejo = [("X-Forgejo-Event", event), ("X-Forgejo-Delivery", "g-1")];
    let forgejo = read("gitea", &Value::Null, &forgejo, body.to_string()).unwrap().attributes;
    assert_eq!(forgejo, all, "Forgejo's own headers say the same");
    all
}

/// <https://docs.gitea.com/usage/webhooks>
#[test]
fn deliveries_of_gitea_tell_their_commit() {
    let repository = json!({"id": 140, "full_name": "acme/shop", "html_url": GITEA});
    let known = json!({"repository": "acme/shop", "url": GITEA, "author": "kim"});
    let with = |further: Value| {
        let mut git = known.clone();
        git.as_object_mut().unwrap().extend(further.as_object().unwrap().clone());
        git
    };
    let push = json!({
        "ref": "refs/heads/develop", "before": "28e1", "after": "bffe", "compare_url": "https://x", "total_commits": 1,
        "commits": [{"id": "bffe", "message": "Tax", "added": ["a"], "removed": [], "modified": []}],
        "head_commit": {"id": "bffe", "message": "Tax"}, "repository": repository,
        "pusher": {"login": "kim"}, "sender": {"login": "kim"},
    });
    let git =
        with(json!({"sha": "bffe", "ref": "refs/heads/develop", "branch": "develop", "message": "Tax"}));
    assert_eq!(said(&gitea("push", &push)), ("gitea.push", "g-1", Some("refs/heads/develop"), GITEA, git));
    let pull = json!({
        "action": "synchronized", "number": 3, "repository": repository, "sender": {"login": "bot"},
        "pull_request": {
            "number": 3, "title": "Tax", "user": {"login": "kim"},
            "base": {"ref": "main", "sha": "aa", "repo_id": 140, "repo": repository},
            "head": {"ref": "tax", "sha": "bb", "repo_id": 7, "repo": {"id": 7, "full_name": "mallory/shop"}},
        },
    });
    let git = with(json!({
        "sha": "bb", "ref": "refs/pull/3/head", "branch": "tax", "baseBranch": "main", "number": 3, "fork": true,
        "message": "Tax",
    }));
    assert_eq!(
        said(&gitea("pull_request", &pull)),
        ("gitea.pull_request.synchronized", "g-1", Some("3"), GITEA, git)
    );
    let create = json!({"sha": "cc", "ref": "v1", "ref_type": "tag", "repository": repository, "sender": {"login": "kim"}});
    let git = with(json!({"ref": "refs/tags/v1"}));
    assert_eq!(said(&gitea("create", &create)), ("gitea.create.tag", "g-1", Some("v1"), GITEA, git));
    let release = json!({
        "action": "published", "repository": repository, "sender": {"login": "kim"},
        "release": {"id": 9, "tag_name": "v1", "target_commitish": "main", "name": "First"},
    });
    let git = with(json!({"ref": "refs/tags/v1", "message": "First"}));
    assert_eq!(said(&gitea("release", &release)), ("gitea.release.published", "g-1", Some("9"), GITEA, git));
    let run = json!({
        "action": "completed", "repository": repository, "sender": {"login": "kim"},
        "workflow_run": {"id": 5, "head_branch": "main", "head_sha": "dd", "event": "push", "conclusion": "success"},
    });
    let git = with(json!({"sha": "dd", "branch": "main"}));
    assert_eq!(
        said(&gitea("workflow_run", &run)),
        ("gitea.workflow_run.completed", "g-1", Some("5"), GITEA, git)
    );
}

/// <https://docs.slack.dev/apis/events-api/>, <https://docs.slack.dev/interactivity/>
#[test]
fn events_commands_and_interactions_of_slack_have_types_and_ids() {
    let form = ("content-type", "application/x-www-form-urlencoded");
    let event = json!({"type": "event_callback", "event_id": "Ev9UQ52YNA", "event": {"type": "app_mention", "text": "hi"}});
    let event = read("slack", &Value::Null, &[], event.to_string()).unwrap();
    assert_eq!(said(&event.attributes), ("slack.app_mention", "Ev9UQ52YNA", None, "/hooks/in", Value::Null));
    let command =
        "command=%2Fdeploy&text=shop+%26+web&trigger_id=133.73.80&response_url=https%3A%2F%2Fhooks.example";
    let event = read("slack", &Value::Null, &[form], command).unwrap();
    assert_eq!(said(&event.attributes), ("slack.command", "133.73.80", None, "/hooks/in", Value::Null));
    let data = event.data().unwrap();
    assert_eq!((&data["command"], &data["text"]), (&json!("/deploy"), &json!("shop & web")));
    let click = "payload=%7B%22type%22%3A%22block_actions%22%2C%22trigger_id%22%3A%2212.34%22%7D";
    let event = read("slack", &Value::Null, &[form], click).unwrap();
    assert_eq!(said(&event.attributes), ("slack.block_actions", "12.34", None, "/hooks/in", Value::Null));
    // Without an id of Slack's, the body stands for itself.
    let other =
        |text: &str| read("slack", &Value::Null, &[], json!({"type": "x", "a": text}).to_string()).unwrap();
    assert_eq!(other("1").attributes.key, other("1").attributes.key);
    assert_ne!(other("1").attributes.key, other("2").attributes.key);
    for form_body in ["a=1&a=2", "a=%", "payload=%7B", "a=%ff"] {
        assert!(read("slack", &Value::Null, &[form], form_body).is_err(), "{form_body}");
    }
}

#[test]
fn slack_gets_its_challenge_back() {
    let body = |challenge: Value| json!({"type": "url_verification", "challenge": challenge}).to_string();
    match receive("slack", &Value::Null, &[], body(json!("3eZbrw1a"))) {
        Ok(Received::Challenge(text)) => assert_eq!(text, "3eZbrw1a"),
        other => panic!("{other:?}"),
    }
    for challenge in [Value::Null, json!(7), json!("x".repeat(5_000))] {
        assert!(receive("slack", &Value::Null, &[], body(challenge)).is_err());
    }
}

/// <https://docs.stripe.com/api/events/object>
#[test]
fn an_event_of_stripe_has_its_own_id_and_type() {
    let body =
        json!({"id": "evt_1", "object": "event", "type": "invoice.paid", "data": {"object": {"id": "in_7"}}});
    let event = read("stripe", &Value::Null, &[], body.to_string()).unwrap().attributes;
    assert_eq!(said(&event), ("stripe.invoice.paid", "evt_1", Some("in_7"), "/hooks/in", Value::Null));
    for body in [
        json!({"type": "a"}),
        json!({"id": "evt_1"}),
        json!({"id": "", "type": "a"}),
        json!({"id": 7, "type": "a"}),
    ] {
        assert!(read("stripe", &Value::Null, &[], body.to_string()).is_err(), "{body}");
    }
}

#[test]
fn a_form_of_github_and_gitea_is_its_json() {
    let form = ("content-type", "application/x-www-form-urlencoded");
    let encoded = "payload=%7B%22ref%22%3A%22refs%2Fheads%2Fa%2Bb%22%2C%22head_commit%22%3A%7B%22message%22%3A%22one+two%22%7D%7D";
    for fields in [
        vec![("X-GitHub-Event", "push"), ("X-GitHub-Delivery", "1"), form],
        vec![("X-Gitea-Event", "push"), ("X-Gitea-Delivery", "1"), form],
    ] {
        let name = if fields[0].0.contains("GitHub") { "github" } else { "gitea" };
        let event = read(name, &Value::Null, &fields, encoded).unwrap();
        assert_eq!(event.attributes.datacontenttype, "application/json");
        assert_eq!(event.data().unwrap()["head_commit"]["message"], "one two");
        assert_eq!(event.attributes.git.unwrap().branch.as_deref(), Some("a+b"));
        for bad in [
            "",
            "payload",
            "x=1",
            "payload=%7B%7D&payload=%7B%7D",
            "payload=%7B%7",
            "payload=%FF",
            "payload={}x",
        ] {
            assert!(read(name, &Value::Null, &fields, bad).is_err(), "{name} {bad}");
        }
    }
}
