//! Header fields that must be there at most once and be text.

use http::HeaderMap;

/// The one value of a header, without blanks around it; `None` where it is missing.
///
/// A header that comes twice, or holds bytes that are no visible ASCII, is refused: which of two
/// values counts must never depend on who reads them.
pub(super) fn one<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, String> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(format!("the header {name} comes more than once"));
    }
    value.to_str().map(|text| Some(text.trim())).map_err(|_| format!("the header {name} is not text"))
}
