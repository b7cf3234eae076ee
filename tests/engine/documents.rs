//! Documents of the definitions in the records: which are written, and when they go.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use kickoff::engine::definitions::{Snapshot, compile, load};
use kickoff::engine::event::Event;
use kickoff::engine::machine::{Expired, Input, Key, Machine, Record, Write};

use super::disk::Disk;
use crate::support::hub::{HUB, at_hub};

/// Definitions of a Webhook `hub` and these templates, each in a file of its name.
fn snapshot(templates: &[(&str, &str)]) -> Arc<Snapshot> {
    let template = |(name, image): &(&str, &str)| {
        let text = format!(
            "apiVersion: kickoff.dev/v1alpha1\nkind: JobTemplate\nmetadata: {{name: {name}}}\n\
             spec: {{job: {{spec: {{template: {{spec: {{containers: [{{name: main, image: {image}}}]}}}}}}}}}}\n"
        );
        (format!("{name}.yaml"), text)
    };
    let files = std::iter::once(("hub.yaml".to_owned(), HUB.to_owned()));
    let files: Vec<(String, String)> = files.chain(templates.iter().map(template)).collect();
    let snapshot = compile(&load::load(&files, "default"), &BTreeMap::new(), None);
    assert!(snapshot.problems.is_empty(), "{:?}", snapshot.problems);
    snapshot
}

/// What deciding one more event writes.
fn decide(machine: &mut Machine, snapshot: &Snapshot) -> Vec<Write> {
    let position = machine.cursor() + 1;
    let attributes = at_hub(&position.to_string(), 0);
    let event = Box::new(Event { attributes, body: Bytes::from_static(b"{}") });
    machine.step(snapshot, Input::Event { position, event, subject: None }, 1_000).writes
}

/// The documents that these put, by their files.
fn put(writes: &[Write]) -> Vec<String> {
    let file = |write: &Write| match &write.value {
        Some(Record::Document(document)) => Some(document.file.clone()),
        _ => None,
    };
    writes.iter().filter_map(file).collect()
}

/// What is there of a revision and its documents.
fn kept(disk: &Disk, snapshot: &Snapshot) -> bool {
    let of_document = |hash: &String| disk.records.contains_key(&Key::Document(hash.clone()));
    match disk.records.get(&Key::Revision(snapshot.revision.clone())) {
        Some(Record::Revision(hashes)) => {
            assert!(hashes.iter().all(of_document), "a revision without its documents");
            true
        }
        _ => false,
    }
}

/// What retention tells of a revision.
fn expired(disk: &Disk, snapshot: &Snapshot) -> Input {
    let revision = snapshot.revision.clone();
    let Some(Record::Revision(documents)) = disk.records.get(&Key::Revision(revision.clone())) else {
        panic!("{revision} is not recorded")
    };
    let revisions = vec![(revision, documents.clone())];
    Input::Expired(Expired { revisions, ..Expired::default() })
}

#[test]
fn a_revision_writes_only_the_documents_that_are_new() {
    let first = snapshot(&[("a", "one"), ("b", "one")]);
    let second = snapshot(&[("a", "one"), ("b", "two")]);
    let mut machine = Disk::default().fold();
    assert_eq!(put(&decide(&mut machine, &first)), ["hub.yaml", "a.yaml", "b.yaml"]);
    assert_eq!(put(&decide(&mut machine, &first)), [""; 0]);
    assert_eq!(put(&decide(&mut machine, &second)), ["b.yaml"]);
    assert_eq!(put(&decide(&mut machine, &first)), [""; 0], "it is recorded still");
}

#[test]
fn a_document_goes_with_the_last_revision_that_has_it() {
    let editions =
        [("one", "one"), ("one", "two"), ("two", "two")].map(|(a, b)| snapshot(&[("a", a), ("b", b)]));
    for crashes in [false, true] {
        let mut disk = Disk::default();
        let mut machine = disk.fold();
        for edition in &editions {
            disk.commit(decide(&mut machine, edition));
            if crashes {
                machine = disk.fold();
            }
        }
        let [first, second, third] = &editions;
        for (gone, left) in [(second, vec![first, third]), (first, vec![third])] {
            let told = expired(&disk, gone);
            disk.commit(machine.step(third, told.clone(), 2_000).writes);
            // Told once more, it takes nothing from the others.
            disk.commit(machine.step(third, told, 2_000).writes);
            assert!(!kept(&disk, gone) && left.into_iter().all(|edition| kept(&disk, edition)));
            if crashes {
                machine = disk.fold();
            }
        }
        let documents = disk.records.keys().filter(|key| matches!(key, Key::Document(_))).count();
        assert_eq!(documents, 3, "the Webhook and the templates as they are");
        let told = expired(&disk, third);
        disk.commit(machine.step(third, told, 3_000).writes);
        assert!(kept(&disk, third), "it is in force");
        // One that comes back is written anew.
        disk.commit(decide(&mut machine, first));
        assert!(kept(&disk, first) && kept(&disk, third));
    }
}
