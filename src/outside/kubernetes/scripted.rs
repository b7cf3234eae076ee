//! The API server of tests: it answers as each of them says.

use std::convert::Infallible;
use std::future::{self, Future};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use kube::Client;
use kube::client::Body;
use serde_json::json;

use super::api::Api;

/// A status and a body.
pub(crate) type Answer = (u16, String);

struct Server<F>(F);

impl<F: FnMut(&str) -> Option<Answer>> tower::Service<Request<Body>> for Server<F> {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let Some((status, body)) = (self.0)(&request.uri().to_string()) else {
            return Box::pin(future::pending());
        };
        let response = Response::builder().status(status).body(Full::from(body)).unwrap();
        Box::pin(future::ready(Ok(response)))
    }
}

/// Asks a server that answers so to a path with its query; `None` is no answer, ever.
pub(crate) fn api(answer: impl FnMut(&str) -> Option<Answer> + Send + 'static) -> Api {
    Api::new(Client::new(Server(answer), "default"))
}

/// What is answered where nothing else is.
pub(crate) fn refusal(code: u16) -> Answer {
    let status =
        json!({"kind": "Status", "status": "Failure", "message": format!("said {code}"), "code": code});
    (code, status.to_string())
}
