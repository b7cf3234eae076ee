//! `idPath`: a path (`JSONPath`) that names one place, read while the body streams by.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::payload::Checked;

const MAX_STEPS: usize = 32;

/// A singular query of RFC 9535: names and indexes only, `$.` left out or written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct IdPath {
    steps: Vec<Step>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Name(String),
    Index(usize),
}

impl IdPath {
    /// Reads `text`: `id`, `$.event.id`, `items[0]['the id']`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("{text:?} is no path to one place: write for instance event.id or items[0].id");
        let mut rest = text.strip_prefix('$').unwrap_or(text);
        let mut steps = Vec::new();
        if !text.starts_with(['$', '[']) {
            let (step, after) = plain_name(rest).ok_or_else(wrong)?;
            steps.push(step);
            rest = after;
        }
        while !rest.is_empty() {
            let (step, after) = match rest.strip_prefix('.') {
                Some(name) => plain_name(name),
                None => rest.strip_prefix('[').and_then(bracketed),
            }
            .ok_or_else(wrong)?;
            steps.push(step);
            rest = after;
        }
        if steps.is_empty() || steps.len() > MAX_STEPS {
            return Err(wrong());
        }
        Ok(Self { steps })
    }

    /// The text or whole number at this place of `body`, which is checked to its end.
    pub(super) fn read(&self, body: &[u8]) -> Result<Option<String>, serde_json::Error> {
        let mut deserializer = serde_json::Deserializer::from_slice(body);
        let found = At(&self.steps).deserialize(&mut deserializer)?;
        deserializer.end()?;
        Ok(found)
    }
}

fn plain_name(text: &str) -> Option<(Step, &str)> {
    let part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-') || !c.is_ascii();
    let end = text.find(|c| !part(c)).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    (!name.is_empty()).then(|| (Step::Name(name.to_owned()), rest))
}

fn bracketed(text: &str) -> Option<(Step, &str)> {
    if let Some(quote) = text.chars().next().filter(|c| matches!(c, '\'' | '"')) {
        let (name, rest) = text[1..].split_once(quote)?;
        let plain = !name.contains('\\') && !name.chars().any(char::is_control);
        return plain.then_some((Step::Name(name.to_owned()), rest.strip_prefix(']')?));
    }
    let (digits, rest) = text.split_once(']')?;
    let plain = digits.bytes().all(|b| b.is_ascii_digit()) && (digits == "0" || !digits.starts_with('0'));
    plain.then(|| digits.parse().ok()).flatten().map(|index| (Step::Index(index), rest))
}

/// Descends along the steps; everything beside them is checked and dropped.
struct At<'a>(&'a [Step]);

impl<'de> DeserializeSeed<'de> for At<'_> {
    type Value = Option<String>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for At<'_> {
    type Value = Option<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(self.0.is_empty().then(|| text.to_owned()))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
        Ok(self.0.is_empty().then(|| number.to_string()))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
        Ok(self.0.is_empty().then(|| number.to_string()))
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(key) = map.next_key::<String>()? {
            match self.0 {
                [Step::Name(name), rest @ ..] if *name == key => found = map.next_value_seed(At(rest))?,
                _ => {
                    map.next_value::<Checked>()?;
                }
            }
        }
        Ok(found)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        let (wanted, rest) = match self.0 {
            [Step::Index(index), rest @ ..] => (Some(*index), rest),
            _ => (None, self.0),
        };
        for position in 0_usize.. {
            let more = if Some(position) == wanted {
                items.next_element_seed(At(rest))?.map(|value| found = value)
            } else {
                items.next_element::<Checked>()?.map(drop)
            };
            if more.is_none() {
                break;
            }
        }
        Ok(found)
    }
}
