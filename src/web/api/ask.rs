//! What a client asks for: query parameters, ids in paths, bodies, idempotency keys.
//!
//! Strict: what is not known, stands twice or can't be read is refused with what would be right.

use std::error::Error;
use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, StatusCode};
use http_body::Body as _;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::MAX_BODY;
use super::error::ApiError;
use crate::engine::definitions::problem::nearest;
use crate::engine::verdict::Outcome;
use crate::outside::receipt::receipt;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const MAX_KEY: usize = 255;
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// The query of a request, to be taken apart by name. An empty value counts as none.
pub(super) struct Query(Vec<(String, String)>);

impl<S: Send + Sync> FromRequestParts<S> for Query {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let query = axum::extract::Query::<Vec<(String, String)>>::try_from_uri(&parts.uri)
            .map_err(|error| ApiError::Malformed(error.body_text()))?;
        Ok(Self(query.0))
    }
}

impl Query {
    /// Refuses parameters other than `known`, and one that stands twice.
    pub(super) fn expect(self, known: &[&str]) -> Result<Self, ApiError> {
        for (at, (name, _)) in self.0.iter().enumerate() {
            if !known.contains(&name.as_str()) {
                let near = nearest(name, known.iter().copied());
                let near = near.map(|near| format!(" (did you mean {near}?)")).unwrap_or_default();
                let known = match known {
                    [] => "this takes none".to_owned(),
                    known => format!("there are {}", known.join(", ")),
                };
                let message = format!("there is no parameter {name:?}{near}: {known}");
                return Err(ApiError::Malformed(message));
            }
            if self.0[..at].iter().any(|(other, _)| other == name) {
                return Err(ApiError::Malformed(format!("{name}: stands here twice")));
            }
        }
        Ok(self)
    }

    /// The value of `name`, where there is one.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        let value = self.0.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str());
        value.filter(|value| !value.is_empty())
    }

    /// The value of `name` in its type; `right` says what would be one.
    pub(super) fn parsed<T>(
        &self,
        name: &str,
        right: impl Display,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, ApiError> {
        let Some(text) = self.text(name) else { return Ok(None) };
        match parse(text) {
            Some(value) => Ok(Some(value)),
            None => Err(ApiError::Malformed(format!("{name}: {text:?} is not {right}"))),
        }
    }

    /// The value of `outcome`.
    pub(super) fn outcome(&self) -> Result<Option<Outcome>, ApiError> {
        let all = [Outcome::Passed, Outcome::Failed, Outcome::Error, Outcome::TimedOut, Outcome::Cancelled];
        let right = format!("one of {}", all.map(Outcome::as_str).join(", "));
        self.parsed("outcome", right, |text| all.into_iter().find(|it| it.as_str() == text))
    }

    /// A number of `from..=to`.
    pub(super) fn number<T>(&self, name: &str, from: T, to: T) -> Result<Option<T>, ApiError>
    where
        T: FromStr + PartialOrd + Display + Copy,
    {
        let within = |text: &str| text.parse().ok().filter(|number| (from..=to).contains(number));
        self.parsed(name, format!("a number from {from} to {to}"), within)
    }
}

/// The names and ids in a path.
pub(super) struct Named<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Named<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        match Path::<T>::from_request_parts(parts, state).await {
            Ok(Path(names)) => Ok(Self(names)),
            Err(_) => Err(ApiError::Malformed("the path is not UTF-8".to_owned())),
        }
    }
}

/// A JSON body.
pub(super) struct Body<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let read = timeout(BODY_TIMEOUT, Json::<T>::from_request(request, state));
        match read.await {
            Err(_) => Err(ApiError::Slow(BODY_TIMEOUT.as_secs())),
            Ok(Ok(Json(body))) => Ok(Self(body)),
            Ok(Err(JsonRejection::MissingJsonContentType(_))) => Err(ApiError::MediaType),
            Ok(Err(other)) if other.status() == StatusCode::PAYLOAD_TOO_LARGE => {
                Err(ApiError::TooLarge(MAX_BODY))
            }
            Ok(Err(JsonRejection::JsonDataError(error))) => Err(unreadable(&error)),
            Ok(Err(JsonRejection::JsonSyntaxError(error))) => Err(unreadable(&error)),
            Ok(Err(other)) => Err(ApiError::Malformed(other.body_text())),
        }
    }
}

/// A JSON body, or none at all: `null` is none too.
pub(super) struct OptionalBody<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned + Default> FromRequest<S> for OptionalBody<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        if request.body().is_end_stream() {
            return Ok(Self(T::default()));
        }
        let Body(body) = Body::<Option<T>>::from_request(request, state).await?;
        Ok(Self(body.unwrap_or_default()))
    }
}

/// The parser's own words: what wraps them says nothing to a client.
fn unreadable(mut error: &(dyn Error + 'static)) -> ApiError {
    while let Some(inner) = error.source() {
        error = inner;
    }
    ApiError::Malformed(format!("the body can't be read: {error}"))
}

/// The `Idempotency-Key` of a command, or a receipt where the client gave none.
pub(super) fn idempotency_key(headers: &HeaderMap) -> Result<String, ApiError> {
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
    let key = match (values.next(), values.next()) {
        (None, _) => return Ok(receipt()),
        (Some(value), None) => value.to_str().ok(),
        (Some(_), Some(_)) => None,
    };
    let plain = |key: &&str| (1..=MAX_KEY).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_graphic());
    key.filter(plain).map(str::to_owned).ok_or_else(|| {
        ApiError::Malformed(format!(
            "Idempotency-Key: must be one of up to {MAX_KEY} visible ASCII characters"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_taken_literally_or_refused() {
        let check = |uri: &str| -> String {
            let query = axum::extract::Query::try_from_uri(&uri.parse().unwrap()).unwrap();
            let answer = Query(query.0).expect(&["limit", "event"]).and_then(|query| {
                Ok(format!("{:?} {:?}", query.number("limit", 1_u32, 500)?, query.text("event")))
            });
            answer.unwrap_or_else(|error| error.to_string())
        };
        let right = "is not a number from 1 to 500";
        for (uri, expected) in [
            ("/", "None None".to_owned()),
            ("/?limit=&event=", "None None".to_owned()),
            ("/?limit=1", "Some(1) None".to_owned()),
            ("/?limit=500&event=a%26b", "Some(500) Some(\"a&b\")".to_owned()),
            ("/?limit=0", format!("limit: \"0\" {right}")),
            ("/?limit=501", format!("limit: \"501\" {right}")),
            ("/?limit=-1", format!("limit: \"-1\" {right}")),
            ("/?limit=99999999999999999999", format!("limit: \"99999999999999999999\" {right}")),
            ("/?limit=ten", format!("limit: \"ten\" {right}")),
            ("/?limit=1&limit=1", "limit: stands here twice".to_owned()),
            (
                "/?limt=1",
                "there is no parameter \"limt\" (did you mean limit?): there are limit, event".to_owned(),
            ),
            ("/?x", "there is no parameter \"x\": there are limit, event".to_owned()),
        ] {
            assert_eq!(check(uri), expected, "{uri}");
        }
        let none =
            Query(vec![("x".to_owned(), "1".to_owned())]).expect(&[]).err().map(|error| error.to_string());
        assert!(none.is_some_and(|why| why.ends_with("there is no parameter \"x\": this takes none")));
    }

    #[test]
    fn an_idempotency_key_is_one_short_word() {
        let long = "x".repeat(256);
        for (values, accepted) in [
            (vec!["abc-123"], true),
            (vec!["\"quoted\""], true),
            (vec![""], false),
            (vec!["two words"], false),
            (vec![long.as_str()], false),
            (vec![&long[1..]], true),
            (vec!["a", "a"], false),
        ] {
            let mut headers = HeaderMap::new();
            for value in &values {
                headers.append(IDEMPOTENCY_KEY, value.parse().unwrap());
            }
            let key = idempotency_key(&headers);
            assert_eq!(key.is_ok(), accepted, "{values:?}");
            assert!(key.map_or(true, |key| key == values[0]));
        }
        let none = HeaderMap::new();
        assert_ne!(idempotency_key(&none).unwrap(), idempotency_key(&none).unwrap());
    }
}
