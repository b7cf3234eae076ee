//! What `changed` is asked against: the event before in the trigger's series.
//!
//! Values themselves are not kept, only hashes of what each watched path gave.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::engine::ids::{EventKey, h_hex};

/// Hashes by path: what the `changed` paths of a rule gave.
pub type Prints = BTreeMap<String, String>;

/// What an event is compared with. Part of the event's record, so that a decision can be worked out
/// again without the event before.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Before {
    /// The event before in the series; missing for the first, which has changed nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<EventKey>,
    /// Paths that give something else now than they gave then.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub changed: BTreeSet<String>,
}

impl Before {
    /// Compares what paths give `now` with what they gave at `event`. A path that was not watched then
    /// has not changed.
    pub fn compare(event: EventKey, then: &Prints, now: &Prints) -> Self {
        let other = |(path, print): &(&String, &String)| then.get(*path).is_some_and(|old| old != *print);
        let changed = now.iter().filter(other).map(|(path, _)| path.clone()).collect();
        Self { event: Some(event), changed }
    }
}

/// A hash of values, equal where the values are: 5 and 5.0 are one number.
pub(super) fn print(values: &[&Value]) -> String {
    let values: Vec<Value> = values.iter().map(|value| canonical(value)).collect();
    h_hex("series value", &[json!(values).to_string().as_bytes()], 32)
}

fn canonical(value: &Value) -> Value {
    match value {
        Value::Number(number) => {
            let exact = |number: &f64| number.fract() == 0.0 && number.abs() < 9_007_199_254_740_992.0;
            let whole = number.as_f64().filter(|_| number.is_f64()).filter(exact);
            let whole = whole.and_then(|number| format!("{number:.0}").parse::<i64>().ok());
            whole.map_or_else(|| value.clone(), Value::from)
        }
        Value::Array(items) => items.iter().map(canonical).collect(),
        Value::Object(fields) => {
            fields.iter().map(|(name, field)| (name.clone(), canonical(field))).collect()
        }
        other => other.clone(),
    }
}
