//! Cursors as opaque, URL-safe text.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::Cursor;

impl Cursor {
    /// Text for clients: 16 characters of the URL-safe base64 alphabet.
    pub fn encode(&self) -> String {
        let mut bytes = [0; 12];
        bytes[..8].copy_from_slice(&self.position.to_be_bytes());
        bytes[8..].copy_from_slice(&self.place.to_be_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads what [`Cursor::encode`] gave; `None` for anything else.
    pub fn decode(text: &str) -> Option<Self> {
        let bytes: [u8; 12] = URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()?;
        let (position, place) = bytes.split_at(8);
        Some(Self {
            position: u64::from_be_bytes(position.try_into().ok()?),
            place: u32::from_be_bytes(place.try_into().ok()?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_survives_its_text() {
        for (position, place) in [(0, 0), (1, 255), (u64::MAX, u32::MAX), (1 << 40, 7)] {
            let cursor = Cursor { position, place };
            let text = cursor.encode();
            assert!(text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'), "{text}");
            assert_eq!(Cursor::decode(&text), Some(cursor));
        }
    }

    #[test]
    fn what_is_no_cursor_is_refused() {
        for text in
            ["", "AAAA", "AAAAAAAAAAAAAAAAA", "AAAAAAAAAAAAAAA=", "'; DROP TABLE runs", "AAAAAAAAAAA/AAAA"]
        {
            assert_eq!(Cursor::decode(text), None, "{text:?}");
        }
    }
}
