//! A YAML value with the place of everything in it, as serde hands it over.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Number, Value};
use serde_saphyr::Spanned;

use crate::engine::definitions::problem::Spot;

/// A value with its place.
pub(super) struct Node {
    pub(super) at: Spot,
    pub(super) kind: Kind,
}

/// What a node holds; keys in the order they are written, also those that stand twice.
pub(super) enum Kind {
    Scalar(Value),
    List(Vec<Node>),
    Map(Vec<(String, Spot, Node)>),
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Kind>::deserialize(deserializer)?;
        Ok(Self { at: spot(spanned.referenced), kind: spanned.value })
    }
}

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(KindVisitor)
    }
}

struct KindVisitor;

impl<'de> Visitor<'de> for KindVisitor {
    type Value = Kind;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value that JSON can hold")
    }

    fn visit_unit<E>(self) -> Result<Kind, E> {
        Ok(Kind::Scalar(Value::Null))
    }

    fn visit_none<E>(self) -> Result<Kind, E> {
        Ok(Kind::Scalar(Value::Null))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Kind, D::Error> {
        Kind::deserialize(deserializer)
    }

    fn visit_bool<E>(self, truth: bool) -> Result<Kind, E> {
        Ok(Kind::Scalar(Value::Bool(truth)))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Kind, E> {
        Ok(Kind::Scalar(number.into()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Kind, E> {
        Ok(Kind::Scalar(number.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<Kind, E> {
        let number = Number::from_f64(number).ok_or_else(|| E::custom("a number may not be infinite"))?;
        Ok(Kind::Scalar(Value::Number(number)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Kind, E> {
        Ok(Kind::Scalar(text.into()))
    }

    fn visit_string<E>(self, text: String) -> Result<Kind, E> {
        Ok(Kind::Scalar(text.into()))
    }

    fn visit_bytes<E: serde::de::Error>(self, _: &[u8]) -> Result<Kind, E> {
        Err(E::custom("binary values are not supported"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Kind, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Kind::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Kind, A::Error> {
        let mut map = Vec::new();
        while let Some(key) = fields.next_key::<Node>()? {
            let name = match key.kind {
                Kind::Scalar(Value::String(name)) => name,
                Kind::Scalar(value @ (Value::Bool(_) | Value::Number(_))) => value.to_string(),
                _ => return Err(A::Error::custom("the key of a field must be a text")),
            };
            map.push((name, key.at, fields.next_value()?));
        }
        Ok(Kind::Map(map))
    }
}

/// A parser's location as a spot.
pub(super) fn spot(location: serde_saphyr::Location) -> Spot {
    let number = |n: u64| u32::try_from(n).unwrap_or(u32::MAX).max(1);
    Spot { line: number(location.line()), column: number(location.column()) }
}
