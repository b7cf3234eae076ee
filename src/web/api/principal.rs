//! Who asks, as every handler's first argument.

use axum::extract::FromRequestParts;
use axum::http::Method;
use axum::http::request::Parts;

use super::error::ApiError;
use crate::web::auth::{Principal, Role};
use crate::web::state::WebState;

/// Who asks. The role is checked here by method, so that no handler can forget it.
pub(super) struct Caller(pub(super) Principal);

impl FromRequestParts<WebState> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &WebState) -> Result<Self, ApiError> {
        let principal = state.auth.admit(&parts.uri, &parts.headers, state.clock.now())?;
        let looks = matches!(parts.method, Method::GET | Method::HEAD);
        principal.require(if looks { Role::Viewer } else { Role::Runner })?;
        Ok(Self(principal))
    }
}
