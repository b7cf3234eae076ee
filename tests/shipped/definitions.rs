//! Definitions in `triggers/`, `examples/` and `deploy/`.

use kickoff::engine::definitions::compile::{compile, secret_sources};
use kickoff::engine::definitions::hints::hints;
use kickoff::engine::definitions::load::load;
use kickoff::engine::definitions::model::Secrets;
use secrecy::SecretString;

/// Stands for every secret; a signing token of GitLab must have this shape.
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

#[test]
fn every_definition_loads_and_compiles_without_a_problem() {
    for folder in super::folders() {
        let files = super::yaml_files(&folder);
        assert!(!files.is_empty(), "{folder} has no definitions");
        let loaded = load(&files, "default");
        let secrets: Secrets = secret_sources(&loaded)
            .into_iter()
            .map(|source| (source, Ok(SecretString::from(SECRET))))
            .collect();
        let snapshot = compile(&loaded, &secrets, None);
        assert!(snapshot.problems.is_empty(), "{folder}: {:#?}", snapshot.problems);
        assert_eq!(hints(&snapshot), [""; 0], "{folder}");
        assert_eq!(snapshot.documents.len(), loaded.documents.len(), "{folder}");
        for webhook in snapshot.webhooks.values() {
            assert!(webhook.verifier.is_ok(), "{folder}: {:?}", webhook.verifier);
        }
    }
}
