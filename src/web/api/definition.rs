//! One definition as it is in force, of whatever kind: who asks, for which, and what is answered.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::response::Response;
use serde::Deserialize;

use super::ask::{Named, Query};
use super::error::ApiError;
use super::principal::Caller;
use crate::engine::definitions::Snapshot;
use crate::engine::ids::ObjectName;
use crate::web::auth::Principal;
use crate::web::state::WebState;

/// A request for one definition, by a `Caller`.
pub(super) struct One {
    principal: Principal,
    state: WebState,
    name: ObjectName,
}

/// What the path names. Without a namespace it is the server's own.
#[derive(Deserialize)]
struct Place {
    namespace: Option<String>,
    name: String,
}

impl FromRequestParts<WebState> for One {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &WebState) -> Result<Self, ApiError> {
        let Caller(principal) = Caller::from_request_parts(parts, state).await?;
        let Named(Place { namespace, name }) = Named::<Place>::from_request_parts(parts, state).await?;
        Query::from_request_parts(parts, state).await?.expect(&[])?;
        let namespace = namespace.unwrap_or_else(|| state.namespace.clone());
        Ok(Self { principal, state: state.clone(), name: ObjectName::new(namespace, name) })
    }
}

impl One {
    /// The view of what `find` gives, where there is one that the caller may see; `kind` is what it would be.
    pub(super) fn answer<T>(
        self,
        kind: &str,
        find: impl for<'a> FnOnce(&'a Snapshot, &ObjectName) -> Option<&'a T>,
        view: impl FnOnce(&T, &WebState) -> Response,
    ) -> Result<Response, ApiError> {
        let snapshot = self.state.snapshots.borrow().clone();
        let found = find(&snapshot, &self.name).filter(|_| self.principal.sees(&self.name.namespace));
        let found = found.ok_or_else(|| ApiError::Absent(format!("{kind} {}", self.name)))?;
        Ok(view(found, &self.state))
    }
}
