//! Errors as clients read them: problem details (RFC 9457).

use std::borrow::Cow;

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderName, HeaderValue, StatusCode};
use serde::Serialize;

/// An error as `application/problem+json`. Holds nothing that only the log may say.
#[derive(Debug, Clone)]
pub struct Problem {
    /// A URI that names the kind of problem; `about:blank` says: as the status.
    pub kind: Cow<'static, str>,
    /// The same for every problem of this kind.
    pub title: Cow<'static, str>,
    /// HTTP status.
    pub status: StatusCode,
    /// What is wrong this time, and what would be right.
    pub detail: Cow<'static, str>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// The members of RFC 9457, section 3.1.
#[derive(Serialize)]
struct Members<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    title: &'a str,
    status: u16,
    #[serde(skip_serializing_if = "str::is_empty")]
    detail: &'a str,
}

impl Problem {
    /// A problem that its status names.
    pub fn new(status: StatusCode, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            kind: Cow::Borrowed("about:blank"),
            title: Cow::Borrowed(status.canonical_reason().unwrap_or("Error")),
            status,
            detail: detail.into(),
            headers: Vec::new(),
        }
    }

    /// 404.
    pub fn not_found(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }

    /// 405 with the methods that are allowed, for instance `POST`.
    pub fn method_not_allowed(allowed: &'static str) -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, format!("only {allowed} is served here"))
            .with_header(ALLOW, HeaderValue::from_static(allowed))
    }

    /// Says when to come again.
    #[must_use]
    pub fn retry_after(self, seconds: u32) -> Self {
        self.with_header(RETRY_AFTER, HeaderValue::from(seconds))
    }

    /// Sends a header with it.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.status.as_u16();
        let members = Members { kind: &self.kind, title: &self.title, status, detail: &self.detail };
        let mut response = (self.status, Json(members)).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.extend(self.headers);
        response
    }
}
