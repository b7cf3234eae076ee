//! What the API refuses, and how a client reads it.

use axum::http::StatusCode;
use axum::http::header::{HeaderValue, WWW_AUTHENTICATE};
use axum::response::{IntoResponse, Response};
use tracing::error;

use crate::runs::decisions::DecisionsError;
use crate::runs::executor::ExecutorError;
use crate::store::history::HistoryError;
use crate::store::inbox::InboxError;
use crate::store::records::RecordsError;
use crate::web::auth::Denied;
use crate::web::problem::Problem;

/// Why a request is not answered. The text is for the client, and says what would be right.
#[derive(Debug, thiserror::Error)]
pub(super) enum ApiError {
    /// Part of the request can't be read (400).
    #[error("{0}")]
    Malformed(String),
    /// Who asks may not (401, 403).
    #[error(transparent)]
    Denied(#[from] Denied),
    /// There is none, or none that the client may see (404).
    #[error("there is no {0}")]
    Absent(String),
    /// The method is not one of the resource's (405).
    #[error("this resource does not know the method {0}")]
    Method(String),
    /// The body did not come in time (408).
    #[error("the body did not come within {0} s")]
    Slow(u64),
    /// There was one, and it is not kept any more (410).
    #[error("{0}")]
    Gone(String),
    /// Not now, because of the state things are in (409).
    #[error("{0}")]
    Conflict(String),
    /// The body is too large (413).
    #[error("the body is too large: up to {0} bytes are read")]
    TooLarge(usize),
    /// The body is not JSON (415).
    #[error("the body must be JSON, with Content-Type: application/json")]
    MediaType,
    /// What is asked for was decided to be invalid (422).
    #[error("{0}")]
    Invalid(String),
    /// The inbox did not take the command (429, 503).
    #[error(transparent)]
    Inbox(#[from] InboxError),
    /// The command is stored, but not decided yet (503).
    #[error(
        "the command is stored as event {0}, but not decided yet: ask again with the same Idempotency-Key"
    )]
    Undecided(String),
    /// The history could not be read (500, or 503 where it may be later).
    #[error(transparent)]
    History(#[from] HistoryError),
    /// The records could not be read (500, or 503 where they may be later).
    #[error(transparent)]
    Records(#[from] RecordsError),
    /// Filtered decisions could not be worked out (500, or 503 where they may be later).
    #[error(transparent)]
    Decisions(#[from] DecisionsError),
    /// A log could not be read (500).
    #[error("the log can't be read: {0}")]
    Log(#[from] ExecutorError),
}

impl ApiError {
    fn status(&self) -> StatusCode {
        match self {
            Self::Malformed(_) => StatusCode::BAD_REQUEST,
            Self::Denied(denied) if denied.needs_token() => StatusCode::UNAUTHORIZED,
            Self::Denied(_) => StatusCode::FORBIDDEN,
            Self::Absent(_) => StatusCode::NOT_FOUND,
            Self::Method(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::Slow(_) => StatusCode::REQUEST_TIMEOUT,
            Self::Conflict(_) => StatusCode::CONFLICT,
            Self::Gone(_) => StatusCode::GONE,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::MediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Invalid(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Inbox(InboxError::Behind) => StatusCode::TOO_MANY_REQUESTS,
            Self::Inbox(InboxError::Unavailable(_))
            | Self::History(HistoryError::Unavailable(_))
            | Self::Records(RecordsError::Unavailable(_))
            | Self::Decisions(
                DecisionsError::Records(RecordsError::Unavailable(_)) | DecisionsError::Inbox(_),
            )
            | Self::Undecided(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::History(_) | Self::Records(_) | Self::Decisions(_) | Self::Log(_) => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
        }
    }

    /// What the client reads: of a fault of ours only that there was one.
    fn detail(&self) -> String {
        match self {
            Self::History(_) => "the history can't be read; the server's log says why".to_owned(),
            Self::Records(_) => "the records can't be read; the server's log says why".to_owned(),
            Self::Decisions(_) => "the decisions can't be worked out; the server's log says why".to_owned(),
            Self::Log(_) => "the log can't be read; the server's log says why".to_owned(),
            Self::Inbox(InboxError::Unavailable(_)) => {
                "the inbox can't store; the server's log says why".to_owned()
            }
            other => other.to_string(),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = self.status();
        if status.is_server_error() {
            error!(error = %self, "a request to the API failed");
        }
        let problem = Problem::new(status, self.detail());
        match status {
            StatusCode::UNAUTHORIZED => {
                problem.with_header(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
            }
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => problem.retry_after(1),
            _ => problem,
        }
        .into_response()
    }
}
