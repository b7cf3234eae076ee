//! Durations (`1h30m`, `500ms`) and sizes (`25Mi`) as people write them.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Names of the formats in schemas; the patterns alone know nothing of the limits.
pub(super) const SPAN_FORMAT: &str = "kickoff-duration";
pub(super) const SIZE_FORMAT: &str = "kickoff-size";

const SPAN_PATTERN: &str = r"^([0-9]{1,9}(d|h|ms|m|s)){1,5}$";
const SIZE_PATTERN: &str = r"^[0-9]{1,15}(Ki|Mi|Gi|k|M|G)?$";
/// What these patterns take.
const MOST_DIGITS_OF_SPAN: usize = 9;
const MOST_PARTS: usize = 5;
const MOST_DIGITS_OF_SIZE: usize = 15;

/// A duration: `d h m s ms`, largest unit first or in any order, no blanks, no fractions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    millis: i64,
}

impl Span {
    /// From milliseconds.
    pub const fn from_millis(millis: i64) -> Self {
        Self { millis }
    }

    /// In milliseconds.
    pub const fn as_millis(self) -> i64 {
        self.millis
    }

    /// Reads `text`; up to ten years in all.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not a duration: write for instance 30s, 5m, 1h30m or 500ms");
        let (mut millis, mut parts) = (0_i64, 0);
        let mut rest = text;
        while !rest.is_empty() {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            parts += 1;
            if digits > MOST_DIGITS_OF_SPAN || parts > MOST_PARTS {
                return Err(wrong());
            }
            let number: i64 = rest[..digits].parse().map_err(|_| wrong())?;
            rest = &rest[digits..];
            let (unit, after) = [("ms", 1), ("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)]
                .iter()
                .find_map(|(unit, factor)| rest.strip_prefix(unit).map(|after| (factor, after)))
                .ok_or_else(wrong)?;
            millis = number.checked_mul(*unit).and_then(|part| millis.checked_add(part)).ok_or_else(wrong)?;
            rest = after;
        }
        let longest = 10 * 366 * 86_400_000;
        if text.is_empty() || millis > longest {
            return Err(wrong());
        }
        Ok(Self { millis })
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.millis == 0 {
            return f.write_str("0s");
        }
        let mut rest = self.millis;
        for (unit, factor) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)] {
            if rest >= factor {
                write!(f, "{}{unit}", rest / factor)?;
                rest %= factor;
            }
        }
        Ok(())
    }
}

/// A size in bytes: a number, or one with `Ki Mi Gi k M G`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize {
    bytes: u64,
}

impl ByteSize {
    /// From bytes.
    pub const fn from_bytes(bytes: u64) -> Self {
        Self { bytes }
    }

    /// In bytes.
    pub const fn as_bytes(self) -> u64 {
        self.bytes
    }

    /// Reads `text` as Kubernetes reads quantities of memory, whole numbers only.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not a size: write for instance 25Mi or 1000000");
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        if digits > MOST_DIGITS_OF_SIZE {
            return Err(format!(
                "{text:?} has more than {MOST_DIGITS_OF_SIZE} digits: write for instance 25Mi"
            ));
        }
        let number: u64 = text[..digits].parse().map_err(|_| wrong())?;
        let factor = match &text[digits..] {
            "" => 1,
            "k" => 1_000,
            "M" => 1_000_000,
            "G" => 1_000_000_000,
            "Ki" => 1 << 10,
            "Mi" => 1 << 20,
            "Gi" => 1 << 30,
            _ => return Err(wrong()),
        };
        number.checked_mul(factor).map(|bytes| Self { bytes }).ok_or_else(wrong)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (unit, factor) in [("Gi", 1_u64 << 30), ("Mi", 1 << 20), ("Ki", 1 << 10)] {
            if self.bytes >= factor && self.bytes.is_multiple_of(factor) {
                return write!(f, "{}{unit}", self.bytes / factor);
            }
        }
        write!(f, "{}", self.bytes)
    }
}

macro_rules! as_text {
    ($name:ident, $pattern:expr, $format:expr, $expected:expr) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                Self::parse(&text).map_err(serde::de::Error::custom)
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "pattern": $pattern, "format": $format, "description": $expected })
            }
        }
    };
}

as_text!(Span, SPAN_PATTERN, SPAN_FORMAT, "A duration: for instance 30s, 5m, 1h30m or 500ms.");
as_text!(ByteSize, SIZE_PATTERN, SIZE_FORMAT, "A size: for instance 25Mi or 1000000.");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_and_print() {
        for (text, millis, printed) in [
            ("500ms", 500, "500ms"),
            ("30s", 30_000, "30s"),
            ("90m", 5_400_000, "1h30m"),
            ("1h30m", 5_400_000, "1h30m"),
            ("30d", 2_592_000_000, "30d"),
            ("0s", 0, "0s"),
        ] {
            let span = Span::parse(text).expect(text);
            assert_eq!((span.as_millis(), span.to_string().as_str()), (millis, printed), "{text}");
        }
        for text in ["", "5", "m", "1.5h", "-1s", "5 m", "99999999999d", "1w"] {
            assert!(Span::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn sizes_read_and_print() {
        for (text, bytes, printed) in [("25Mi", 26_214_400, "25Mi"), ("1k", 1_000, "1000"), ("7", 7, "7")] {
            let size = ByteSize::parse(text).expect(text);
            assert_eq!((size.as_bytes(), size.to_string().as_str()), (bytes, printed), "{text}");
        }
        for text in ["", "Mi", "1.5Mi", "25mb", "99999999999999999999"] {
            assert!(ByteSize::parse(text).is_err(), "{text:?}");
        }
    }
}
