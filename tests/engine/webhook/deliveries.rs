//! What deliveries say: type, id, source, subject and git.

use bytes::Bytes;
use kickoff::engine::definitions::Webhook;
use kickoff::engine::definitions::config::Forks;
use kickoff::engine::definitions::model::Allowed;
use kickoff::engine::event::Event;
use kickoff::engine::ids::{EventKey, ObjectName};
use kickoff::engine::webhook::{Delivery, Naming, Received, Unreadable};
use serde_json::{Value, json};

use super::{auth, headers, provider};

/// Reads a delivery of media type JSON at a fixed time; its receipt would be `receipt`.
pub(super) fn receive(
    name: &str,
    config: &Value,
    fields: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> Result<Received, Unreadable> {
    receive_at(&ObjectName::new("default", "in"), name, config, fields, body)
}

fn receive_at(
    at: &ObjectName,
    name: &str,
    config: &Value,
    fields: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> Result<Received, Unreadable> {
    let webhook = Webhook {
        name: at.clone(),
        path: format!("/hooks/{}", at.within("default")),
        provider: provider(name),
        forks: Forks::Deny,
        max_body: usize::MAX,
        verifier: Err("not asked for".to_owned()),
        naming: Naming::compile(auth(config).as_ref()).unwrap(),
        allowed: Allowed::None,
    };
    let mut headers = headers(fields);
    headers.entry("content-type").or_insert("application/json".parse().unwrap());
    Delivery::read(&webhook, &headers, body.into(), || "receipt".to_owned(), 7)
}

/// Reads a delivery that must be one event.
pub(super) fn read(
    name: &str,
    config: &Value,
    fields: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> Result<Event, Unreadable> {
    match receive(name, config, fields, body)? {
        Received::Event(event) => Ok(*event),
        other => panic!("{other:?} is not one event"),
    }
}

/// The type after `com.`, subject and git.
type Said<'a> = (&'a str, Option<&'a str>, Value);

fn check(name: &str, fields: &[(&str, &str)], body: &Value, wanted: &Said<'_>) {
    let event = read(name, &Value::Null, fields, body.to_string()).unwrap().attributes;
    let git = serde_json::to_value(&event.git).unwrap();
    let event_type = event.event_type.strip_prefix("com.").unwrap();
    assert_eq!((event_type, event.subject.as_deref(), git), *wanted);
}

fn github(event: &str, body: &Value, wanted: &Said<'_>) {
    check("github", &[("X-GitHub-Event", event), ("X-GitHub-Delivery", "d-1")], body, wanted);
}

fn gitlab(body: &Value, wanted: &Said<'_>) {
    check("gitlab", &[("webhook-id", "d-1"), ("X-Gitlab-Event", "Some Hook")], body, wanted);
}

fn shop() -> Value {
    json!({"id": 1, "full_name": "acme/shop", "html_url": "https://github.com/acme/shop"})
}

#[test]
fn a_push_to_github_tells_its_commit() {
    let body = json!({
        "ref": "refs/heads/feature/tax", "after": "59b20b8d", "deleted": false, "repository": shop(),
        "pusher": {"name": "kim", "email": "kim@acme.example"}, "sender": {"login": "kim-l"},
        "head_commit": {"id": "59b20b8d", "message": "Revert \"x\"\n\nwhy"},
    });
    let git = json!({
        "repository": "acme/shop", "url": "https://github.com/acme/shop", "sha": "59b20b8d",
        "ref": "refs/heads/feature/tax", "branch": "feature/tax", "author": "kim-l",
        "message": "Revert \"x\"\n\nwhy",
    });
    github("push", &body, &("github.push", Some("refs/heads/feature/tax"), git));
}

#[test]
fn a_tag_tells_the_commit_and_not_the_tag() {
    let body = json!({
        "ref": "refs/tags/v1", "after": "aaaa", "repository": shop(), "pusher": {"name": "kim"},
        "head_commit": {"id": "bbbb", "message": "m"},
    });
    let git = json!({
        "repository": "acme/shop", "url": "https://github.com/acme/shop", "sha": "bbbb",
        "ref": "refs/tags/v1", "author": "kim", "message": "m",
    });
    github("push", &body, &("github.push", Some("refs/tags/v1"), git));
}

#[test]
fn a_deleted_branch_has_no_commit() {
    let zeros = "0".repeat(40);
    let body = json!({"ref": "refs/heads/old", "after": zeros, "deleted": true, "head_commit": null});
    github(
        "push",
        &body,
        &("github.push", Some("refs/heads/old"), json!({"ref": "refs/heads/old", "branch": "old"})),
    );
    let body = json!({"object_kind": "push", "ref": "refs/heads/old", "after": zeros, "checkout_sha": null});
    gitlab(
        &body,
        &("gitlab.push", Some("refs/heads/old"), json!({"ref": "refs/heads/old", "branch": "old"})),
    );
}

#[test]
fn a_created_tag_or_branch_tells_its_full_reference() {
    for (kind, wanted) in [
        ("tag", json!({"ref": "refs/tags/v1", "author": "kim"})),
        ("branch", json!({"ref": "refs/heads/v1", "branch": "v1", "author": "kim"})),
    ] {
        let body = json!({"ref": "v1", "ref_type": kind, "sender": {"login": "kim"}});
        github("create", &body, &(&format!("github.create.{kind}"), Some("v1"), wanted));
    }
}

#[test]
fn a_pull_request_tells_both_sides_and_whether_it_is_a_fork() {
    for (head_repo, fork) in [
        (shop(), json!(false)),
        (json!({"id": 2, "full_name": "mallory/shop"}), json!(true)),
        (json!({"full_name": "mallory/shop"}), json!(true)),
        (Value::Null, json!(true)),
        (json!({}), Value::Null),
    ] {
        let body = json!({
            "action": "opened", "number": 12, "repository": shop(), "sender": {"login": "bot"},
            "pull_request": {
                "number": 12, "title": "Tax", "user": {"login": "kim"},
                "head": {"ref": "tax", "sha": "abc1", "repo": head_repo},
                "base": {"ref": "main", "sha": "abc0", "repo": shop()},
            },
        });
        let mut git = json!({
            "repository": "acme/shop", "url": "https://github.com/acme/shop", "sha": "abc1",
            "ref": "refs/pull/12/head", "branch": "tax", "baseBranch": "main", "number": 12,
            "author": "kim", "message": "Tax",
        });
        if !fork.is_null() {
            git["fork"] = fork;
        }
        github("pull_request", &body, &("github.pull_request.opened", Some("12"), git));
    }
}

#[test]
fn types_of_github_are_those_of_the_adapter() {
    for (event, body, wanted, subject) in [
        ("issues", json!({"action": "opened", "issue": {"number": 3}}), "github.issue.opened", Some("3")),
        ("check_run", json!({"action": "completed"}), "github.check_run.completed", None),
        ("deployment", json!({"action": "created"}), "github.deployment", None),
        (
            "deployment_status",
            json!({"deployment_status": {"state": "success"}}),
            "github.deployment_status.success",
            None,
        ),
        ("membership", json!({"scope": "team", "action": "added"}), "github.membership.team.added", None),
        ("ping", json!({"zen": "Keep it."}), "github.ping", None),
        ("push", json!({}), "github.push", None),
        ("release", json!({"action": "sp ace"}), "github.release", None),
        ("release", json!({"action": 7}), "github.release", None),
    ] {
        github(event, &body, &(wanted, subject, Value::Null));
    }
}

#[test]
fn a_push_to_gitlab_tells_its_commit() {
    let project =
        json!({"path_with_namespace": "acme/apps/shop", "web_url": "https://gitlab.example/acme/apps/shop"});
    let body = json!({
        "object_kind": "push", "ref": "refs/heads/main", "after": "da15", "checkout_sha": "da15",
        "user_name": "Kim", "user_username": "kim", "project": project,
        "commits": [{"id": "da14", "message": "older"}, {"id": "da15", "message": "newest"}, {"id": "x", "message": "odd"}],
    });
    let git = json!({
        "repository": "acme/apps/shop", "url": "https://gitlab.example/acme/apps/shop", "sha": "da15",
        "ref": "refs/heads/main", "branch": "main", "author": "kim", "message": "newest",
    });
    gitlab(&body, &("gitlab.push", Some("da15"), git));
    let body =
        json!({"object_kind": "tag_push", "ref": "refs/tags/v1", "checkout_sha": "da15", "user_name": "Kim"});
    let git = json!({"sha": "da15", "ref": "refs/tags/v1", "author": "Kim"});
    gitlab(&body, &("gitlab.tag_push", Some("refs/tags/v1"), git));
}

#[test]
fn a_merge_request_tells_both_sides_and_whether_it_is_a_fork() {
    for (target, fork) in [(15, false), (16, true)] {
        let body = json!({
            "object_kind": "merge_request", "user": {"username": "kim", "name": "Kim"},
            "project": {"path_with_namespace": "acme/shop", "web_url": "https://gitlab.example/acme/shop"},
            "object_attributes": {
                "iid": 7, "id": 99, "action": "open", "title": "Tax", "source_branch": "tax", "target_branch": "main",
                "source_project_id": 15, "target_project_id": target, "last_commit": {"id": "da15"},
            },
        });
        let git = json!({
            "repository": "acme/shop", "url": "https://gitlab.example/acme/shop", "sha": "da15",
            "ref": "refs/merge-requests/7/head", "branch": "tax", "baseBranch": "main", "number": 7,
            "fork": fork, "author": "kim", "message": "Tax",
        });
        gitlab(&body, &("gitlab.merge_request.open", Some("7"), git));
    }
}

#[test]
fn types_of_gitlab_are_those_of_the_adapter() {
    for (body, wanted, subject) in [
        (
            json!({"object_kind": "issue", "object_attributes": {"iid": 3, "state": "opened"}}),
            "gitlab.issue.opened",
            Some("3"),
        ),
        (
            json!({"object_kind": "note", "object_attributes": {"id": 4, "noteable_type": "MergeRequest"}}),
            "gitlab.note.merge_request",
            Some("4"),
        ),
        (
            json!({"object_kind": "pipeline", "object_attributes": {"id": 5, "status": "success"}}),
            "gitlab.pipeline.success",
            Some("5"),
        ),
        (
            json!({"object_kind": "build", "build_id": 6, "build_status": "failed"}),
            "gitlab.job.failed",
            Some("6"),
        ),
        (
            json!({"object_kind": "wiki_page", "object_attributes": {"slug": "home", "action": "create"}}),
            "gitlab.wiki_page.create",
            Some("home"),
        ),
        (json!({"object_kind": "release", "action": "create"}), "gitlab.release.create", None),
        (json!({"event_name": "project_create"}), "gitlab.project_create", None),
        (json!({}), "gitlab.some", None),
    ] {
        gitlab(&body, &(wanted, subject, Value::Null));
    }
}

#[test]
fn type_and_id_of_other_senders_stand_where_the_definition_says() {
    let of = |name: &str, config: Value, fields: &[(&str, &str)], body: &str| {
        let event = read(name, &config, fields, body.to_owned()).unwrap().attributes;
        (event.event_type, event.id)
    };
    let named = |event_type: &str, id: &str| (event_type.to_owned(), id.to_owned());
    let id = [("webhook-id", "m-1")];
    assert_eq!(
        of("standard", Value::Null, &id, r#"{"type":"invoice.paid"}"#),
        named("com.standard.invoice.paid", "m-1")
    );
    assert_eq!(of("standard", Value::Null, &id, r#"{"type":7}"#), named("com.standard.event", "m-1"));
    assert_eq!(of("standard", Value::Null, &id, "[1]"), named("com.standard.event", "m-1"));
    assert_eq!(of("hmac", Value::Null, &[], "{}"), named("com.hmac.event", "receipt"));
    let config = json!({"idHeader": "X-Request-UUID", "typeHeader": "X-Event-Key"});
    let fields = [("x-request-uuid", "u-1"), ("x-event-key", "repo:push")];
    assert_eq!(of("hmac", config.clone(), &fields, "{}"), named("com.hmac.repo:push", "u-1"));
    assert_eq!(of("hmac", config, &fields[..1], "{}"), named("com.hmac.event", "u-1"));
    for (path, body) in [
        ("id", r#"{"id":"42"}"#),
        ("$.id", r#"{"id":42}"#),
        ("a[1]['the id']", r#"{"x":{"id":1},"a":[{"the id":1},{"the id":42},{"the id":3}],"b":[]}"#),
        ("[0]", "[42,43]"),
        ("id", r#"{"id":1,"id":42}"#),
    ] {
        assert_eq!(of("token", json!({"idPath": path}), &[], body), named("com.token.event", "42"), "{path}");
    }
}

#[test]
fn an_event_comes_from_its_repository_or_its_webhook() {
    let of = |name: &str, fields: &[(&str, &str)], body: Value| {
        read(name, &Value::Null, fields, body.to_string()).unwrap().attributes
    };
    let fields = [("X-GitHub-Event", "push"), ("X-GitHub-Delivery", "d-1")];
    let event = of("github", &fields, json!({"repository": shop()}));
    assert_eq!((event.source.as_str(), event.id.as_str()), ("https://github.com/acme/shop", "d-1"));
    assert_eq!((event.ingress.to_string().as_str(), event.received_at), ("webhook/default/in", 7));
    let other = of("github", &[fields[0], ("X-GitHub-Delivery", "d-2")], json!({"repository": shop()}));
    assert_ne!(event.key, other.key);
    for url in [
        json!("javascript:alert(1)"),
        json!("https://a b"),
        json!(7),
        json!(format!("https://{}", "a".repeat(2_000))),
    ] {
        let event = of("github", &fields, json!({"repository": {"html_url": url}}));
        assert_eq!(event.source, "/hooks/in");
        assert_eq!(event.git, None);
    }
    let event = of(
        "gitlab",
        &[("idempotency-key", "k-1")],
        json!({
            "object_kind": "push", "repository": {"homepage": "https://gitlab.example/acme/shop"},
        }),
    );
    assert_eq!((event.source.as_str(), event.id.as_str()), ("https://gitlab.example/acme/shop", "k-1"));
    assert_eq!(of("token", &[], json!({})).source, "/hooks/in");
}

/// One sender of an id must not pre-empt another, and what was known before paths told namespaces is known still.
#[test]
fn webhooks_of_one_name_in_two_namespaces_share_neither_sources_nor_keys() {
    let config = json!({"idHeader": "X-Id"});
    let of = |namespace: &str| {
        let at = ObjectName::new(namespace, "in");
        match receive_at(&at, "token", &config, &[("X-Id", "1")], "{}").unwrap() {
            Received::Event(event) => event.attributes,
            other => panic!("{other:?} is not one event"),
        }
    };
    let (own, shop, bank) = (of("default"), of("shop"), of("bank"));
    assert_eq!([&own.source, &shop.source, &bank.source], ["/hooks/in", "/hooks/shop/in", "/hooks/bank/in"]);
    for (attributes, namespace) in [(&own, "default"), (&shop, "shop"), (&bank, "bank")] {
        let key = EventKey::derive(&format!("webhook/{namespace}/in"), "/hooks/in", "1");
        assert_eq!(attributes.key, key, "{namespace}");
    }
    assert!(own.key != shop.key && shop.key != bank.key && bank.key != own.key);
}
