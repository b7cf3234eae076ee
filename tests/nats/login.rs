//! How kickoff proves to NATS who it is; each from a file, and none of it to be seen anywhere.

use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use nkeys::KeyPair;
use serde_json::{Value, json};

use super::{hears, home, told, written};
use crate::support::Server;
use crate::support::bus::Bus;

const SOURCE: &str = "{nats: {subject: orders}}";

/// A server that logs in with these arguments hears a message that `options` publish.
async fn logs_in(bus: &Bus, arguments: &[&str], options: async_nats::ConnectOptions) -> String {
    let home = home(&[("t", SOURCE)]);
    let url = bus.url();
    let mut all = vec!["--nats", url.as_str()];
    all.extend(arguments);
    let server = home.serve(&all, &[("RUST_LOG", "debug,async_nats=trace")]);
    hears(&server).await;
    let client = bus.client_with(options).await;
    client.publish("orders", r#"{"n": 1}"#.into()).await.unwrap();
    client.flush().await.unwrap();
    assert_eq!(written(&home, &server, 1).await, ["1"]);
    finish(server)
}

fn finish(server: Server) -> String {
    let said = server.said();
    assert_eq!(server.stop(), Some(0));
    said
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_token_that_may_change() {
    let token = "planted-token-51c8";
    let mut bus = Bus::away(&format!("authorization {{ token: \"{token}\" }}"));
    bus.up();
    let file = bus.file("token", "wrong-token-7d1e\n");
    let home = home(&[("t", SOURCE)]);
    let server = home.serve(&["--nats", &bus.url(), "--nats-token", &file], &[]);
    let text = told(&server, "authorization violation").await;
    assert!(!text.contains("wrong-token"), "{text}");
    // The right one takes effect at the next attempt.
    bus.file("token", token);
    hears(&server).await;
    let said = finish(server);
    assert!(!said.contains(token) && !said.contains("wrong-token"), "{said}");
    let options = async_nats::ConnectOptions::with_token(token.to_owned());
    let said = logs_in(&bus, &["--nats-token", &file], options).await;
    assert!(!said.contains(token), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_key() {
    let user = KeyPair::new_user();
    let seed = user.seed().unwrap();
    let bus = Bus::with(&format!("authorization {{ users: [{{nkey: {}}}] }}", user.public_key()));
    let file = bus.file("user.nk", &seed);
    let said =
        logs_in(&bus, &["--nats-nkey", &file], async_nats::ConnectOptions::with_nkey(seed.clone())).await;
    assert!(!said.contains(&seed), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_file_of_credentials() {
    let (operator, account, user) = (KeyPair::new_operator(), KeyPair::new_account(), KeyPair::new_user());
    let of_operator = token(&operator, &operator, &json!({"type": "operator", "version": 2}));
    let limits = json!({"subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "conn": -1, "leaf": -1, "wildcards": true});
    let of_account = token(&operator, &account, &json!({"type": "account", "version": 2, "limits": limits}));
    let of_user =
        token(&account, &user, &json!({"type": "user", "version": 2, "subs": -1, "data": -1, "payload": -1}));
    // JetStream wants an account of the server's own.
    let system = KeyPair::new_account();
    let of_system = token(&operator, &system, &json!({"type": "account", "version": 2, "limits": limits}));
    let bus = Bus::with(&format!(
        "operator: \"{of_operator}\"\nsystem_account: {system}\nresolver: MEMORY\n\
         resolver_preload: {{ {system}: \"{of_system}\", {}: \"{of_account}\" }}\n",
        account.public_key(),
        system = system.public_key(),
    ));
    let seed = user.seed().unwrap();
    let creds = format!(
        "-----BEGIN NATS USER JWT-----\n{of_user}\n------END NATS USER JWT------\n\n\
         -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
    );
    let file = bus.file("user.creds", &creds);
    let options = async_nats::ConnectOptions::with_credentials(&creds).unwrap();
    let said = logs_in(&bus, &["--nats-creds", &file], options).await;
    assert!(!said.contains(&seed) && !said.contains(&of_user), "{said}");
}

/// A token as `nsc` makes it.
fn token(issuer: &KeyPair, subject: &KeyPair, nats: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let claims = json!({
        "jti": "kickoff", "iat": 1_700_000_000, "name": "kickoff",
        "iss": issuer.public_key(), "sub": subject.public_key(), "nats": nats,
    });
    let text = format!("{}.{}", part(&json!({"typ": "JWT", "alg": "ed25519-nkey"})), part(&claims));
    let signature = issuer.sign(text.as_bytes()).unwrap();
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_certificate() {
    let mut bus = Bus::away("");
    let folder = bus.path("tls");
    std::fs::create_dir(&folder).unwrap();
    let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
    let openssl = |arguments: &[&str]| {
        let done = Command::new("openssl").current_dir(&folder).args(arguments).output();
        let done = done.unwrap_or_else(|error| panic!("openssl is missing ({error}): install it"));
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    };
    let authority = ["req", "-x509", "-subj", "/CN=authority", "-keyout", "ca.key", "-out", "ca.pem"];
    openssl(&[&authority[..], &key].concat());
    for (name, alternative) in [("server", "IP:127.0.0.1"), ("client", "DNS:kickoff")] {
        let subject = format!("/CN={name}");
        let alternative = format!("subjectAltName={alternative}");
        let (file, secret) = (format!("{name}.pem"), format!("{name}.key"));
        let of = ["req", "-x509", "-CA", "ca.pem", "-CAkey", "ca.key", "-subj", &subject];
        let more = [
            "-addext",
            &alternative,
            "-addext",
            "basicConstraints=CA:FALSE",
            "-keyout",
            &secret,
            "-out",
            &file,
        ];
        openssl(&[&of[..], &more, &key].concat());
    }
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    bus.configure(&format!(
        "tls {{ cert_file: {:?}, key_file: {:?}, ca_file: {:?}, verify: true }}",
        path("server.pem"),
        path("server.key"),
        path("ca.pem")
    ));
    bus.up();
    let (ca, certificate, secret) = (path("ca.pem"), path("client.pem"), path("client.key"));
    let options = async_nats::ConnectOptions::new()
        .add_root_certificates(folder.join("ca.pem"))
        .add_client_certificate(folder.join("client.pem"), folder.join("client.key"))
        .require_tls(true);
    let arguments = ["--nats-ca", &ca, "--nats-cert", &certificate, "--nats-key", &secret];
    logs_in(&bus, &arguments, options).await;
    // Whoever is not vouched for is not spoken to.
    let home = home(&[("t", SOURCE)]);
    let server = home.serve(&["--nats", &bus.url()], &[]);
    told(&server, "NATS is away: ").await;
}

#[test]
fn a_file_that_is_missing_or_wrong_is_told_at_the_start() {
    let home = home(&[("t", SOURCE)]);
    for (arguments, wanted) in [
        (["--nats-token", "/nowhere/token"], "/nowhere/token: No such file"),
        (["--nats-ca", "/nowhere/ca"], "/nowhere/ca: No such file"),
        (["--nats-nkey", "/dev/null"], "/dev/null: it holds no seed"),
    ] {
        let mut all = vec!["--nats", "nats://127.0.0.1:1"];
        all.extend(arguments);
        let (code, said) = home.begin(&all, &[]).ended(crate::support::PATIENCE);
        assert_eq!(code, Some(3), "{said}");
        assert!(said.contains(wanted), "{said}");
    }
    let (code, said) = home.begin(&["--nats", "nats://me:hunter2@nats"], &[]).ended(crate::support::PATIENCE);
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("may hold no password") && !said.contains("hunter2"), "{said}");
}
