//! Payloads read field by field while they stream by, so that 25 MB need no tree.
//!
//! A field of another shape than expected counts as missing; of a doubled field the last counts, as
//! in [`serde_json::Value`]. What is not asked for is still checked to be JSON of bounded depth, so
//! a body that is accepted here can be parsed as a whole later.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// Longest text that is kept whole; a longer one counts as missing.
const MAX_TEXT: usize = 4_096;
/// Most items of a list that are kept.
const MAX_ITEMS: usize = 1_000;

/// An object of which some fields are wanted.
pub(super) trait Payload: Default {
    /// Takes the value of `key` off `map`, which must be done for every key.
    fn take<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error>;
}

/// Declares a [`Payload`]: its fields with the keys that fill them.
macro_rules! payload {
    ($(#[$doc:meta])* $name:ident { $($key:literal => $field:ident: $shape:ty,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Default)]
        pub(in crate::engine::webhook) struct $name {
            $(pub(in crate::engine::webhook) $field: $shape,)*
        }

        impl $crate::engine::webhook::payload::Payload for $name {
            fn take<'de, A: serde::de::MapAccess<'de>>(
                &mut self,
                key: &str,
                map: &mut A,
            ) -> Result<(), A::Error> {
                match key {
                    $($key => self.$field = map.next_value()?,)*
                    _ => {
                        map.next_value::<$crate::engine::webhook::payload::Checked>()?;
                    }
                }
                Ok(())
            }
        }
    };
}
pub(super) use payload;

/// Any JSON, checked and dropped.
#[derive(Debug)]
pub(super) struct Checked;

/// A text, or nothing.
#[derive(Debug, Default, Clone)]
pub(super) struct Text(pub(super) Option<String>);

/// A text that may also be `null`, where that says something.
#[derive(Debug, Default, Clone)]
pub(super) enum Nullable {
    /// Not there, or of another shape.
    #[default]
    Missing,
    /// There, as `null`.
    Null,
    /// There.
    Found(String),
}

/// True or false, or nothing.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Truth(pub(super) Option<bool>);

/// A text, or true or false: GitLab has both under one name.
#[derive(Debug, Default, Clone)]
pub(super) struct TextOrTruth {
    /// The text.
    pub(super) text: Option<String>,
    /// The truth.
    pub(super) truth: Option<bool>,
}

/// The beginning of a text, up to 4,096 bytes, or nothing.
#[derive(Debug, Default, Clone)]
pub(super) struct Opening(pub(super) Option<String>);

/// A whole number that is not negative, or nothing.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Number(pub(super) Option<u64>);

/// An object, or nothing.
#[derive(Debug, Default)]
pub(super) enum Object<T> {
    /// Not there, or of another shape.
    #[default]
    Missing,
    /// There, as `null`.
    Null,
    /// There.
    Found(Box<T>),
}

/// The first thousand objects of a list.
#[derive(Debug)]
pub(super) struct List<T>(pub(super) Vec<T>);

impl<T> Object<T> {
    /// What was found.
    pub(super) fn get(&self) -> Option<&T> {
        match self {
            Self::Found(found) => Some(found),
            Self::Missing | Self::Null => None,
        }
    }
}

impl Nullable {
    /// What was found.
    pub(super) fn get(&self) -> Option<&str> {
        match self {
            Self::Found(found) => Some(found),
            Self::Missing | Self::Null => None,
        }
    }
}

impl<T> Default for List<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

/// What a value of any shape is turned into.
trait Shape: Sized {
    fn nothing() -> Self;
    fn null() -> Self {
        Self::nothing()
    }
    fn text(_: &str) -> Self {
        Self::nothing()
    }
    fn number(_: u64) -> Self {
        Self::nothing()
    }
    fn truth(_: bool) -> Self {
        Self::nothing()
    }
    fn object<'de, A: MapAccess<'de>>(mut map: A) -> Result<Self, A::Error> {
        while map.next_entry::<Checked, Checked>()?.is_some() {}
        Ok(Self::nothing())
    }
    fn list<'de, A: SeqAccess<'de>>(mut items: A) -> Result<Self, A::Error> {
        while items.next_element::<Checked>()?.is_some() {}
        Ok(Self::nothing())
    }
}

impl Shape for Checked {
    fn nothing() -> Self {
        Self
    }
}

impl Shape for Text {
    fn nothing() -> Self {
        Self(None)
    }
    fn text(text: &str) -> Self {
        Self((text.len() <= MAX_TEXT).then(|| text.to_owned()))
    }
}

impl Shape for Nullable {
    fn nothing() -> Self {
        Self::Missing
    }
    fn null() -> Self {
        Self::Null
    }
    fn text(text: &str) -> Self {
        if text.len() <= MAX_TEXT { Self::Found(text.to_owned()) } else { Self::Missing }
    }
}

impl Shape for Truth {
    fn nothing() -> Self {
        Self(None)
    }
    fn truth(truth: bool) -> Self {
        Self(Some(truth))
    }
}

impl Shape for TextOrTruth {
    fn nothing() -> Self {
        Self::default()
    }
    fn text(text: &str) -> Self {
        Self { text: Text::text(text).0, truth: None }
    }
    fn truth(truth: bool) -> Self {
        Self { text: None, truth: Some(truth) }
    }
}

impl Shape for Opening {
    fn nothing() -> Self {
        Self(None)
    }
    fn text(text: &str) -> Self {
        Self(Some(text[..text.floor_char_boundary(MAX_TEXT)].to_owned()))
    }
}

impl Shape for Number {
    fn nothing() -> Self {
        Self(None)
    }
    fn number(number: u64) -> Self {
        Self(Some(number))
    }
}

impl<T: Payload> Shape for Object<T> {
    fn nothing() -> Self {
        Self::Missing
    }
    fn null() -> Self {
        Self::Null
    }
    fn object<'de, A: MapAccess<'de>>(mut map: A) -> Result<Self, A::Error> {
        let mut found = Box::<T>::default();
        while let Some(key) = map.next_key::<Key>()? {
            found.take(key.as_str(), &mut map)?;
        }
        Ok(Self::Found(found))
    }
}

impl<T: Payload> Shape for List<T> {
    fn nothing() -> Self {
        Self(Vec::new())
    }
    fn list<'de, A: SeqAccess<'de>>(mut items: A) -> Result<Self, A::Error> {
        let mut found = Vec::new();
        while found.len() < MAX_ITEMS {
            match items.next_element::<Object<T>>()? {
                Some(Object::Found(item)) => found.push(*item),
                Some(_) => {}
                None => return Ok(Self(found)),
            }
        }
        while items.next_element::<Checked>()?.is_some() {}
        Ok(Self(found))
    }
}

struct AnyShape<S>(PhantomData<S>);

impl<'de, S: Shape> Visitor<'de> for AnyShape<S> {
    type Value = S;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }
    fn visit_bool<E: Error>(self, truth: bool) -> Result<S, E> {
        Ok(S::truth(truth))
    }
    fn visit_i64<E: Error>(self, _: i64) -> Result<S, E> {
        Ok(S::nothing())
    }
    fn visit_u64<E: Error>(self, number: u64) -> Result<S, E> {
        Ok(S::number(number))
    }
    fn visit_f64<E: Error>(self, _: f64) -> Result<S, E> {
        Ok(S::nothing())
    }
    fn visit_unit<E: Error>(self) -> Result<S, E> {
        Ok(S::null())
    }
    fn visit_str<E: Error>(self, text: &str) -> Result<S, E> {
        Ok(S::text(text))
    }
    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<S, A::Error> {
        S::object(map)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<S, A::Error> {
        S::list(items)
    }
}

macro_rules! deserialize {
    ($($shape:ty $(, $param:ident)?;)*) => {
        $(impl<'de $(, $param: Payload)?> Deserialize<'de> for $shape {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any(AnyShape(PhantomData))
            }
        })*
    };
}
deserialize! {
    Checked;
    Text;
    Nullable;
    Opening;
    Truth;
    TextOrTruth;
    Number;
    Object<T>, T;
    List<T>, T;
}

/// A key, held without an allocation. No key that is wanted is longer than this.
struct Key {
    bytes: [u8; 32],
    length: usize,
}

impl Key {
    fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.length]).unwrap_or_default()
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(KeyVisitor)
    }
}

struct KeyVisitor;

impl Visitor<'_> for KeyVisitor {
    type Value = Key;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Key, E> {
        let mut key = Key { bytes: [0; 32], length: 0 };
        if let Some(place) = key.bytes.get_mut(..text.len()) {
            place.copy_from_slice(text.as_bytes());
            key.length = text.len();
        }
        Ok(key)
    }
}
