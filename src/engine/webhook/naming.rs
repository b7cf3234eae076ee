//! Where deliveries of `hmac` and `token` keep their id and type.

use http::HeaderMap;

use crate::engine::definitions::config::AuthConfig;

use super::delivery::{Unreadable, clean_id, event_name};
use super::headers::one;
use super::path::IdPath;
use super::payload::Checked;

/// Compiled `idHeader`, `idPath` and `typeHeader`. The default names nothing: each delivery is an
/// event of its own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Naming {
    id_header: Option<String>,
    id_path: Option<IdPath>,
    type_header: Option<String>,
}

impl Naming {
    /// Compiles an `auth`; fails only on an `idPath` that `Verifier::check_config` refuses as well.
    pub fn compile(auth: Option<&AuthConfig>) -> Result<Self, String> {
        let Some(auth) = auth else { return Ok(Self::default()) };
        Ok(Self {
            id_header: auth.id_header.clone(),
            id_path: auth.id_path.as_deref().map(IdPath::parse).transpose()?,
            type_header: auth.type_header.clone(),
        })
    }

    /// The sender's id, `None` where the definition names no place for one. One that is named and
    /// missing is refused: else leaving it out would make a redelivery a new event.
    ///
    /// Checks the whole body to be JSON on the way.
    pub(super) fn id(&self, headers: &HeaderMap, body: &[u8]) -> Result<Option<String>, Unreadable> {
        if let Some(path) = &self.id_path {
            let id = path.read(body)?;
            let id = id.ok_or_else(|| malformed("the body has no id at the path of idPath"))?;
            return clean_id(&id).map(Some);
        }
        serde_json::from_slice::<Checked>(body)?;
        let Some(header) = &self.id_header else { return Ok(None) };
        let id = one(headers, header).map_err(Unreadable::Malformed)?;
        clean_id(id.ok_or_else(|| Unreadable::Malformed(format!("the header {header} is missing")))?)
            .map(Some)
    }

    /// What comes after `com.<provider>.` in the event's type.
    pub(super) fn event(&self, headers: &HeaderMap) -> Result<String, Unreadable> {
        let Some(header) = &self.type_header else { return Ok("event".to_owned()) };
        match one(headers, header).map_err(Unreadable::Malformed)? {
            None => Ok("event".to_owned()),
            Some(text) => event_name(text)
                .map(str::to_owned)
                .ok_or_else(|| Unreadable::Malformed(format!("the header {header} is no type of an event"))),
        }
    }
}

fn malformed(text: &str) -> Unreadable {
    Unreadable::Malformed(text.to_owned())
}
