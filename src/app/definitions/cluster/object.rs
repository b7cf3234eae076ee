//! A definition as the API server sends it, and as it is kept. Nothing here trusts one: whoever writes it chooses how
//! deep it is nested, and it must harm no other.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::engine::ids::ObjectName;
use crate::outside::kubernetes::feed::Versioned;

/// How deep a spec may be nested: less than what can be read again once it is kept within something else.
const DEEPEST: usize = 100;

/// A definition as the cluster has it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Resource {
    /// Which kind.
    pub kind: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// Counts the changes of its spec.
    pub generation: i64,
    /// When the cluster made it, as it writes that: in order as texts.
    #[serde(default)]
    pub created: String,
    /// What is to be done.
    pub spec: Value,
    /// Why its spec can't be read, where it can't: it is there all the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unread: Option<String>,
    /// What was made of it, as it was seen last; none where this process did not see it yet.
    #[serde(skip)]
    pub status: Option<Value>,
}

/// The same as it is sent.
#[derive(Deserialize)]
pub(super) struct Object {
    #[serde(default)]
    metadata: Meta,
    /// As text: one that can't be read must not take the rest along.
    #[serde(default)]
    spec: Option<Box<RawValue>>,
    #[serde(default)]
    status: Value,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Meta {
    name: String,
    namespace: String,
    uid: String,
    generation: i64,
    creation_timestamp: String,
    resource_version: String,
}

impl Versioned for Object {
    fn version(&self) -> &str {
        &self.metadata.resource_version
    }
}

impl Object {
    pub(super) fn name(&self) -> ObjectName {
        ObjectName::new(&self.metadata.namespace, &self.metadata.name)
    }

    pub(super) fn resource(self, kind: &str) -> (ObjectName, Arc<Resource>) {
        let key = self.name();
        let Meta { name, namespace, uid, generation, creation_timestamp: created, .. } = self.metadata;
        let (spec, unread) = match self.spec.as_deref().map_or(Ok(Value::Null), read) {
            Ok(spec) => (spec, None),
            Err(why) => (Value::Null, Some(why)),
        };
        let (kind, status) = (kind.to_owned(), Some(self.status));
        (key, Arc::new(Resource { kind, namespace, name, uid, generation, created, spec, unread, status }))
    }
}

fn read(raw: &RawValue) -> Result<Value, String> {
    let too_deep = || format!("is nested too deep: {DEEPEST} levels are the most");
    // What was written was JSON: it can only be too deep, or have a number that is too large.
    let spec: Value = serde_json::from_str(raw.get()).map_err(|error| {
        if error.to_string().starts_with("recursion limit") {
            too_deep()
        } else {
            format!("can't be read: {error}")
        }
    })?;
    if depth(&spec) > DEEPEST { Err(too_deep()) } else { Ok(spec) }
}

fn depth(value: &Value) -> usize {
    let below = match value {
        Value::Array(all) => all.iter().map(depth).max(),
        Value::Object(all) => all.values().map(depth).max(),
        _ => return 0,
    };
    1 + below.unwrap_or_default()
}
