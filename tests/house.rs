//! The layers, the purity of the engine and the shape of files, read from the sources below `src/`.
//!
//! Every checker is a pure function from sources to complaints, and has a test of its own that plants
//! a violation: a checker that finds nothing because it sees nothing would pass for ever.

mod layers;
mod purity;
mod shape;
mod source;

use source::Source;

/// Runs one checker over the real tree.
fn hold(checker: fn(&[Source]) -> Vec<String>) {
    let sources = source::read(concat!(env!("CARGO_MANIFEST_DIR"), "/src"));
    assert!(sources.iter().any(|source| source.path == "lib.rs"), "the sources were not found");
    let complaints = checker(&sources);
    assert!(complaints.is_empty(), "{} complaints:\n{}", complaints.len(), complaints.join("\n"));
}

/// Runs one checker over planted files; each complaint must hold one of the given texts, in order.
fn catches(checker: fn(&[Source]) -> Vec<String>, files: &[(&str, &str)], wanted: &[&str]) {
    let sources: Vec<Source> = files.iter().map(|(path, text)| Source::new(path, text)).collect();
    let complaints = checker(&sources);
    assert_eq!(complaints.len(), wanted.len(), "{complaints:#?}");
    for (complaint, text) in complaints.iter().zip(wanted) {
        assert!(complaint.contains(text), "{complaint:?} does not say {text:?}");
    }
}

#[test]
fn no_module_knows_a_layer_above_or_beside_it() {
    hold(layers::check);
}

#[test]
fn the_engine_is_pure() {
    hold(purity::check);
}

#[test]
fn files_are_short() {
    hold(shape::long_files);
}

#[test]
fn functions_are_short() {
    hold(shape::long_functions);
}

#[test]
fn modules_stand_beside_their_folder() {
    hold(shape::mod_files);
}

#[test]
fn every_file_says_what_it_is() {
    hold(shape::missing_headers);
}
