//! The API against its own description, by a client that makes requests of the description: valid
//! ones and broken ones. What is answered must be what is described, and nothing may fail.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::cli::DEFINITIONS;
use crate::support::{Home, PATIENCE, Server, client};

const TOKEN: &str = "openapi-token";

/// The client, as `tests/run --setup` installs it.
fn schemathesis() -> PathBuf {
    let of = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let cache = of("XDG_CACHE_HOME").or_else(|| of("HOME").map(|home| home.join(".cache")));
    let program = cache.unwrap().join("kickoff-tests/tools/openapi/bin/schemathesis");
    assert!(program.exists(), "{} is missing: run ./tests/run --setup, which installs it", program.display());
    program
}

fn server() -> (Home, Server) {
    let home = Home::new(DEFINITIONS);
    let tokens = home.path().join("tokens.yaml");
    let hash = hex::encode(Sha256::digest(TOKEN));
    std::fs::write(&tokens, format!("- {{name: fuzz, role: admin, sha256: {hash}}}\n")).unwrap();
    let server = home.serve(&["--tokens", tokens.to_str().unwrap()], &[("CLI_SECRET", "s")]);
    (home, server)
}

async fn run_something(server: &Server) {
    for wanted in [json!({"template": "say"}), json!({"trigger": "on-main", "params": {"code": 3}})] {
        let request = client().post(format!("{}/api/v1/runs", server.url)).bearer_auth(TOKEN);
        let answer = request.json(&wanted).timeout(PATIENCE).send().await.unwrap();
        assert_eq!(answer.status(), 202, "{}", answer.text().await.unwrap());
    }
}

#[tokio::test]
async fn the_server_answers_what_its_description_says() {
    let program = schemathesis();
    let (home, server) = server();
    run_something(&server).await;
    let mut checking = Command::new(program);
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/openapi/schemathesis.toml");
    checking.arg("--config-file").arg(config).arg("run").arg(format!("{}/openapi.json", server.url));
    checking.args(["--header", &format!("Authorization: Bearer {TOKEN}")]);
    // A stream has no end; it has tests of its own.
    checking.args(["--exclude-path", "/api/v1/stream", "--phases", "coverage,fuzzing"]);
    checking.args(["--max-examples", "30", "--seed", "1", "--continue-on-failure", "--no-color"]);
    checking.args(["--request-timeout", "20"]).current_dir(home.path());
    checking.env("NO_PROXY", "127.0.0.1");
    let checked = tokio::task::spawn_blocking(move || checking.output().unwrap());
    let checked = tokio::time::timeout(Duration::from_mins(3), checked).await.unwrap().unwrap();
    let told = String::from_utf8_lossy(&checked.stdout);
    let errors = String::from_utf8_lossy(&checked.stderr);
    assert!(checked.status.success(), "{told}\n{errors}\n{}", server.said());
    assert!(told.contains("23 selected / 24 total"), "not every operation was tried:\n{told}");
    assert!(!server.said().contains("ERROR") && !server.said().contains("panicked"), "{}", server.said());
}

#[tokio::test]
async fn every_operation_is_described_with_its_errors_and_its_token() {
    let (_home, server) = server();
    let described = client().get(format!("{}/openapi.json", server.url)).send().await.unwrap();
    let described: Value = described.json().await.unwrap();
    assert_eq!(described["openapi"], "3.1.0");
    assert_eq!(described["security"], json!([{"token": []}]));
    assert_eq!(described["components"]["securitySchemes"]["token"]["scheme"], "bearer");
    let mut operations = 0;
    for (path, methods) in described["paths"].as_object().unwrap() {
        assert!(path.starts_with("/api/v1/"), "{path}");
        for (method, operation) in methods.as_object().unwrap() {
            operations += 1;
            let problem = &operation["responses"]["default"]["content"]["application/problem+json"];
            assert_eq!(problem["schema"]["$ref"], "#/components/schemas/Problem", "{method} {path}");
            assert!(operation["summary"].is_string(), "{method} {path} does not say what it does");
        }
    }
    assert_eq!(operations, 24);
}

/// The status of an answer, and the problem where it is one: a stream has no end.
async fn ask(server: &Server, method: &str, path: &str) -> (u16, String) {
    let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
    let request = client().request(method, format!("{}{path}", server.url)).bearer_auth(TOKEN);
    let answer = request.header("idempotency-key", "served").send().await.unwrap();
    let status = answer.status();
    let told = if status.is_success() { String::new() } else { answer.text().await.unwrap() };
    (status.as_u16(), told)
}

#[tokio::test]
async fn every_operation_that_is_described_is_served() {
    let (_home, server) = server();
    let described = client().get(format!("{}/openapi.json", server.url)).send().await.unwrap();
    let described: Value = described.json().await.unwrap();
    let (status, told) = ask(&server, "get", "/api/v1/nothing").await;
    assert!(status == 404 && told.contains("resource /api/"), "{told}");
    for (path, methods) in described["paths"].as_object().unwrap() {
        let path = path.replace(['{', '}'], "");
        for method in methods.as_object().unwrap().keys() {
            let (status, told) = ask(&server, method, &path).await;
            assert!(status != 405 && !told.contains("resource /api/"), "{method} {path}: {status} {told}");
        }
    }
}
