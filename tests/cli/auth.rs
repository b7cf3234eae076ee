use std::fmt::Write as _;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::DEFINITIONS;
use crate::support::{Home, Server, client, kickoff};

/// Token, its role, and the namespaces it may see.
const TOKENS: [(&str, &str, &str); 4] = [
    ("look", "viewer", "[default]"),
    ("go", "runner", "['d*']"),
    ("all", "admin", "['*']"),
    ("other", "admin", "[elsewhere]"),
];

fn server() -> (Home, Server) {
    let home = Home::new(DEFINITIONS);
    let mut text = String::new();
    for (token, role, namespaces) in TOKENS {
        let hash = hex::encode(Sha256::digest(token));
        writeln!(text, "- {{name: {token}, role: {role}, sha256: {hash}, namespaces: {namespaces}}}")
            .unwrap();
    }
    let file = home.path().join("tokens.yaml");
    std::fs::write(&file, text).unwrap();
    let server = home.serve(&["--tokens", file.to_str().unwrap()], &[("CLI_SECRET", "s")]);
    (home, server)
}

async fn ask(server: &Server, token: &str, method: &str, path: &str) -> (u16, Value) {
    let request = client().request(method.parse().unwrap(), format!("{}{path}", server.url));
    let request = if token.is_empty() { request } else { request.bearer_auth(token) };
    let request = if method == "POST" { request.json(&json!({"template": "say"})) } else { request };
    let answer = request.send().await.unwrap();
    let status = answer.status().as_u16();
    let challenge = answer.headers().get("www-authenticate").map(|it| it.to_str().unwrap().to_owned());
    assert_eq!(challenge.is_some_and(|it| it == "Bearer"), status == 401, "{path}");
    (status, answer.json().await.unwrap())
}

#[tokio::test]
async fn each_token_may_do_what_its_role_and_namespaces_say() {
    let (_home, server) = server();
    let (status, started) = ask(&server, "go", "POST", "/api/v1/runs").await;
    assert_eq!(status, 202, "{started}");
    let of = |field: &str| started[field].as_str().unwrap().to_owned();
    let (run, log) = (format!("/api/v1/runs/{}", started["runs"][0].as_str().unwrap()), "/api/v1/nothing");
    let (event, firing) =
        (format!("/api/v1/events/{}", of("event")), format!("/api/v1/firings/{}", of("firing")));
    for (method, path, [none, wrong, look, go, all, other]) in [
        ("GET", "/api/v1/runs", [401, 401, 200, 200, 200, 200]),
        ("GET", &run, [401, 401, 200, 200, 200, 404]),
        ("GET", &format!("{run}/log?attempt=2"), [401, 401, 400, 400, 400, 404]),
        ("GET", &event, [401, 401, 200, 200, 200, 404]),
        ("GET", &firing, [401, 401, 200, 200, 200, 404]),
        ("GET", "/api/v1/firings", [401, 401, 200, 200, 200, 200]),
        ("GET", "/api/v1/events", [401, 401, 200, 200, 200, 200]),
        ("GET", "/api/v1/templates", [401, 401, 200, 200, 200, 200]),
        ("GET", "/api/v1/templates/say", [401, 401, 200, 200, 200, 404]),
        ("GET", "/api/v1/templates/default/say", [401, 401, 200, 200, 200, 404]),
        ("GET", "/api/v1/webhooks/gh", [401, 401, 200, 200, 200, 404]),
        ("GET", "/api/v1/webhooks/default/gh", [401, 401, 200, 200, 200, 404]),
        ("GET", &format!("{event}/cloudevent"), [401, 401, 200, 200, 200, 404]),
        ("GET", "/api/v1/stream?x=1", [401, 401, 400, 400, 400, 400]),
        ("GET", "/api/v1/triggers", [401, 401, 200, 200, 200, 200]),
        ("GET", "/api/v1/triggers/on-main", [401, 401, 200, 200, 200, 404]),
        ("POST", "/api/v1/runs", [401, 401, 403, 202, 202, 404]),
        ("POST", &format!("{run}x/cancel"), [401, 401, 403, 404, 404, 404]),
        ("POST", &format!("{run}x/rerun"), [401, 401, 403, 404, 404, 404]),
        ("POST", &format!("{event}x/replay"), [401, 401, 403, 400, 400, 400]),
        ("GET", log, [401, 401, 404, 404, 404, 404]),
        ("DELETE", "/api/v1/runs", [401, 401, 403, 405, 405, 405]),
    ] {
        for (token, expected) in
            [("", none), ("wrong", wrong), ("look", look), ("go", go), ("all", all), ("other", other)]
        {
            let (status, answer) = ask(&server, token, method, path).await;
            assert_eq!(status, expected, "{method} {path} as {token:?}: {answer}");
        }
    }
}

#[tokio::test]
async fn rows_of_other_namespaces_are_not_there() {
    let (_home, server) = server();
    for _ in 0..3 {
        ask(&server, "go", "POST", "/api/v1/runs").await;
    }
    for (token, runs, triggers) in [("look", 3, 2), ("all", 3, 2), ("other", 0, 0)] {
        let (_, page) = ask(&server, token, "GET", "/api/v1/runs").await;
        assert_eq!((page["items"].as_array().unwrap().len(), &page["next"]), (runs, &Value::Null), "{token}");
        let (_, page) = ask(&server, token, "GET", "/api/v1/triggers").await;
        assert_eq!(page["items"].as_array().unwrap().len(), triggers, "{token}");
    }
    let (_, first) = ask(&server, "look", "GET", "/api/v1/runs?limit=2").await;
    let next = format!("/api/v1/runs?limit=2&cursor={}", first["next"].as_str().unwrap());
    let (_, second) = ask(&server, "look", "GET", &next).await;
    assert_eq!((first["items"].as_array().unwrap().len(), second["items"].as_array().unwrap().len()), (2, 1));
    assert_eq!(second["next"], Value::Null);
}

#[tokio::test]
async fn a_token_that_expired_admits_nobody_any_more() {
    let home = Home::new(DEFINITIONS);
    let file = home.path().join("tokens.yaml");
    let hash = |token: &str| hex::encode(Sha256::digest(token));
    let tokens = format!(
        "- {{name: old, role: admin, sha256: {}, expires: 2026-01-01T00:00:00Z}}\n\
         - {{name: new, role: admin, sha256: {}, expires: '2999-01-01T00:00:00+01:00'}}\n",
        hash("old"),
        hash("new")
    );
    std::fs::write(&file, tokens).unwrap();
    let server = home.serve(&["--tokens", file.to_str().unwrap()], &[("CLI_SECRET", "s")]);
    let (status, problem) = ask(&server, "old", "GET", "/api/v1/runs").await;
    assert_eq!((status, &problem["detail"]), (401, &json!("this token expired at 2026-01-01T00:00:00.000Z")));
    assert_eq!(ask(&server, "new", "GET", "/api/v1/runs").await.0, 200);
}

#[tokio::test]
async fn a_replay_fires_only_what_its_token_may_see() {
    let (_home, server) = server();
    let key = super::deliver(&server, "d1", "refs/heads/main").await;
    let path = format!("/api/v1/events/{key}/replay");
    let replay = async |token: &str| {
        let request = client().post(format!("{}{path}", server.url)).bearer_auth(token);
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap())
    };
    for (token, expected) in [("look", 403), ("other", 404), ("go", 202), ("all", 202)] {
        let (status, answer) = replay(token).await;
        assert_eq!(status, expected, "{token}: {answer}");
        if status == 202 {
            assert_eq!(answer["decisions"][0]["decision"], "fired", "{token}: {answer}");
        }
    }
}

#[tokio::test]
async fn a_foreign_page_reaches_nothing_without_authentication() {
    let home = Home::new(DEFINITIONS);
    let server = home.serve(&[], &[("CLI_SECRET", "s")]);
    for (header, value, expected) in [
        ("X-Harmless", "1", 200),
        ("Origin", "http://localhost:3000", 200),
        ("Origin", "https://evil.example", 403),
        ("Host", "rebound.example", 403),
    ] {
        let request = client().get(format!("{}/api/v1/runs", server.url)).header(header, value);
        assert_eq!(request.send().await.unwrap().status(), expected, "{header}: {value}");
    }
}

#[test]
fn a_server_that_can_not_be_kept_closed_does_not_start() {
    let home = Home::new(DEFINITIONS);
    let tokens = home.path().join("tokens.yaml");
    std::fs::write(&tokens, "- {name: a, role: root, sha256: abc}\n").unwrap();
    let tokens = tokens.to_str().unwrap();
    for (arguments, code, expected) in [
        (
            ["--insecure-no-auth", "--listen", "0.0.0.0:0"].as_slice(),
            2,
            "--insecure-no-auth listens on loopback only",
        ),
        (&["--tokens", tokens, "--listen", "127.0.0.1:0"], 3, "tokens.yaml:1:19: unknown variant `root`"),
        (
            &["--tokens", "/nowhere", "--listen", "127.0.0.1:0"],
            3,
            "the file of tokens /nowhere can't be read: No such",
        ),
    ] {
        let mut serve = kickoff();
        let output = serve.arg("serve").arg("--data-dir").arg(home.data()).args(arguments).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.starts_with("error: ") && said.contains(expected), "{said}");
    }
}
