//! Secrets are planted everywhere a server takes one, used rightly and wrongly, and looked for in
//! everything it says.

use std::path::Path;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{DEFINITIONS, deliver_signed};
use crate::support::{Home, PATIENCE, Server, client, kickoff};

const WEBHOOK: &str = "planted-webhook-secret-7f3a";
const FILED: &str = "planted-file-secret-91bc";
const TOKEN: &str = "planted-api-token-52de";
const WRONG: &str = "planted-wrong-token-0c4d";
const LOCAL: &str = "planted-local-secret-e86b";
const SECRETS: [&str; 5] = [WEBHOOK, FILED, TOKEN, WRONG, LOCAL];

const MORE: &str = r#"
---
apiVersion: kickoff.dev/v1alpha1
kind: Webhook
metadata: {name: filed}
spec: {provider: token, secrets: [{file: SECRET_FILE}], auth: {idHeader: X-Id}}
---
apiVersion: kickoff.dev/v1alpha1
kind: Webhook
metadata: {name: broken}
spec: {provider: github, secrets: [{file: /nowhere/secret}]}
---
apiVersion: kickoff.dev/v1alpha1
kind: JobTemplate
metadata: {name: uses}
spec:
  params: [{name: password, type: secret, default: {secretKeyRef: {name: db, key: password}}}]
  job: {spec: {template: {spec: {containers: [{name: main, command: [sh, -c, 'test -n "$PASSWORD"'], env: [{name: PASSWORD, value: "{{ params.password }}"}]}]}}}}
"#;

/// A server that has all of them, and logs all it can.
fn server() -> (Home, Server) {
    let home = Home::new(DEFINITIONS);
    let secret_file = home.path().join("secret");
    std::fs::write(&secret_file, FILED).unwrap();
    home.define(&(DEFINITIONS.to_owned() + &MORE.replace("SECRET_FILE", secret_file.to_str().unwrap())));
    let local = home.path().join("local-secrets/db");
    std::fs::create_dir_all(&local).unwrap();
    std::fs::write(local.join("password"), LOCAL).unwrap();
    let tokens = home.path().join("tokens.yaml");
    let hash = hex::encode(Sha256::digest(TOKEN));
    std::fs::write(&tokens, format!("- {{name: ci, role: admin, sha256: {hash}}}\n")).unwrap();
    let path = |path: &Path| path.to_str().unwrap().to_owned();
    let arguments =
        ["--tokens", &path(&tokens), "--local-secrets", &path(&home.path().join("local-secrets"))];
    let server = home.serve(&arguments, &[("CLI_SECRET", WEBHOOK), ("RUST_LOG", "trace")]);
    (home, server)
}

/// The whole answer: status, headers, body.
async fn said(request: reqwest::RequestBuilder) -> (u16, String) {
    let answer = request.timeout(PATIENCE).send().await.unwrap();
    let (status, headers) = (answer.status().as_u16(), format!("{:?}", answer.headers()));
    (status, headers + &answer.text().await.unwrap())
}

fn clean(what: &str, text: &str) {
    for secret in SECRETS {
        assert!(!text.contains(secret), "{what} tells {secret}:\n{text}");
    }
}

#[tokio::test]
async fn nothing_that_is_said_tells_a_secret() {
    let (home, server) = server();
    let get = |path: &str| client().get(format!("{}{path}", server.url));
    let post = |path: &str| client().post(format!("{}{path}", server.url));

    let event = deliver_signed(&server, WEBHOOK, "d1", "refs/heads/main").await;
    for (path, header, value, status) in [
        ("/hooks/filed", "Authorization", format!("Bearer {FILED}"), 202),
        ("/hooks/filed", "Authorization", format!("Bearer {WRONG}"), 401),
        ("/hooks/gh", "X-Hub-Signature-256", format!("sha256={WRONG}"), 401),
        ("/hooks/broken", "X-Hub-Signature-256", format!("sha256={WRONG}"), 503),
        ("/hooks/gh/extra/path", "Authorization", format!("Bearer {WRONG}"), 404),
    ] {
        let request = post(path).header(header, value).header("X-Id", "1").header("X-GitHub-Event", "push");
        let (was, text) = said(request.header("X-GitHub-Delivery", "1").json(&json!({}))).await;
        assert_eq!(was, status, "{path}: {text}");
        clean(path, &text);
    }
    let (status, started) =
        said(post("/api/v1/runs").bearer_auth(TOKEN).json(&json!({"template": "uses"}))).await;
    assert_eq!(status, 202, "{started}");
    let until = std::time::Instant::now() + PATIENCE;
    loop {
        let (_, runs) = said(get("/api/v1/runs").bearer_auth(TOKEN)).await;
        clean("the runs", &runs);
        if runs.matches("\"settled\"").count() >= 2 {
            // Of each run, and of its one attempt.
            assert_eq!(runs.matches("\"Passed\"").count(), 4, "the secret reached its process: {runs}");
            break;
        }
        assert!(std::time::Instant::now() < until, "{runs}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let (_, described) = said(get("/openapi.json")).await;
    let json_at = described
        .find("{\"components\"")
        .or_else(|| described.find("{\"info\""))
        .or_else(|| described.find("{\"openapi\""));
    let described: Value = serde_json::from_str(&described[json_at.unwrap()..]).unwrap();
    let mut asked = 0;
    for path in described["paths"].as_object().unwrap().keys().filter(|path| !path.ends_with("/stream")) {
        let path = path.replace("{key}", &event).replace("{namespace}", "default");
        for name in ["gh", "filed", "broken", "uses", "on-main", "nobody"] {
            let path = path.replace("{name}", name).replace("{id}", "0123456789abcdef0123");
            for token in [TOKEN, WRONG] {
                clean(&path, &said(get(&path).bearer_auth(token)).await.1);
                asked += 1;
            }
        }
    }
    assert!(asked > 100, "only {asked} answers were looked at");
    for path in ["/metrics", "/livez", "/readyz", "/openapi.json", "/nothing", "/api/v1/nothing"] {
        clean(path, &said(get(path).bearer_auth(WRONG)).await.1);
    }
    for line in ["runs", "events", "events get x", "run template/nobody", "runs --server http://127.0.0.1:1"]
    {
        for token in [TOKEN, WRONG] {
            let mut verb = kickoff();
            verb.args(line.split(' ')).env("KICKOFF_SERVER", &server.url).env("KICKOFF_TOKEN", token);
            let output = verb.env("RUST_LOG", "trace").output().unwrap();
            clean(line, &String::from_utf8_lossy(&[output.stdout, output.stderr].concat()));
        }
    }
    let log = server.said();
    assert!(log.contains("refused a delivery"), "the log does not tell all it can:\n{log}");
    clean("the log", &log);
    drop(server);
    clean("the database", &String::from_utf8_lossy(&std::fs::read(home.data().join("kickoff.db")).unwrap()));
}
