//! `/livez` and `/readyz` of the real binary.

use serde_json::{Value, json};

use super::{DEFINITIONS, TOKEN, get};
use crate::support::{Home, Server, Starting, kickoff};

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
        let (status, _, told) = get(&server, "/readyz", "*/*").await;
        (status == 200 && told.contains("definitions: ready: they stay as they are: ")).then_some(())
    })
    .await;
    server.saying("definitions stay as they are");
    assert_eq!(super::deliver(&server, "1", "{}", &[]).await.0, 202);
    std::fs::rename(home.path().join("away"), home.definitions()).unwrap();
    let well = async || get(&server, "/readyz", "*/*").await.2.contains("definitions: ready\n").then_some(());
    super::until("it is back", well).await;
}

#[tokio::test]
async fn a_webhook_without_its_secret_and_a_server_without_definitions_are_told() {
    let home = Home::new(DEFINITIONS);
    let server = home.serve(&[], &[]);
    let told = async |server: &Server, what: &str| {
        let (status, _, told) = get(server, "/readyz", "*/*").await;
        (status == 200 && told.contains(what)).then_some(told)
    };
    let closed = "definitions: ready: /hooks/load answers 503, the log says why\n";
    super::until("the Webhook is told", async || told(&server, closed).await).await;
    server.saying("LOAD_TOKEN");
    server.kill();
    let mut command = kickoff();
    command.args(["serve", "--listen", "127.0.0.1:0", "--executor", "local", "--insecure-no-auth"]);
    command.arg("--data-dir").arg(home.data());
    let server = Starting::new(command).listening();
    let none = "definitions: ready: there are none, so nothing fires: ";
    super::until("it is told that there are none", async || told(&server, none).await).await;
    server.saying("no definitions");
}
