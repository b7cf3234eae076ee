//! Events sent by the npm package `cloudevents`, in all three modes.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{installed, run};
use crate::support::Home;

const DEFINITIONS: &str = "
apiVersion: kickoff.dev/v1alpha1
kind: Webhook
metadata: {name: events}
spec: {provider: cloudevents, secrets: [{env: EVENTS_SECRET}]}
";

#[tokio::test]
async fn binary_structured_and_batch_events_of_the_package_are_the_same_events() {
    let packages = installed("node_modules");
    let packages = packages.parent().unwrap().to_owned();
    let home = Home::new(DEFINITIONS);
    let server = home.serve(&[], &[("EVENTS_SECRET", "s3cret")]);
    let url = format!("{}/hooks/events", server.url);
    let arguments = [packages.into(), url.into(), "s3cret".into()];
    let printed =
        tokio::task::spawn_blocking(move || run("node", "cloudevents.mjs", &arguments, "")).await.unwrap();
    let answers: Vec<Value> = serde_json::from_str(&printed).unwrap();
    let mut keys: BTreeMap<String, String> = BTreeMap::new();
    for answer in &answers {
        let receipts =
            answer["body"]["events"].as_array().cloned().unwrap_or_else(|| vec![answer["body"].clone()]);
        let ids: Vec<&str> = answer["events"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        assert_eq!(receipts.len(), ids.len(), "{answer}");
        let known = ids.iter().all(|id| keys.contains_key(*id));
        assert_eq!(answer["status"], if known { 200 } else { 202 }, "{answer}");
        for (id, receipt) in ids.into_iter().zip(receipts) {
            let key = receipt["event"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned();
            assert_eq!(receipt["duplicate"], keys.contains_key(id), "{answer}");
            let first = keys.entry(id.to_owned()).or_insert_with(|| key.clone());
            assert_eq!(*first, key, "{id} is one event in every mode");
        }
    }
    assert_eq!((answers.len(), keys.len()), (12, 10));
    for (id, media_type, further) in [
        ("plain", "application/json", json!({})),
        ("text", "text/plain", json!({})),
        ("none-in-batch", "application/json", json!({})),
        (
            "extended",
            "application/json",
            json!({"dataschema": "https://acme.example/schema", "traceparent": "00-ab", "priority": "3"}),
        ),
        (
            "extended-in-batch",
            "application/json",
            json!({"dataschema": "https://acme.example/schema", "traceparent": "00-ab", "priority": 3}),
        ),
        ("bytes-in-batch", "application/octet-stream", json!({})),
    ] {
        let event = server.get(&format!("/api/v1/events/{}", keys[id])).await;
        let said = (&event["id"], &event["source"], &event["type"], &event["datacontenttype"]);
        assert_eq!(said, (&json!(id), &json!("/orders"), &json!("com.acme.order"), &json!(media_type)));
        let mut extensions = further;
        extensions["time"] = json!("2026-03-02T09:14:07.000Z");
        assert_eq!(event["extensions"], extensions, "{id}");
    }
}
