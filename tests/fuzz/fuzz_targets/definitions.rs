//! YAML definitions: any text gives a snapshot and problems, each with its place, that can be shown.
#![no_main]

use std::collections::BTreeMap;

use kickoff::engine::definitions::load::load;
use kickoff::engine::definitions::{compile, problem};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let snapshot = compile(&load(&[("a.yaml".to_owned(), text.to_owned())], "default"), &BTreeMap::new(), None);
    let sources = BTreeMap::from([("a.yaml".to_owned(), text.to_owned())]);
    problem::render(&snapshot.problems, &sources, false);
});
