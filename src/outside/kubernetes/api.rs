//! Calls of the API server, with bodies as they are: nothing that a newer version knows is lost.

use std::time::Duration;

use futures::io::AsyncBufRead;
use http::{HeaderValue, Method, Request};
use kube::Client;
use kube::core::Status;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, PercentEncode, utf8_percent_encode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::timeout;

use crate::outside::chain;
use crate::outside::clearance::Clearance;

/// All but what RFC 3986 calls unreserved.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
/// Of an object that is created, where the API server can do that, only its metadata is sent back. It need not write
/// the rest, nor we read it.
const METADATA: HeaderValue =
    HeaderValue::from_static("application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json");
/// The longest that a call which is not a watch may take.
const CALL: Duration = Duration::from_secs(30);

/// Asks the API server. Cheap to clone.
#[derive(Clone)]
pub struct Api {
    client: Client,
    /// Whether the client begins requests that are not cleared yet, and does not end them.
    holds: bool,
}

/// Why a call did not do it.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The API server said so.
    #[error("{}", words(.0))]
    Said(Box<Status>),
    /// It was not reached, or its answer was not whole.
    #[error("the API server can't be reached: {0}")]
    Unreachable(String),
    /// It did not answer in time.
    #[error("the API server did not answer within {} s", CALL.as_secs())]
    TimedOut,
    /// What it answered is not what was asked for.
    #[error("the API server's answer can't be read: {0}")]
    Unreadable(#[from] serde_json::Error),
}

/// What was created, as the API server names it.
#[derive(Debug, Deserialize)]
pub struct Made {
    /// Its metadata.
    pub metadata: MadeMeta,
}

/// Its metadata.
#[derive(Debug, Deserialize)]
pub struct MadeMeta {
    /// Of this very object.
    pub uid: String,
}

/// One page of a list, each item as it is.
#[derive(Debug, Deserialize)]
pub struct Page<T> {
    /// Where the list stands.
    pub metadata: PageMeta,
    /// The items.
    #[serde(default = "Vec::new")]
    pub items: Vec<T>,
}

/// Where a list stands.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PageMeta {
    /// From where on a watch goes on.
    pub resource_version: String,
    /// Asks for the next page, where there is one.
    #[serde(rename = "continue")]
    pub more: Option<String>,
}

impl CallError {
    /// The status code, where the API server answered.
    pub fn code(&self) -> Option<u16> {
        match self {
            Self::Said(status) => Some(status.code),
            _ => None,
        }
    }

    /// Whether the same call may succeed later: nobody was reached, or nobody had the time or the means for it.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Said(status) => status.code == 429 || status.code >= 500,
            Self::Unreachable(_) | Self::TimedOut => true,
            Self::Unreadable(_) => false,
        }
    }
}

/// The API server's own words.
pub fn words(status: &Status) -> String {
    match (status.message.is_empty(), status.reason.is_empty()) {
        (false, _) => status.message.clone(),
        (true, false) => format!("{} (status {})", status.reason, status.code),
        (true, true) => format!("the API server answered {}", status.code),
    }
}

impl Api {
    /// Asks through this client.
    pub fn new(client: Client) -> Self {
        Self { client, holds: false }
    }

    /// Asks through a client that holds what is not cleared.
    pub(super) fn holding(client: Client) -> Self {
        Self { client, holds: true }
    }

    /// A GET.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, CallError> {
        Ok(serde_json::from_str(&self.text(Method::GET, path, "", Vec::new()).await?)?)
    }

    /// The same, as it is sent.
    pub async fn get_text(&self, path: &str) -> Result<String, CallError> {
        self.text(Method::GET, path, "", Vec::new()).await
    }

    /// A POST.
    pub async fn post<T: DeserializeOwned>(&self, path: &str, body: &Value) -> Result<T, CallError> {
        let body = serde_json::to_vec(body)?;
        Ok(serde_json::from_str(&self.text(Method::POST, path, "application/json", body).await?)?)
    }

    /// A POST of JSON as it is, that creates an object. With a clearance it is prepared, and asked for only once that
    /// is given; where it never is, that is an error.
    pub async fn create(
        &self,
        path: &str,
        body: Vec<u8>,
        clearance: Option<&Clearance>,
    ) -> Result<Made, CallError> {
        let mut request = request(Method::POST, path, "application/json", body)?;
        request.headers_mut().insert(http::header::ACCEPT, METADATA);
        match clearance {
            Some(clearance) if self.holds => _ = request.extensions_mut().insert(clearance.clone()),
            Some(clearance) if !clearance.clone().is_given().await => {
                return Err(CallError::Unreachable("it was withdrawn".to_owned()));
            }
            _ => {}
        }
        Ok(serde_json::from_str(&self.send(request).await?)?)
    }

    /// A PUT.
    pub async fn put<T: DeserializeOwned>(&self, path: &str, body: &Value) -> Result<T, CallError> {
        let body = serde_json::to_vec(body)?;
        Ok(serde_json::from_str(&self.text(Method::PUT, path, "application/json", body).await?)?)
    }

    /// A DELETE with its options.
    pub async fn delete(&self, path: &str, options: &Value) -> Result<(), CallError> {
        let body = serde_json::to_vec(options)?;
        self.text(Method::DELETE, path, "application/json", body).await.map(drop)
    }

    /// A PATCH that merges.
    pub async fn merge(&self, path: &str, change: &Value) -> Result<(), CallError> {
        let body = serde_json::to_vec(change)?;
        self.text(Method::PATCH, path, "application/merge-patch+json", body).await.map(drop)
    }

    /// What is sent for as long as there is something; only the beginning has 30 seconds.
    pub async fn stream(&self, path: &str) -> Result<impl AsyncBufRead + use<>, CallError> {
        let mut request = request(Method::GET, path, "", Vec::new())?;
        // Newer servers compress each event of a watch by itself.
        let identity = HeaderValue::from_static("identity");
        request.headers_mut().insert(http::header::ACCEPT_ENCODING, identity);
        timeout(CALL, self.client.request_stream(request))
            .await
            .map_err(|_| CallError::TimedOut)?
            .map_err(CallError::from)
    }

    async fn text(&self, method: Method, path: &str, kind: &str, body: Vec<u8>) -> Result<String, CallError> {
        self.send(request(method, path, kind, body)?).await
    }

    async fn send(&self, request: Request<Vec<u8>>) -> Result<String, CallError> {
        timeout(CALL, self.client.request_text(request))
            .await
            .map_err(|_| CallError::TimedOut)?
            .map_err(CallError::from)
    }
}

fn request(method: Method, path: &str, kind: &str, body: Vec<u8>) -> Result<Request<Vec<u8>>, CallError> {
    let mut request = Request::builder().method(method).uri(path);
    if !kind.is_empty() {
        request = request.header(http::header::CONTENT_TYPE, kind);
    }
    request.body(body).map_err(|error| CallError::Unreachable(error.to_string()))
}

impl From<kube::Error> for CallError {
    fn from(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => Self::Said(status),
            kube::Error::SerdeError(error) => Self::Unreadable(error),
            other => Self::Unreachable(chain(&other)),
        }
    }
}

/// A value as part of a path or of a query.
pub fn escape(value: &str) -> PercentEncode<'_> {
    utf8_percent_encode(value, RESERVED)
}
