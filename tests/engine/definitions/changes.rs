//! What becomes of definitions from one snapshot to the next.

use std::sync::Arc;

use kickoff::engine::definitions::compile::compile;
use kickoff::engine::definitions::config::SecretSource;
use kickoff::engine::definitions::model::Secrets;
use kickoff::engine::ids::ObjectName;
use secrecy::SecretString;

use super::{TEMPLATE, TRIGGER, WEBHOOK, loaded, snapshot, told};

const LATER: &str = "
apiVersion: kickoff.dev/v1alpha1
kind: Trigger
metadata: {name: later}
spec: {runs: [{template: smoke, environment: staging}]}
";

/// A good snapshot of three files, then `change` made to their texts; what is told of the second.
fn after(change: impl Fn(&mut [(&str, String)])) -> String {
    let mut files = [
        ("hook.yaml", WEBHOOK.to_owned()),
        ("template.yaml", TEMPLATE.to_owned()),
        ("triggers.yaml", format!("{TRIGGER}---{LATER}")),
    ];
    let good = snapshot(&files.each_ref().map(|(name, text)| (*name, text.as_str())), None);
    assert!(good.problems.is_empty(), "{}", told(&good));
    change(&mut files);
    let changed = snapshot(&files.each_ref().map(|(name, text)| (*name, text.as_str())), Some(&good));
    let again = snapshot(&files.each_ref().map(|(name, text)| (*name, text.as_str())), Some(&changed));
    assert_eq!(told(&changed), told(&again), "a further reload changes nothing");
    told(&changed)
}

#[test]
fn a_trigger_that_becomes_bad_is_broken() {
    insta::assert_snapshot!(after(|files| files[2].1 = files[2].1.replace("events", "evnets")), @r"
        webhooks github
        templates smoke
        triggers after-push [broken: the definition has a problem: spec.sources[0].webhook.evnets: unknown field; the fields here are branches, events, name, paths, repositories (did you mean events?)] later
        triggers.yaml:6:38: spec.sources[0].webhook.evnets: unknown field; the fields here are branches, events, name, paths, repositories (did you mean events?)
        ");
}

#[test]
fn a_trigger_whose_template_becomes_bad_is_broken() {
    insta::assert_snapshot!(after(|files| files[1].1 = files[1].1.replace("default: 5", "defualt: 5")), @r"
        webhooks github
        templates -
        triggers after-push [broken: the definition has a problem: spec.runs[0].template: JobTemplate/smoke has a problem: spec.params[1].defualt: unknown field; the fields here are default, description, enum, maximum, minimum, name, pattern, required, type (did you mean default?)] later [broken: the definition has a problem: spec.runs[0].template: JobTemplate/smoke has a problem: spec.params[1].defualt: unknown field; the fields here are default, description, enum, maximum, minimum, name, pattern, required, type (did you mean default?)]
        template.yaml:8:34: spec.params[1].defualt: unknown field; the fields here are default, description, enum, maximum, minimum, name, pattern, required, type (did you mean default?)
        triggers.yaml:7:21: spec.runs[0].template: JobTemplate/smoke has a problem: spec.params[1].defualt: unknown field; the fields here are default, description, enum, maximum, minimum, name, pattern, required, type (did you mean default?)
        triggers.yaml:12:26: spec.runs[0].template: JobTemplate/smoke has a problem: spec.params[1].defualt: unknown field; the fields here are default, description, enum, maximum, minimum, name, pattern, required, type (did you mean default?)
        ");
}

#[test]
fn a_trigger_whose_template_is_gone_is_broken() {
    insta::assert_snapshot!(after(|files| files[1].1.clear()), @r#"
        webhooks github
        templates -
        triggers after-push [broken: the definition has a problem: spec.runs[0].template: there is no JobTemplate called "smoke"] later [broken: the definition has a problem: spec.runs[0].template: there is no JobTemplate called "smoke"]
        triggers.yaml:7:21: spec.runs[0].template: there is no JobTemplate called "smoke"
        triggers.yaml:12:26: spec.runs[0].template: there is no JobTemplate called "smoke"
        "#);
}

#[test]
fn triggers_of_a_file_that_is_no_yaml_any_more_are_broken() {
    insta::assert_snapshot!(after(|files| files[2].1 = "{".to_owned()), @r"
        webhooks github
        templates smoke
        triggers after-push [broken: the definition has a problem: triggers.yaml: not valid YAML: unclosed bracket '{'] later [broken: the definition has a problem: triggers.yaml: not valid YAML: unclosed bracket '{']
        triggers.yaml:1:1: not valid YAML: unclosed bracket '{'
        ");
}

#[test]
fn a_trigger_that_was_taken_out_is_gone() {
    insta::assert_snapshot!(after(|files| files[2].1 = LATER.to_owned()), @r"
        webhooks github
        templates smoke
        triggers later
        ");
}

#[test]
fn a_webhook_that_becomes_bad_answers_503() {
    insta::assert_snapshot!(after(|files| files[0].1 = files[0].1.replace("env:", "evn:")), @r"
        webhooks github
        templates smoke
        triggers after-push [broken: the definition has a problem: spec.sources[0].webhook.name: Webhook/github has a problem: spec.secrets[0].evn: unknown field; the fields here are env, file, secretKeyRef (did you mean env?)] later
        hook.yaml:5:37: spec.secrets[0].evn: unknown field; the fields here are env, file, secretKeyRef (did you mean env?)
        triggers.yaml:6:30: spec.sources[0].webhook.name: Webhook/github has a problem: spec.secrets[0].evn: unknown field; the fields here are env, file, secretKeyRef (did you mean env?)
        ");
    let good = snapshot(&[("a.yaml", WEBHOOK)], None);
    let bad = snapshot(&[("a.yaml", &WEBHOOK.replace("env:", "evn:"))], Some(&good));
    let webhook = &bad.webhooks[&ObjectName::new("default", "github")];
    let reason = webhook.verifier.as_ref().map(|_| ()).unwrap_err();
    assert!(reason.contains("spec.secrets[0].evn: unknown field"), "{reason}");
}

#[test]
fn a_webhook_of_a_file_that_is_no_yaml_any_more_is_not_forgotten() {
    insta::assert_snapshot!(after(|files| files[0].1.push_str("---\n{")), @r"
        webhooks github
        templates smoke
        triggers after-push later
        hook.yaml:7:1: not valid YAML: unclosed bracket '{'
        ");
    insta::assert_snapshot!(after(|files| files[0].1 = "{".to_owned()), @r"
        webhooks github
        templates smoke
        triggers after-push later
        hook.yaml:1:1: not valid YAML: unclosed bracket '{'
        ");
}

#[test]
fn a_mended_trigger_works_again_and_listened_all_along() {
    let good = format!("{WEBHOOK}---{TEMPLATE}---{TRIGGER}");
    let first = snapshot(&[("a.yaml", &good)], None);
    let bad = snapshot(&[("a.yaml", &good.replace("staging}]", "stagin}]"))], Some(&first));
    let mended = snapshot(&[("a.yaml", &good)], Some(&bad));
    assert_eq!(first.triggers[0].sources, bad.triggers[0].sources);
    assert!(bad.triggers[0].broken.is_some() && mended.triggers[0].broken.is_none());
    assert_eq!(mended.triggers[0].legs.len(), 1);
    assert_eq!(mended.revision, first.revision);
}

#[test]
fn what_did_not_change_is_not_compiled_again() {
    let text = |vus: u32| {
        format!(
            "{WEBHOOK}---{}---{TRIGGER}---{LATER}",
            TEMPLATE.replace("default: 5", &format!("default: {vus}"))
        )
    };
    let first = snapshot(&[("a.yaml", &text(5))], None);
    let moved = snapshot(&[("b.yaml", &format!("# moved\n{}", text(5)))], Some(&first));
    let changed = snapshot(&[("b.yaml", &text(6))], Some(&moved));
    for position in [0, 1] {
        assert!(Arc::ptr_eq(&first.triggers[position], &moved.triggers[position]), "the same documents");
        assert!(!Arc::ptr_eq(&moved.triggers[position], &changed.triggers[position]), "another template");
    }
    assert_eq!(first.revision, moved.revision);
    assert_ne!(moved.revision, changed.revision);
    assert_eq!(first.revision.len(), 32);
}

#[test]
fn a_revision_holds_no_secrets_and_no_order() {
    let documents = [WEBHOOK, TEMPLATE, TRIGGER];
    let forth = snapshot(&[("a.yaml", &documents.join("---"))], None);
    let back: Vec<&str> = documents.into_iter().rev().collect();
    let back = loaded(&[("a.yaml", &back.join("---"))]);
    let secrets = Secrets::from([(
        SecretSource::Env("GITHUB_SECRET".to_owned()),
        Ok(SecretString::from("quite another secret")),
    )]);
    let back = compile(&back, &secrets, None);
    assert_eq!(forth.revision, back.revision);
    assert!(!format!("{back:?}").contains("quite another"), "no secret is shown");
}

#[test]
fn a_secret_that_is_missing_or_empty_is_no_problem_of_the_definition() {
    let source = SecretSource::Env("GITHUB_SECRET".to_owned());
    for (secret, reason) in [
        (None, "the secret in the environment variable GITHUB_SECRET was not read"),
        (
            Some(Err("it is not set".to_owned())),
            "the secret in the environment variable GITHUB_SECRET can't be read: it is not set",
        ),
        (Some(Ok(SecretString::from(""))), "the secret in the environment variable GITHUB_SECRET is empty"),
    ] {
        let secrets: Secrets = secret.map(|secret| (source.clone(), secret)).into_iter().collect();
        let snapshot = compile(&loaded(&[("a.yaml", WEBHOOK)]), &secrets, None);
        let webhook = &snapshot.webhooks[&ObjectName::new("default", "github")];
        assert_eq!(webhook.verifier.as_ref().map(|_| ()).unwrap_err(), reason);
        assert!(snapshot.problems.is_empty());
    }
}

#[test]
fn a_matrix_makes_a_leg_of_each_cell() {
    let text = TRIGGER.replace(
        "environment: staging",
        "environment: staging, matrix: {vus: [1, 2], browser: [chromium, firefox]}",
    );
    let snapshot = snapshot(&[("a.yaml", &format!("{WEBHOOK}---{TEMPLATE}---{text}"))], None);
    let legs = snapshot.triggers[0].legs.iter();
    let cells: Vec<String> =
        legs.map(|leg| format!("{} {}", leg.name, serde_json::json!(leg.matrix))).collect();
    insta::assert_snapshot!(cells.join("\n"), @r#"
        smoke {"browser":"chromium","vus":1}
        smoke {"browser":"chromium","vus":2}
        smoke {"browser":"firefox","vus":1}
        smoke {"browser":"firefox","vus":2}
        "#);
}
