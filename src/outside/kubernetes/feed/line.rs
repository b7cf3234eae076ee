//! What an API server writes: a line of a watch, or the page of a list. Nothing here trusts an object: one that can't be
//! read is left out, and takes no other along.

use std::collections::BTreeMap;

use kube::core::Status;
use serde::Deserialize;
use serde_json::value::RawValue;
use tracing::warn;

use super::Versioned;
use crate::outside::kubernetes::api::{CallError, Page};

/// What the bookmark bears after all objects that were there (`metav1.InitialEventsAnnotationKey`).
const WHOLE: &str = "k8s.io/initial-events-end";

/// What a line of a watch says.
#[derive(Debug)]
pub(super) enum Line<T> {
    /// An object as it is now.
    Item(T),
    /// An object that is not there any more.
    Gone(T),
    /// How far the watch is.
    Bookmark {
        version: String,
        /// Whether all that was there when it began has come.
        whole: bool,
    },
    /// An object that can't be read.
    Unread { version: String, uid: String, error: serde_json::Error },
    /// The watch can't go on; none where it can't be read why.
    Refused(Option<Box<Status>>),
    /// It is no line of a watch.
    Unreadable(serde_json::Error),
    /// Something that a newer API server says.
    Unknown,
}

#[derive(Deserialize)]
struct Event<T> {
    #[serde(rename = "type")]
    kind: Kind,
    object: T,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum Kind {
    Added,
    Modified,
    Deleted,
    Bookmark,
    Error,
    #[serde(other)]
    Other,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Version {
    metadata: VersionMeta,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct VersionMeta {
    resource_version: String,
    name: String,
    uid: String,
}

/// The API server's own, unlike the annotations of an object.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Mark {
    metadata: MarkMeta,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct MarkMeta {
    resource_version: String,
    annotations: Option<BTreeMap<String, String>>,
}

/// Reads a line of a watch.
pub(super) fn line<T: Versioned>(text: &[u8]) -> Line<T> {
    let error = match serde_json::from_slice::<Event<T>>(text) {
        Ok(Event { kind: Kind::Added | Kind::Modified, object }) => return Line::Item(object),
        Ok(Event { kind: Kind::Deleted, object }) => return Line::Gone(object),
        Ok(Event { kind: Kind::Other, .. }) => return Line::Unknown,
        // What else there is bears no object.
        Ok(Event { kind: Kind::Bookmark | Kind::Error, .. }) => None,
        Err(error) => Some(error),
    };
    match (serde_json::from_slice::<Event<Version>>(text), error) {
        (Ok(Event { kind: Kind::Error, .. }), _) => Line::Refused(status(text)),
        (Ok(Event { kind: Kind::Bookmark, .. }), _) => bookmark(text),
        (Ok(Event { object: Version { metadata }, .. }), Some(error)) => {
            Line::Unread { version: metadata.resource_version, uid: metadata.uid, error }
        }
        (Ok(_), None) => Line::Unknown,
        (Err(error), _) => Line::Unreadable(error),
    }
}

fn bookmark<T>(text: &[u8]) -> Line<T> {
    match serde_json::from_slice::<Event<Mark>>(text) {
        Ok(Event { object: Mark { metadata }, .. }) => Line::Bookmark {
            whole: metadata.annotations.is_some_and(|all| all.get(WHOLE).is_some_and(|is| is == "true")),
            version: metadata.resource_version,
        },
        Err(error) => Line::Unreadable(error),
    }
}

fn status(text: &[u8]) -> Option<Box<Status>> {
    serde_json::from_slice::<Event<Status>>(text).ok().map(|event| Box::new(event.object))
}

/// Reads a page of a list.
pub(super) fn page<T: Versioned>(text: &str) -> Result<Page<T>, CallError> {
    match serde_json::from_str(text) {
        Ok(page) => Ok(page),
        Err(_) => one_by_one(text),
    }
}

/// The items of a page with one that can't be read, as far as they can be. Each is a text at first: one that is nested
/// too deep must not take the page along.
fn one_by_one<T: Versioned>(text: &str) -> Result<Page<T>, CallError> {
    let page: Page<&RawValue> = serde_json::from_str(text)?;
    let read = |item: &RawValue| {
        serde_json::from_str(item.get()).ok().or_else(|| {
            let VersionMeta { name, uid, .. } =
                serde_json::from_str::<Version>(item.get()).unwrap_or_default().metadata;
            warn!(name, "an object can't be read, and is left out");
            T::unread(uid)
        })
    };
    let items = page.items.into_iter().filter_map(read).collect();
    Ok(Page { metadata: page.metadata, items })
}

#[cfg(test)]
mod tests {
    use super::super::Object;
    use super::*;

    /// In short: what a line says, and of what.
    fn said(text: &str) -> String {
        match line::<Object>(text.as_bytes()) {
            Line::Item(object) => format!("item {}", object.version()),
            Line::Gone(object) => format!("gone {}", object.version()),
            Line::Bookmark { version, whole } => format!("bookmark {version} {whole}"),
            Line::Unread { version, uid, .. } => format!("unread {version} {uid}"),
            Line::Refused(status) => format!("refused {:?}", status.map(|status| status.code)),
            Line::Unreadable(_) => "unreadable".to_owned(),
            Line::Unknown => "unknown".to_owned(),
        }
    }

    #[test]
    fn a_line_says_what_became_of_an_object_or_of_the_watch() {
        let deep = "[".repeat(1_000) + &"]".repeat(1_000);
        let event = |kind: &str, object: &str| format!(r#"{{"type": "{kind}", "object": {object}}}"#);
        let of = |more: &str| format!(r#"{{"metadata": {{"resourceVersion": "7", "uid": "u"{more}}}}}"#);
        let end = r#", "annotations": {"k8s.io/initial-events-end": "true"}"#;
        let not = r#", "annotations": {"k8s.io/initial-events-end": "false"}"#;
        let deep = format!(r#"{{"metadata": {{"resourceVersion": "7", "uid": "u"}}, "spec": {deep}}}"#);
        for (text, wanted) in [
            (event("ADDED", &of("")), "item 7"),
            (event("MODIFIED", &of(end)), "item 7"),
            (event("DELETED", &of("")), "gone 7"),
            (event("BOOKMARK", &of("")), "bookmark 7 false"),
            (event("BOOKMARK", &of(not)), "bookmark 7 false"),
            (event("BOOKMARK", &of(end)), "bookmark 7 true"),
            (event("MOVED", &of("")), "unknown"),
            (event("ADDED", &deep), "unread 7 u"),
            (event("ERROR", r#"{"kind": "Status", "code": 410}"#), "refused Some(410)"),
            (event("ERROR", r#"{"code": "none"}"#), "refused None"),
            (r#"{"type": "ADDED", "obj"#.to_owned(), "unreadable"),
        ] {
            assert_eq!(said(&text), wanted, "{text}");
        }
    }

    #[test]
    fn an_object_that_is_nested_too_deep_takes_no_other_along() {
        let deep = "[".repeat(1_000) + &"]".repeat(1_000);
        let item = |uid: &str, spec: &str| format!(r#"{{"metadata": {{"uid": "{uid}"}}, "spec": {spec}}}"#);
        let items = [item("a", "1"), item("deep", &deep), item("b", "2")].join(", ");
        let text = format!(r#"{{"metadata": {{"resourceVersion": "7"}}, "items": [{items}]}}"#);
        assert!(serde_json::from_str::<Page<Object>>(&text).is_err());
        let page = page::<Object>(&text).unwrap();
        let uid = |Object(it): &Object| it["metadata"]["uid"].as_str().unwrap().to_owned();
        let uids: Vec<String> = page.items.iter().map(uid).collect();
        assert_eq!(uids, ["a", "deep", "b"]);
        assert_eq!(page.metadata.resource_version, "7");
    }
}
