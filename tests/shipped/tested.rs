//! `kickoff test` over everything that is shipped, as CI would run it.

use std::process::Command;

use serde_json::Value;

fn test(folder: &str) -> (Option<i32>, Value) {
    let output = Command::new(env!("CARGO_BIN_EXE_kickoff"))
        .args(["test", "-o", "json"])
        .arg(super::project(folder))
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    let report = serde_json::from_slice(&output.stdout);
    (output.status.code(), report.unwrap_or_else(|error| panic!("{folder}: {error}: {errors}")))
}

#[test]
fn every_shipped_test_passes_and_every_trigger_has_one() {
    for folder in super::folders() {
        let (code, report) = test(&folder);
        assert_eq!(code, Some(0), "{folder}: {report:#}");
        let tests = report["tests"].as_array().unwrap();
        let loaded = kickoff::engine::definitions::load::load(&super::yaml_files(&folder), "default");
        for trigger in loaded.documents.iter().filter(|document| document.kind() == "Trigger") {
            let of = tests.iter().filter(|test| test["trigger"] == trigger.name());
            let decisions: Vec<_> = of.map(|test| &test["decision"]).collect();
            assert!(decisions.contains(&&"fired".into()), "{folder}: no test fires {}", trigger.name());
            // A slot alone leaves nothing to filter.
            let clock = trigger.document.value.pointer("/spec/sources/0/schedule").is_some();
            let one = clock || folder.contains("concurrency");
            assert!(decisions.len() > 1 || one, "{folder}: {}", trigger.name());
        }
    }
}
