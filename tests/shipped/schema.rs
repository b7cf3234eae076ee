//! The JSON Schema that editors use: current, named by every shipped file, and true.

use std::process::Command;

use serde_json::Value;

const FILE: &str = "kickoff.schema.json";

fn schema() -> Value {
    serde_json::from_str(&super::read(FILE)).unwrap()
}

fn documents(text: &str) -> Vec<Value> {
    let options = serde_saphyr::options! { strict_booleans: true, leading_zero_numbers_as_strings: true };
    serde_saphyr::from_multiple_with_options(text, options).unwrap()
}

#[test]
fn the_shipped_schema_is_that_of_this_version() {
    let output = Command::new(env!("CARGO_BIN_EXE_kickoff")).arg("schema").output().unwrap();
    assert!(output.status.success());
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(printed == super::read(FILE), "{FILE} is old: cargo run -- schema >{FILE}");
}

#[test]
fn every_shipped_definition_names_the_schema_and_holds_to_it() {
    let validator = jsonschema::validator_for(&schema()).unwrap();
    let mut count = 0;
    for folder in super::folders() {
        for (name, text) in super::yaml_files(&folder) {
            let line = text.lines().next().unwrap();
            let path = line.strip_prefix("# yaml-language-server: $schema=").unwrap_or_default();
            let named = super::project(&folder).join(path).canonicalize().unwrap();
            assert_eq!(named, super::project(FILE).canonicalize().unwrap(), "{folder}/{name}: {line}");
            for document in documents(&text) {
                let errors: Vec<String> =
                    validator.iter_errors(&document).map(|error| error.to_string()).collect();
                assert!(errors.is_empty(), "{folder}/{name}: {errors:#?}");
                count += 1;
            }
        }
    }
    assert!(count > 20, "only {count} definitions found");
}

#[test]
fn what_check_refuses_the_schema_refuses() {
    let validator = jsonschema::validator_for(&schema()).unwrap();
    let good = "apiVersion: kickoff.dev/v1alpha1\nkind: Webhook\nmetadata: {name: gh}\n\
                spec: {provider: github, secrets: [{env: A}]}\n";
    for (from, to, valid) in [
        ("", "", true),
        ("kind: Webhook", "kind: Webhok", false),
        ("kind: Webhook", "kind: Trigger", false),
        ("kind: Webhook\n", "", false),
        ("v1alpha1", "v1", false),
        ("provider", "providr", false),
        ("github", "githob", false),
        ("{env: A}", "{env: A, file: B}", false),
        ("{env: A}", "A", false),
        ("{name: gh}", "{}", false),
    ] {
        let text = good.replacen(from, to, 1);
        let document = documents(&text).remove(0);
        assert_eq!(validator.is_valid(&document), valid, "{text}");
    }
}
