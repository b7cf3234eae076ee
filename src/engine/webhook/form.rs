//! Deliveries as forms (`application/x-www-form-urlencoded`, as the URL standard has it).
//!
//! GitHub and Gitea put their JSON into the one field `payload`; Slack's commands are fields of a form.
//! Decoding is strict: a `%` without two hex digits is refused, never kept as it is.

use std::borrow::Cow;

use http::HeaderMap;

use super::headers::one;

/// The media type of forms.
pub(super) const FORM: &str = "application/x-www-form-urlencoded";
/// Most fields that a form may have.
const MAX_FIELDS: usize = 1_000;

/// Whether a delivery says that it is a form.
pub(super) fn is_form(headers: &HeaderMap) -> Result<bool, String> {
    let value = one(headers, "content-type")?.unwrap_or_default();
    Ok(value.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(FORM))
}

/// What the one field `payload` holds. Other fields are passed over.
pub(super) fn payload(body: &[u8]) -> Result<Cow<'_, [u8]>, String> {
    let mut found = None;
    for part in body.split(|byte| *byte == b'&') {
        let Some(value) = part.strip_prefix(b"payload=") else { continue };
        if found.replace(value).is_some() {
            return Err("the form has the field payload more than once".to_owned());
        }
    }
    decoded(found.ok_or("the form has no field payload")?)
}

/// All fields of a form, in order. A field that comes twice is refused.
pub(super) fn fields(body: &[u8]) -> Result<Vec<(String, String)>, String> {
    let mut fields: Vec<(String, String)> = Vec::new();
    for part in body.split(|byte| *byte == b'&').filter(|part| !part.is_empty()) {
        let at = part.iter().position(|byte| *byte == b'=').unwrap_or(part.len());
        let (name, value) = (text(&part[..at])?, text(part.get(at + 1..).unwrap_or_default())?);
        if fields.len() == MAX_FIELDS {
            return Err(format!("the form has more than {MAX_FIELDS} fields"));
        }
        fields.push((name, value));
    }
    let mut names: Vec<&str> = fields.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(_) => Err("the form has a field more than once".to_owned()),
        None => Ok(fields),
    }
}

fn text(part: &[u8]) -> Result<String, String> {
    String::from_utf8(decoded(part)?.into_owned()).map_err(|_| "the form is not UTF-8".to_owned())
}

/// `+` is a blank, `%XX` a byte.
fn decoded(text: &[u8]) -> Result<Cow<'_, [u8]>, String> {
    if !text.iter().any(|byte| matches!(byte, b'+' | b'%')) {
        return Ok(Cow::Borrowed(text));
    }
    let spaced: Vec<u8> = text.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    percent_decoded(&spaced)
        .map(Cow::Owned)
        .ok_or_else(|| "the form has a % without two hex digits".to_owned())
}

/// One round of percent-decoding (RFC 3986, 2.1); `None` where a `%` has no two hex digits.
pub(super) fn percent_decoded(text: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let digit = |at: usize| char::from(*after.get(at)?).to_digit(16);
        bytes.push(u8::try_from(digit(0)? * 16 + digit(1)?).ok()?);
        rest = &after[2..];
    }
    Some(bytes)
}
