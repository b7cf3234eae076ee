//! Which trace an event, a firing and a run belong to (W3C Trace Context), derived and never random:
//! whoever tells of them twice, or after a crash, tells of the same spans.

use super::ids::{EventKey, h};

/// A trace, and the span that the next one stands below.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trace {
    /// 16 bytes, not all zero.
    pub trace_id: [u8; 16],
    /// The sender's span, where there is one.
    pub parent: Option<[u8; 8]>,
    /// Whether the sender records its part; `None` where no sender said so.
    pub sampled: Option<bool>,
}

impl Trace {
    /// The trace of an event: its sender's, else one of its own.
    pub fn of_event(key: &EventKey, traceparent: Option<&str>) -> Self {
        if let Some((trace_id, parent, sampled)) = traceparent.and_then(parse) {
            return Self { trace_id, parent: Some(parent), sampled: Some(sampled) };
        }
        let mut trace_id = [0; 16];
        trace_id.copy_from_slice(&h("trace", &[key.as_str().as_bytes()])[..16]);
        Self { trace_id, parent: None, sampled: None }
    }

    /// The `traceparent` of what the firing or run `id` causes.
    pub fn below(&self, id: &str) -> String {
        let flags = u8::from(self.sampled.unwrap_or(true));
        format!("00-{}-{}-{flags:02x}", hex::encode(self.trace_id), hex::encode(span_id(id)))
    }
}

/// The span of the event, firing or run called `id`.
pub fn span_id(id: &str) -> [u8; 8] {
    let mut span = [0; 8];
    span.copy_from_slice(&h("span", &[id.as_bytes()])[..8]);
    span
}

/// A `traceparent` as it is kept: one that is not valid is ignored, as its specification says.
pub fn accepted(text: &str) -> Option<String> {
    parse(text).map(|_| text.to_owned())
}

/// Version 00, and what is like it of later versions (Trace Context, section 3.2).
fn parse(text: &str) -> Option<([u8; 16], [u8; 8], bool)> {
    let lower = |part: &str| part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let (head, rest) = (text.get(..55)?, text.get(55..)?);
    let parts: Vec<&str> = head.split('-').collect();
    let [version, trace, parent, flags] = parts.as_slice() else { return None };
    let whole = if *version == "00" { rest.is_empty() } else { rest.is_empty() || rest.starts_with('-') };
    if !whole || text.len() > 256 || *version == "ff" || !parts.iter().all(|part| lower(part)) {
        return None;
    }
    let (mut trace_id, mut span, mut flag) = ([0; 16], [0; 8], [0; 1]);
    hex::decode_to_slice(trace, &mut trace_id).ok()?;
    hex::decode_to_slice(parent, &mut span).ok()?;
    hex::decode_to_slice(flags, &mut flag).ok()?;
    let valid = version.len() == 2 && trace_id != [0; 16] && span != [0; 8];
    valid.then_some((trace_id, span, flag[0] & 1 == 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sender_chooses_the_trace_only_by_a_valid_header() {
        let key = EventKey::derive("webhook/default/gh", "/", "1");
        let own = Trace::of_event(&key, None);
        let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        for (text, sampled) in [
            (good.to_owned(), Some(true)),
            (good.replace("-01", "-00"), Some(false)),
            (good.replace("-01", "-ff"), Some(true)),
            (good.replacen("00", "cc", 1) + "-what-comes-later", Some(true)),
            (good.to_owned() + "-more", None),
            (good.replacen("00", "ff", 1), None),
            (good.to_uppercase(), None),
            (good.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32)), None),
            (good.replace("b7ad6b7169203331", &"0".repeat(16)), None),
            (good[..54].to_owned(), None),
            (String::new(), None),
            ("\u{e9}".repeat(40), None),
            (good.replace('-', "_"), None),
        ] {
            let trace = Trace::of_event(&key, Some(&text));
            assert_eq!(trace.sampled, sampled, "{text}");
            assert_eq!(accepted(&text).is_some(), sampled.is_some(), "{text}");
            assert_eq!(trace == own, sampled.is_none(), "{text}");
        }
        assert_ne!(
            own.trace_id,
            Trace::of_event(&EventKey::derive("webhook/default/gh", "/", "2"), None).trace_id
        );
        assert_eq!(parse(&own.below("a")), Some((own.trace_id, span_id("a"), true)));
    }
}
