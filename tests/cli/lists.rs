use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{DEFINITIONS, post};
use crate::support::{Home, Server, all_ended};

const SECRET: &str = "planted-webhook-secret";

fn server() -> (Home, Server) {
    let home = Home::new(DEFINITIONS);
    let server = home.serve(&[], &[("CLI_SECRET", SECRET)]);
    (home, server)
}

async fn ids(server: &Server, path: &str) -> Vec<String> {
    let page = server.get(path).await;
    let items = page["items"].as_array().unwrap().iter();
    items.map(|it| it["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn events_are_listed_by_what_was_decided_also_what_was_filtered() {
    let (_home, server) = server();
    for (id, branch) in [("d1", "main"), ("d2", "dev"), ("d3", "main"), ("d4", "topic")] {
        super::deliver_signed(&server, SECRET, id, &format!("refs/heads/{branch}")).await;
    }
    let (_, started) = post(&server, "/api/v1/runs", "by-hand", &json!({"template": "say"})).await;
    server.runs_of("d1", all_ended).await;
    server.runs_of("d3", all_ended).await;
    server.runs_of(started["event"].as_str().unwrap(), all_ended).await;
    let push = "type=com.github.push";
    for (query, expected) in [
        (push, vec!["d4", "d3", "d2", "d1"]),
        ("trigger=on-main", vec!["d3", "d1"]),
        ("trigger=default/on-main&decision=fired", vec!["d3", "d1"]),
        ("trigger=elsewhere/on-main&decision=fired", vec![]),
        ("trigger=on-main&decision=filtered", vec!["d4", "d2"]),
        ("trigger=default/on-main&decision=filtered", vec!["d4", "d2"]),
        ("trigger=alone&decision=filtered", vec![]),
        ("decision=filtered", vec!["d4", "d2"]),
        ("decision=skipped", vec![]),
        ("source=https://github.com/acme/shop", vec!["d4", "d3", "d2", "d1"]),
        ("source=/manual", vec!["by-hand"]),
        ("source=https://github.com/acme/shop&decision=fired&type=com.github.push", vec!["d3", "d1"]),
        ("source=/manual&type=com.github.push", vec![]),
        ("type=dev.kickoff.manual&decision=fired", vec!["by-hand"]),
    ] {
        assert_eq!(ids(&server, &format!("/api/v1/events?{query}")).await, expected, "{query}");
    }
    let page = server.get("/api/v1/events?trigger=on-main&decision=filtered&limit=1").await;
    let decision = &page["items"][0]["decisions"][0];
    assert_eq!((&decision["trigger"], &decision["decision"]), (&json!("on-main"), &json!("filtered")));
    assert!(decision["reason"].as_str().unwrap().contains("refs/heads/topic"), "{decision}");
    let next = page["next"].as_str().unwrap();
    let page = format!("/api/v1/events?trigger=on-main&decision=filtered&limit=1&cursor={next}");
    assert_eq!(ids(&server, &page).await, ["d2"]);
}

#[tokio::test]
async fn pages_of_events_and_firings_stay_right_while_rows_arrive() {
    let (_home, server) = server();
    let mut known = BTreeSet::new();
    for id in 0..7 {
        let (_, started) =
            post(&server, "/api/v1/runs", &format!("old-{id}"), &json!({"template": "say"})).await;
        known.insert(started["firing"].as_str().unwrap().to_owned());
        server.runs_of(started["event"].as_str().unwrap(), all_ended).await;
    }
    for (path, field) in [("events?type=dev.kickoff.manual", "id"), ("firings?trigger=say", "id")] {
        let (mut seen, mut cursor, mut pages) = (Vec::new(), String::new(), 0);
        loop {
            let page = server.get(&format!("/api/v1/{path}&limit=2{cursor}")).await;
            seen.extend(
                page["items"].as_array().unwrap().iter().map(|it| it[field].as_str().unwrap().to_owned()),
            );
            let key = format!("{}-{pages}", &path[..6]);
            assert_eq!(post(&server, "/api/v1/runs", &key, &json!({"template": "say"})).await.0, 202);
            pages += 1;
            let Some(next) = page["next"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }
        let old: Vec<&String> =
            seen.iter().filter(|id| id.starts_with("old-") || known.contains(*id)).collect();
        assert_eq!((old.len(), old.iter().collect::<BTreeSet<_>>().len()), (7, 7), "{path}: {seen:?}");
        let new = seen.len() - old.len();
        assert!(new <= 7, "rows that arrive after the first page are not on the later ones: {seen:?}");
    }
}

#[tokio::test]
async fn firings_are_listed_by_trigger_outcome_and_event() {
    let (_home, server) = server();
    let (_, one) = post(&server, "/api/v1/runs", "1", &json!({"trigger": "alone"})).await;
    server.runs_of(one["event"].as_str().unwrap(), all_ended).await;
    let (_, two) =
        post(&server, "/api/v1/runs", "2", &json!({"template": "say", "params": {"code": 2}})).await;
    server.runs_of(two["event"].as_str().unwrap(), all_ended).await;
    let of = |started: &Value| started["firing"].as_str().unwrap().to_owned();
    let (one, two, event) = (of(&one), of(&two), two["event"].as_str().unwrap().to_owned());
    for (query, expected) in [
        (String::new(), vec![two.clone(), one.clone()]),
        ("trigger=alone".to_owned(), vec![one.clone()]),
        ("trigger=default/say".to_owned(), vec![two.clone()]),
        ("outcome=Failed".to_owned(), vec![two.clone()]),
        ("outcome=Passed&trigger=alone".to_owned(), vec![one.clone()]),
        ("outcome=Passed&trigger=say".to_owned(), vec![]),
        (format!("event={event}"), vec![two]),
        (format!("event={event}&trigger=alone"), vec![]),
    ] {
        assert_eq!(ids(&server, &format!("/api/v1/firings?{query}")).await, expected, "{query}");
    }
}

#[tokio::test]
async fn templates_and_webhooks_are_shown_without_what_is_secret() {
    let (_home, server) = server();
    let templates = server.get("/api/v1/templates").await;
    let say = &templates["items"][0];
    assert_eq!((&say["name"], &say["timeoutSeconds"]), (&json!("say"), &json!(2)));
    assert_eq!(say["params"][0], json!({"name": "code", "type": "integer", "required": false, "default": 0}));
    assert_eq!(say["environments"][0]["params"], json!({"message": "from staging"}));
    assert_eq!(*say, server.get("/api/v1/templates/say").await);
    assert_eq!(*say, server.get("/api/v1/templates/default/say").await);
    let webhooks = server.get("/api/v1/webhooks").await;
    let expected = json!({
        "name": "gh", "namespace": "default", "provider": "github", "maxBodyBytes": 26_214_400,
        "path": "/hooks/gh", "ready": true,
    });
    assert_eq!(webhooks, json!({"items": [expected], "next": null}));
    assert_eq!(webhooks["items"][0], server.get("/api/v1/webhooks/gh").await);
    assert!(!webhooks.to_string().contains("CLI_SECRET") && !webhooks.to_string().contains(SECRET));
}
