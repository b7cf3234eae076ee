//! What is refused, as what, and what a definition may not say.

use hmac::{Hmac, KeyInit as _, Mac as _};
use http::HeaderValue;
use kickoff::engine::webhook::{Refused, Verifier};
use serde_json::{Value, json};
use sha2::Sha256;

use super::signatures::vectors;
use super::{auth, headers, provider, verifier};

const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
const SIGNED_AT: i64 = 1_614_265_330;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Accepted,
    Malformed,
    Unsigned,
    Bad,
}

fn kind(verdict: &Result<(), Refused>) -> Kind {
    match verdict {
        Ok(()) => Kind::Accepted,
        Err(Refused::Malformed(_)) => Kind::Malformed,
        Err(Refused::Unsigned(_)) => Kind::Unsigned,
        Err(Refused::BadSignature(_)) => Kind::Bad,
    }
}

/// The vector of Standard Webhooks with another signature header, `off` seconds after it was signed.
fn check(signature: &str, off: i64, wanted: Kind) {
    let verifier = verifier("standard", &Value::Null, &[KEY]).unwrap();
    let timestamp = SIGNED_AT.to_string();
    let fields =
        [("webhook-id", ID), ("webhook-timestamp", timestamp.as_str()), ("webhook-signature", signature)];
    let now = (SIGNED_AT + off) * 1_000;
    let verdict = verifier.verify(&headers(&fields), br#"{"test": 2432232314}"#, now);
    assert_eq!(kind(&verdict), wanted, "{signature} {off}: {verdict:?}");
}

#[test]
fn any_of_several_signatures_may_match_but_only_of_version_1() {
    let other = "v1,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    check(&format!("{other} {SIGNATURE}"), 0, Kind::Accepted);
    check(&format!("v1a,AAAA {SIGNATURE} v2,x"), 0, Kind::Accepted);
    check(&format!("{other} {}", SIGNATURE.replace("v1,", "v1a,")), 0, Kind::Bad);
    for signature in ["v1,", "v1", ",", "v1, ", "v1,=", "v1,====", "v1,v1,", "g0hM9SsE", &SIGNATURE[3..]] {
        check(signature, 0, Kind::Bad);
    }
    check(SIGNATURE.trim_end_matches('='), 0, Kind::Bad);
    check(&SIGNATURE.replace("v1,", "V1,"), 0, Kind::Bad);
    check("", 0, Kind::Unsigned);
}

#[test]
fn a_replay_is_refused_outside_the_window_on_both_sides() {
    for (off, wanted) in [
        (300, Kind::Accepted),
        (-300, Kind::Accepted),
        (301, Kind::Bad),
        (-301, Kind::Bad),
        (9_999_999, Kind::Bad),
    ] {
        check(SIGNATURE, off, wanted);
    }
}

#[test]
fn slack_and_stripe_have_the_same_window() {
    for vector in vectors().into_iter().filter(|vector| matches!(vector.provider, "slack" | "stripe")) {
        let verifier = verifier(vector.provider, &vector.auth, &[vector.secret]).unwrap();
        let fields = headers(&vector.headers);
        for (off, wanted) in
            [(300, Kind::Accepted), (-300, Kind::Accepted), (301, Kind::Bad), (-301, Kind::Bad)]
        {
            let verdict = verifier.verify(&fields, vector.body.as_bytes(), vector.now + off * 1_000);
            assert_eq!(kind(&verdict), wanted, "{} {off}: {verdict:?}", vector.provider);
        }
    }
}

#[test]
fn a_header_of_stripe_has_one_time_and_any_number_of_signatures() {
    let good = "00cd8805b6dfb4317048892c492f8ff769e2075ec20013c6ed546e639a4e20ba";
    let verifier = verifier("stripe", &Value::Null, &["whsec_test_secret"]).unwrap();
    let other = "ab".repeat(32);
    for (header, wanted) in [
        (format!("t=1614265330,v1={other},v1={good}"), Kind::Accepted),
        (format!("t=1614265330, v1={good}, v0={other}"), Kind::Accepted),
        (format!("v1={good},t=1614265330"), Kind::Accepted),
        (format!("t=1614265330,v0={good}"), Kind::Bad),
        ("t=1614265330,v1=".to_owned(), Kind::Bad),
        ("t=1614265330".to_owned(), Kind::Bad),
        (format!("t=1614265330,v1={}", good.to_uppercase()), Kind::Bad),
        (format!("t=1614265330,t=1614265330,v1={good}"), Kind::Malformed),
        (format!("t=,v1={good}"), Kind::Malformed),
        (format!("v1={good}"), Kind::Malformed),
        (String::new(), Kind::Unsigned),
    ] {
        let fields = headers(&[("Stripe-Signature", &header)]);
        let verdict = verifier.verify(&fields, br#"{"id":"evt_test"}"#, SIGNED_AT * 1_000);
        assert_eq!(kind(&verdict), wanted, "{header}: {verdict:?}");
    }
}

#[test]
fn both_signatures_of_forgejo_must_hold_and_an_empty_one_is_none() {
    let good = "7804d460f7eadad206a6d4c5a760b15defa80add90a31069e5ab2df85f18bcfa";
    let bad = "00".repeat(32);
    let verifier = verifier("gitea", &Value::Null, &["topsecret"]).unwrap();
    let (gitea, forgejo) = ("X-Gitea-Signature", "X-Forgejo-Signature");
    for (fields, wanted) in [
        (vec![(gitea, good), (forgejo, good)], Kind::Accepted),
        (vec![(gitea, good), (forgejo, bad.as_str())], Kind::Bad),
        (vec![(gitea, bad.as_str()), (forgejo, good)], Kind::Bad),
        (vec![(gitea, ""), (forgejo, good)], Kind::Unsigned),
        (vec![(gitea, "")], Kind::Unsigned),
        (vec![("X-Hub-Signature-256", good)], Kind::Unsigned),
        (vec![], Kind::Unsigned),
    ] {
        let verdict = verifier.verify(&headers(&fields), br#"{"ref":"refs/heads/main"}"#, 0);
        assert_eq!(kind(&verdict), wanted, "{fields:?}: {verdict:?}");
    }
}

#[test]
fn a_form_of_gitea_is_signed_by_its_json_and_one_of_github_by_the_form() {
    let json = br#"{"ref":"refs/heads/main"}"#;
    let form = b"payload=%7B%22ref%22%3A%22refs%2Fheads%2Fmain%22%7D";
    let encoded = ("Content-Type", "application/x-www-form-urlencoded");
    let signed = |body: &[u8]| {
        let mut mac = Hmac::<Sha256>::new_from_slice(b"topsecret").unwrap();
        mac.update(body);
        hex::encode(mac.finalize().into_bytes())
    };
    let github = |signature: &str| format!("sha256={signature}");
    for (name, header, signature, wanted) in [
        ("gitea", "X-Gitea-Signature", signed(json), Kind::Accepted),
        ("gitea", "X-Gitea-Signature", signed(form), Kind::Bad),
        ("github", "X-Hub-Signature-256", github(&signed(form)), Kind::Accepted),
        ("github", "X-Hub-Signature-256", github(&signed(json)), Kind::Bad),
    ] {
        let verifier = verifier(name, &Value::Null, &["topsecret"]).unwrap();
        let verdict = verifier.verify(&headers(&[encoded, (header, &signature)]), form, 0);
        assert_eq!(kind(&verdict), wanted, "{name} {signature}: {verdict:?}");
    }
    for form in ["", "payload", "a=b", "payload=%7B&payload=%7B", "payload=%7", "payload=%zz"] {
        let verifier = verifier("gitea", &Value::Null, &["topsecret"]).unwrap();
        let fields = headers(&[encoded, ("X-Gitea-Signature", &signed(form.as_bytes()))]);
        let verdict = verifier.verify(&fields, form.as_bytes(), 0);
        assert_eq!(kind(&verdict), Kind::Malformed, "{form}: {verdict:?}");
    }
}

#[test]
fn the_window_is_the_definitions() {
    for (tolerance, off, wanted) in
        [("10s", 10, Kind::Accepted), ("10s", 11, Kind::Bad), ("1h", 3_600, Kind::Accepted)]
    {
        let verifier = verifier("standard", &json!({"tolerance": tolerance}), &[KEY]).unwrap();
        let timestamp = SIGNED_AT.to_string();
        let fields =
            [("webhook-id", ID), ("webhook-timestamp", timestamp.as_str()), ("webhook-signature", SIGNATURE)];
        let now = (SIGNED_AT + off) * 1_000;
        let verdict = verifier.verify(&headers(&fields), br#"{"test": 2432232314}"#, now);
        assert_eq!(kind(&verdict), wanted, "{tolerance} {off}");
    }
}

#[test]
fn a_time_that_is_no_time_is_malformed() {
    let verifier = verifier("standard", &Value::Null, &[KEY]).unwrap();
    for timestamp in
        ["x", "-1", "+1614265330", "1614265330.0", "99999999999999999999", "9223372036854775807", "1e9"]
    {
        let fields = [("webhook-id", ID), ("webhook-timestamp", timestamp), ("webhook-signature", SIGNATURE)];
        let verdict = verifier.verify(&headers(&fields), b"{}", SIGNED_AT * 1_000);
        assert_eq!(kind(&verdict), Kind::Malformed, "{timestamp}: {verdict:?}");
    }
}

#[test]
fn a_header_that_is_missing_doubled_or_no_text_is_told_apart() {
    for vector in vectors() {
        let verifier = verifier(vector.provider, &vector.auth, &[vector.secret]).unwrap();
        for (name, value) in &vector.headers {
            let verify = |change: &dyn Fn(&mut http::HeaderMap)| {
                let mut headers = headers(&vector.headers);
                change(&mut headers);
                kind(&verifier.verify(&headers, vector.body.as_bytes(), vector.now))
            };
            let same = HeaderValue::from_static(value);
            let missing = verify(&|headers| drop(headers.remove(*name)));
            let doubled = verify(&|headers| {
                headers.append(*name, same.clone());
            });
            let no_text = verify(&|headers| {
                headers.insert(*name, HeaderValue::from_bytes(b"\xff\xfe").unwrap());
            });
            let told = (missing, doubled, no_text);
            assert_eq!(
                told,
                (Kind::Unsigned, Kind::Malformed, Kind::Malformed),
                "{} {name}",
                vector.provider
            );
        }
    }
}

#[test]
fn a_sender_cannot_choose_another_scheme() {
    let token = [("X-Gitlab-Token", "s3cret")];
    let signed = verifier("gitlab", &json!({"scheme": "SigningToken"}), &["whsec_czNjcmV0"]).unwrap();
    assert_eq!(kind(&signed.verify(&headers(&token), b"{}", 0)), Kind::Unsigned);
    let plain = verifier("gitlab", &json!({"scheme": "Token"}), &[KEY]).unwrap();
    let timestamp = SIGNED_AT.to_string();
    let fields =
        [("webhook-id", ID), ("webhook-timestamp", timestamp.as_str()), ("webhook-signature", SIGNATURE)];
    let verdict = plain.verify(&headers(&fields), br#"{"test": 2432232314}"#, SIGNED_AT * 1_000);
    assert_eq!(kind(&verdict), Kind::Unsigned);
    let github = verifier("github", &Value::Null, &["s3cret"]).unwrap();
    let sha1 = [("X-Hub-Signature", "sha1=01dc10d0c83e72ed246219cdd91669667fe2ca59")];
    assert_eq!(kind(&github.verify(&headers(&sha1), b"{}", 0)), Kind::Unsigned);
}

#[test]
fn a_secret_that_proves_nothing_is_refused_and_never_shown() {
    for (name, config, secrets, wanted) in [
        ("github", Value::Null, vec![], "there is no secret"),
        ("github", Value::Null, vec![""], "secrets[0]: the secret is empty"),
        ("bitbucket", Value::Null, vec![""], "secrets[0]: the secret is empty"),
        ("gitea", Value::Null, vec![""], "secrets[0]: the secret is empty"),
        ("slack", Value::Null, vec![""], "secrets[0]: the secret is empty"),
        ("stripe", Value::Null, vec!["whsec_"], "secrets[0]: the secret is empty after whsec_"),
        ("cloudevents", Value::Null, vec![""], "secrets[0]: the secret is empty"),
        ("github", Value::Null, vec!["good", ""], "secrets[1]: the secret is empty"),
        ("token", Value::Null, vec![""], "secrets[0]: the secret is empty"),
        ("standard", Value::Null, vec!["whsec_"], "secrets[0]: the secret is empty after whsec_"),
        (
            "standard",
            Value::Null,
            vec!["whsec_Hus!h"],
            "secrets[0]: the secret is not whsec_ followed by base64",
        ),
        (
            "gitlab",
            json!({"scheme": "SigningToken"}),
            vec!["whsec_"],
            "secrets[0]: the secret is empty after whsec_",
        ),
        ("gitlab", Value::Null, vec!["x"], "auth.scheme: provider gitlab needs it"),
    ] {
        let error = verifier(name, &config, &secrets).unwrap_err();
        assert!(error.starts_with(wanted), "{error}");
        assert!(!error.contains("Hus!h"), "{error}");
    }
    let shown = format!("{:?}", verifier("token", &Value::Null, &["Hush"]).unwrap());
    assert!(!shown.contains("Hush"), "{shown}");
}

#[test]
fn every_problem_of_auth_is_found() {
    for (name, config, wanted) in [
        ("github", Value::Null, vec![]),
        ("github", json!({"header": "X"}), vec!["auth.header"]),
        ("gitlab", Value::Null, vec!["auth.scheme"]),
        ("gitlab", json!({"scheme": "SigningToken", "tolerance": "1m"}), vec![]),
        ("gitlab", json!({"scheme": "Token", "tolerance": "1m"}), vec!["auth.tolerance"]),
        ("bitbucket", json!({"header": "X-A"}), vec!["auth.header"]),
        ("gitea", json!({"tolerance": "1m"}), vec!["auth.tolerance"]),
        ("slack", json!({"tolerance": "1m", "prefix": "v0="}), vec!["auth.prefix"]),
        ("stripe", json!({"tolerance": "1m"}), vec![]),
        ("cloudevents", json!({"header": "X-A"}), vec!["auth.header"]),
        ("standard", json!({"tolerance": "1m"}), vec![]),
        ("standard", json!({"tolerance": "0s", "prefix": "x"}), vec!["auth.prefix", "auth.tolerance"]),
        ("hmac", Value::Null, vec![]),
        ("hmac", json!({"scheme": "Token", "tolerance": "1m"}), vec!["auth.tolerance", "auth.scheme"]),
        ("hmac", json!({"timestampHeader": "X-Time", "tolerance": "1m"}), vec![]),
        ("hmac", json!({"header": "no name", "idHeader": ""}), vec!["auth.header", "auth.idHeader"]),
        ("hmac", json!({"prefix": "sha\n="}), vec!["auth.prefix"]),
        ("hmac", json!({"idHeader": "X-Id", "idPath": "id"}), vec!["auth.idPath"]),
        ("token", json!({"encoding": "Hex", "typeHeader": "X-Type"}), vec!["auth.encoding"]),
    ] {
        let found = Verifier::check_config(provider(name), auth(&config).as_ref());
        let fields: Vec<&str> = found.iter().map(|wrong| wrong.field.as_str()).collect();
        assert_eq!(fields, wanted, "{name} {config}: {found:?}");
    }
}

#[test]
fn an_id_path_names_one_place() {
    for path in ["id", "$.id", "$['id']", "a.b-c[0].d", "$[0]", "[\"an id\"][12]", "größe"] {
        let config = auth(&json!({ "idPath": path }));
        assert_eq!(Verifier::check_config(provider("token"), config.as_ref()), vec![], "{path}");
    }
    for path in
        ["", "$", "$.", "a..b", "$..id", "a[*]", "a[-1]", "a[01]", "a[?@.x]", "a[0", "a['x", "a b", "$id"]
    {
        let config = auth(&json!({ "idPath": path }));
        assert_eq!(Verifier::check_config(provider("token"), config.as_ref()).len(), 1, "{path}");
    }
}
