//! The client of a server's API.

use std::error::Error;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::{Method, RequestBuilder, Response, StatusCode, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::{ERROR, USAGE, Usage};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longer than the server waits for a decision.
const TIMEOUT: Duration = Duration::from_mins(1);
/// The shortest beginning of a run's id that is looked up.
const MIN_PREFIX: usize = 6;

/// Which server, and who asks.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ServerArgs {
    /// The server's address
    #[arg(long, env = "KICKOFF_SERVER", default_value = "http://127.0.0.1:8080", value_name = "URL", value_parser = server_url)]
    server: Url,
    /// File with the token, in place of `KICKOFF_TOKEN`
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

/// Speaks to a server.
pub(crate) struct Client {
    server: Url,
    authorization: Option<HeaderValue>,
    http: reqwest::Client,
}

/// Why a server did not do it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    /// No answer.
    #[error("can't reach the server at {server}: {why}")]
    Unreachable {
        /// Its address.
        server: String,
        /// What the network said; of all that wraps it, only this helps.
        why: String,
    },
    /// It refused.
    #[error("{detail}")]
    Refused {
        /// The HTTP status.
        status: StatusCode,
        /// What it said.
        detail: String,
    },
    /// The answer could not be read.
    #[error("the answer of the server can't be read")]
    Unreadable(#[source] reqwest::Error),
}

impl ClientError {
    /// Whether there is no such thing.
    pub(crate) fn is_absent(&self) -> bool {
        matches!(self, Self::Refused { status: StatusCode::NOT_FOUND, .. })
    }

    /// Whether the server may be back soon: it went away, or said so itself.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Unreadable(_) => true,
            Self::Refused { status, .. } => {
                matches!(*status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS)
            }
        }
    }

    /// 2 where other arguments would help, else 3.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Refused { status, .. }
                if matches!(*status, StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY) =>
            {
                USAGE
            }
            _ => ERROR,
        }
    }
}

/// Problem details, as far as they are told on.
#[derive(Deserialize)]
struct Problem {
    detail: String,
}

/// What is read of a run's page to find one by the beginning of its id.
#[derive(Deserialize)]
struct Ids {
    items: Vec<Id>,
}

#[derive(Deserialize)]
struct Id {
    id: String,
}

impl Client {
    /// A client of the server that the arguments name.
    pub(crate) fn new(args: &ServerArgs) -> anyhow::Result<Self> {
        let builder = reqwest::Client::builder().connect_timeout(CONNECT_TIMEOUT);
        let builder = if is_loopback(&args.server) { builder.no_proxy() } else { builder };
        let http = builder.build().context("the HTTP client can't be made")?;
        let authorization = token(args)?.map(|token| authorization(&token)).transpose()?;
        Ok(Self { server: args.server.clone(), authorization, http })
    }

    /// A GET of `path` below `/api/v1`, read as JSON.
    pub(crate) async fn get<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[(&str, String)],
    ) -> Result<T, ClientError> {
        let request = self.request(Method::GET, path, query).timeout(TIMEOUT);
        self.send(request).await?.json().await.map_err(ClientError::Unreadable)
    }

    /// A POST with a JSON body and an idempotency key, read as JSON.
    pub(crate) async fn post<T: DeserializeOwned>(
        &self,
        path: &[&str],
        key: &str,
        body: &serde_json::Value,
    ) -> Result<T, ClientError> {
        let request = self.request(Method::POST, path, &[]).header("Idempotency-Key", key).timeout(TIMEOUT);
        self.send(request.json(body)).await?.json().await.map_err(ClientError::Unreadable)
    }

    /// A GET whose answer comes piece by piece, however long it takes.
    pub(crate) async fn stream(
        &self,
        path: &[&str],
        query: &[(&str, String)],
    ) -> Result<Response, ClientError> {
        self.send(self.request(Method::GET, path, query)).await
    }

    /// The whole id of the run that `text` names: itself, or the one recent run that begins so.
    pub(crate) async fn run_id(&self, text: &str) -> anyhow::Result<String> {
        if kickoff::engine::ids::RunId::parse(text).is_some() {
            return Ok(text.to_owned());
        }
        let hex = text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if !hex || !(MIN_PREFIX..20).contains(&text.len()) {
            let right = format!("20 hex digits, or the first {MIN_PREFIX} or more of them");
            return Err(Usage(format!("{text:?} is no run's id: {right}")).into());
        }
        let recent: Ids = self.get(&["runs"], &[("limit", "500".to_owned())]).await?;
        let mut found = recent.items.into_iter().map(|run| run.id).filter(|id| id.starts_with(text));
        match (found.next(), found.next()) {
            (Some(id), None) => Ok(id),
            (None, _) => anyhow::bail!("none of the last 500 runs begins with {text}: give the whole id"),
            (Some(_), Some(_)) => {
                Err(Usage(format!("several runs begin with {text}: give more digits")).into())
            }
        }
    }

    fn request(&self, method: Method, path: &[&str], query: &[(&str, String)]) -> RequestBuilder {
        let mut url = self.server.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(["api", "v1"]).extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let request = self.http.request(method, url);
        match &self.authorization {
            Some(value) => request.header(AUTHORIZATION, value.clone()),
            None => request,
        }
    }

    fn unreachable(&self, error: &reqwest::Error) -> ClientError {
        let mut cause: &(dyn Error + 'static) = error;
        while let Some(inner) = cause.source() {
            cause = inner;
        }
        let server = self.server.as_str().trim_end_matches('/').to_owned();
        ClientError::Unreachable { server, why: cause.to_string() }
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, ClientError> {
        let sent = request.send().await;
        let response = sent.map_err(|error| self.unreachable(&error))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let said = response.bytes().await.unwrap_or_default();
        let detail = match serde_json::from_slice::<Problem>(&said) {
            // The server's words are for who speaks HTTP.
            Ok(_) if status == StatusCode::UNAUTHORIZED && self.authorization.is_none() => {
                "the server wants a token: set KICKOFF_TOKEN, or give --token-file".to_owned()
            }
            Ok(problem) => super::output::printable(&problem.detail),
            Err(_) => format!("{} answered {status}, which is not how a Kickoff answers", self.server),
        };
        Err(ClientError::Refused { status, detail })
    }
}

/// Where no proxy is asked for, whatever the environment says.
fn is_loopback(server: &Url) -> bool {
    let host = server.host_str().unwrap_or_default();
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    host == "localhost" || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn server_url(text: &str) -> Result<Url, String> {
    match Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Ok(url),
        Err(error) if text.contains("://") => Err(error.to_string()),
        _ => Err("must begin with http:// or https://, as http://127.0.0.1:8080 does".to_owned()),
    }
}

fn token(args: &ServerArgs) -> anyhow::Result<Option<String>> {
    let token = match &args.token_file {
        Some(file) => {
            let text = std::fs::read_to_string(file);
            Some(text.with_context(|| format!("the token's file {} can't be read", file.display()))?)
        }
        None => environment("KICKOFF_TOKEN"),
    };
    Ok(token.map(|token| token.trim().to_owned()).filter(|token| !token.is_empty()))
}

/// Not an option of clap's: its value would show in the list of processes.
fn environment(name: &str) -> Option<String> {
    #[allow(clippy::disallowed_methods, reason = "the command line reads the environment")]
    std::env::var(name).ok()
}

fn authorization(token: &str) -> anyhow::Result<HeaderValue> {
    let mut value =
        HeaderValue::try_from(format!("Bearer {token}")).context("the token is not one line of text")?;
    value.set_sensitive(true);
    Ok(value)
}
