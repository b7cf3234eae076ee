//! `/livez` and `/readyz` of the real binary.

use serde_json::{Value, json};

use super::{DEFINITIONS, TOKEN, get};
use crate::support::Home;

#[tokio::test]
async fn readiness_names_the_parts_that_a_delivery_needs() {
    let home = Home::new(DEFINITIONS);
    let server = home.serve(&[], &[("LOAD_TOKEN", TOKEN)]);
    let told = super::until("everything is ready", async || {
        let (status, _, text) = get(&server, "/readyz", "*/*").await;
        (status == 200).then_some(text)
    })
    .await;
    assert_eq!(told, "definitions: ready\nstore: ready\ntasks: ready\nok\n");
    let (status, kind, text) = get(&server, "/readyz", "application/json").await;
    let part = |name: &str| json!({"name": name, "ready": true});
    assert_eq!((status, kind.as_str()), (200, "application/json"));
    assert_eq!(
        serde_json::from_str::<Value>(&text).unwrap(),
        json!({"ready": true, "parts": [part("definitions"), part("store"), part("tasks")]})
    );
    assert_eq!(get(&server, "/livez", "text/html, */*").await.2, "ok\n");
    let (_, _, text) = get(&server, "/livez", "application/json;q=1").await;
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap()["ready"], true);
}

#[tokio::test]
async fn a_folder_of_definitions_that_is_gone_turns_no_delivery_away() {
    let home = Home::new(DEFINITIONS);
    let server = home.serve(&[], &[("LOAD_TOKEN", TOKEN)]);
    std::fs::rename(home.definitions(), home.path().join("away")).unwrap();
    super::until("it was noticed", async || {
        server.said().contains("definitions stay as they are").then_some(())
    })
    .await;
    assert_eq!(get(&server, "/readyz", "*/*").await.0, 200);
    assert_eq!(super::deliver(&server, "1", "{}", &[]).await.0, 202);
}
