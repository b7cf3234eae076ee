//! The client of an API server, with requests that are begun before they may be made.
//!
//! Such a request is sent but for its last byte. The API server looks at who asks and reads what there is meanwhile,
//! which is a fifth of what it takes to create a Job; it does nothing before the rest is there. The last byte
//! follows once it is cleared; where it never is, the connection is closed instead. So it is where we die.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body::{Body as _, Frame, SizeHint};
use hyper_timeout::TimeoutConnector;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use kube::client::{Body, ConfigExt as _};
use kube::{Client, Config};
use tower::{BoxError, ServiceBuilder};

use crate::outside::clearance::Clearance;

/// Until a connection stands.
const CONNECT: Duration = Duration::from_secs(10);

/// As `Client::try_from` makes one, but for what it says to the log, for repeating, which is decided where it is known
/// what may be, and for requests with a [`Clearance`] among their extensions.
pub(super) fn client(config: &Config) -> kube::Result<Client> {
    if let Some(url) = &config.proxy_url {
        let protocol_feature =
            if url.scheme_str() == Some("socks5") { "kube/socks5" } else { "kube/http-proxy" };
        let proxy_url = Box::new(url.clone());
        return Err(kube::Error::ProxyProtocolDisabled { proxy_url, protocol_feature });
    }
    let mut http = HttpConnector::new();
    http.enforce_http(false);
    // Or the last byte would wait until the first ones are acknowledged.
    http.set_nodelay(true);
    let mut connector = TimeoutConnector::new(config.rustls_https_connector_with_connector(http)?);
    connector.set_connect_timeout(Some(CONNECT));
    connector.set_read_timeout(config.read_timeout);
    connector.set_write_timeout(config.write_timeout);
    connector.set_reset_reader_on_write(config.reset_reader_on_write);
    let sender = hyper_util::client::legacy::Client::builder(TokioExecutor::new()).build(connector);
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .map_request(|request: Request<Body>| {
            let clearance = request.extensions().get::<Clearance>().cloned();
            request.map(|body| Held::new(body, clearance))
        })
        .map_err(BoxError::from)
        .service(sender);
    Ok(Client::new(service, config.default_namespace.clone()))
}

type Word = Pin<Box<dyn Future<Output = bool> + Send>>;

/// What is sent.
enum Held {
    /// As it is.
    Free(Body),
    /// But for its last byte.
    Begun(Body, Clearance),
    /// That one, once it is cleared.
    Last(Bytes, Word),
    /// All of it is.
    Whole,
}

impl Held {
    fn new(body: Body, clearance: Option<Clearance>) -> Self {
        match clearance {
            Some(clearance) if !body.is_end_stream() => Self::Begun(body, clearance),
            _ => Self::Free(body),
        }
    }
}

impl http_body::Body for Held {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        loop {
            match &mut *self {
                Self::Free(body) => return Pin::new(body).poll_frame(context).map_err(BoxError::from),
                Self::Begun(body, clearance) => {
                    // It comes in one piece.
                    let Some(frame) = ready!(Pin::new(body).poll_frame(context)) else {
                        return Poll::Ready(None);
                    };
                    let Ok(mut bytes) = frame?.into_data() else { continue };
                    let last = bytes.split_off(bytes.len().saturating_sub(1));
                    *self = Self::Last(last, Box::pin(clearance.clone().is_given()));
                    if !bytes.is_empty() {
                        return Poll::Ready(Some(Ok(Frame::data(bytes))));
                    }
                }
                Self::Last(last, word) => {
                    if !ready!(word.as_mut().poll(context)) {
                        return Poll::Ready(Some(Err("it was withdrawn".into())));
                    }
                    let last = std::mem::take(last);
                    *self = Self::Whole;
                    return Poll::Ready(Some(Ok(Frame::data(last))));
                }
                Self::Whole => return Poll::Ready(None),
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Free(body) | Self::Begun(body, _) => body.size_hint(),
            Self::Last(last, _) => SizeHint::with_exact(last.len() as u64),
            Self::Whole => SizeHint::with_exact(0),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Free(body) => body.is_end_stream(),
            Self::Begun(..) | Self::Last(..) => false,
            Self::Whole => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::time::timeout;

    use super::*;
    use crate::outside::clearance::clearance;
    use crate::outside::kubernetes::api::{Api, CallError, Made};

    const BODY: &[u8] = br#"{"kind":"Job"}"#;
    const CREATED: &[u8] =
        b"HTTP/1.1 201 Created\r\ncontent-length: 24\r\n\r\n{\"metadata\":{\"uid\":\"u\"}}";

    /// A server, and who asks it.
    async fn server() -> (TcpListener, Api) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        (listener, Api::holding(client(&Config::new(url.parse().unwrap())).unwrap()))
    }

    async fn post(api: &Api, clearance: Option<&Clearance>) -> Result<Made, CallError> {
        api.create("/jobs", BODY.to_vec(), clearance).await
    }

    async fn read_until(stream: &mut TcpStream, end: &[u8]) -> Vec<u8> {
        let mut read = Vec::new();
        while !read.ends_with(end) {
            assert_ne!(stream.read_buf(&mut read).await.unwrap(), 0, "it was closed");
        }
        read
    }

    #[tokio::test]
    async fn the_last_byte_waits_for_its_word() {
        let (listener, api) = server().await;
        let (giver, clearance) = clearance();
        let serve = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let head = read_until(&mut stream, &BODY[..BODY.len() - 1]).await;
            let head = String::from_utf8(head).unwrap().to_lowercase();
            assert!(head.contains("post /jobs") && head.contains("content-length: 14"), "{head}");
            assert!(head.contains("accept: application/json;as=partialobjectmetadata;"), "{head}");
            let more = timeout(Duration::from_millis(100), stream.read_u8()).await;
            assert!(more.is_err(), "it came unasked: {more:?}");
            giver.give();
            assert_eq!(stream.read_u8().await.unwrap(), b'}');
            stream.write_all(CREATED).await.unwrap();
        };
        let (answer, ()) = tokio::join!(post(&api, Some(&clearance)), serve);
        assert_eq!(answer.unwrap().metadata.uid, "u");
    }

    #[tokio::test]
    async fn without_its_word_it_is_never_whole() {
        let (listener, api) = server().await;
        let (giver, clearance) = clearance();
        let serve = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            read_until(&mut stream, &BODY[..BODY.len() - 1]).await;
            drop(giver);
            assert_eq!(stream.read_to_end(&mut Vec::new()).await.unwrap(), 0, "nothing more, and the end");
        };
        let (answer, ()) = tokio::join!(post(&api, Some(&clearance)), serve);
        let error = answer.unwrap_err();
        assert!(matches!(&error, CallError::Unreachable(why) if why.contains("it was withdrawn")), "{error}");
    }

    #[tokio::test]
    async fn what_needs_no_word_goes_at_once() {
        let (listener, api) = server().await;
        let serve = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            read_until(&mut stream, BODY).await;
            stream.write_all(CREATED).await.unwrap();
        };
        let (answer, ()) = tokio::join!(post(&api, None), serve);
        assert_eq!(answer.unwrap().metadata.uid, "u");
    }

    #[tokio::test]
    async fn what_is_refused_before_it_is_whole_is_refused() {
        let (listener, api) = server().await;
        let (_giver, clearance) = clearance();
        let serve = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            read_until(&mut stream, &BODY[..BODY.len() - 1]).await;
            stream.write_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n").await.unwrap();
            stream
        };
        let (answer, _stream) = tokio::join!(post(&api, Some(&clearance)), serve);
        assert_eq!(answer.unwrap_err().code(), Some(403));
    }

    #[tokio::test]
    async fn a_proxy_is_refused_rather_than_passed_by() {
        let mut config = Config::new("http://127.0.0.1:1".parse().unwrap());
        config.proxy_url = Some("http://proxy:3128".parse().unwrap());
        assert!(matches!(client(&config), Err(kube::Error::ProxyProtocolDisabled { .. })));
    }
}
