//! Traces as an OpenTelemetry collector receives them: OTLP over HTTP, decoded with the types of its
//! own specification.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;

use super::{DEFINITIONS, PLANTED, TOKEN, deliver, until};
use crate::support::{Home, all_ended};

/// What the collector got, with the name of the service.
type Got = Arc<Mutex<Vec<(String, Span)>>>;

async fn receive(State(got): State<Got>, headers: HeaderMap, body: Bytes) -> Vec<u8> {
    assert_eq!(headers["content-type"], "application/x-protobuf");
    let request = ExportTraceServiceRequest::decode(body).expect("OTLP that can be decoded");
    for of_resource in request.resource_spans {
        let attributes = of_resource.resource.map(|resource| resource.attributes).unwrap_or_default();
        let name =
            attributes.iter().find(|pair| pair.key == "service.name").and_then(|pair| pair.value.clone());
        let Some(Any::StringValue(name)) = name.and_then(|value| value.value) else { panic!("no service") };
        let spans = of_resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
        got.lock().unwrap().extend(spans.map(|span| (name.clone(), span)));
    }
    Vec::new()
}

/// A collector; gives its address and what it gets.
async fn collector() -> (String, Got) {
    let got = Got::default();
    let router = Router::new().route("/v1/traces", post(receive)).with_state(Arc::clone(&got));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    #[allow(clippy::disallowed_methods, reason = "the collector lives as long as the test")]
    tokio::spawn(async move {
        crate::operations::traces::serve(listener, router).await;
    });
    (url, got)
}

async fn serve(listener: tokio::net::TcpListener, router: Router) {
    use kickoff::web::listener::{Limits, serve};
    serve(listener, router, Limits::default(), tokio_util::sync::CancellationToken::new()).await;
}

fn of<'a>(spans: &'a [(String, Span)], name: &str, trace: &str) -> Option<&'a Span> {
    let wanted = |span: &&(String, Span)| span.1.name == name && hex::encode(&span.1.trace_id) == trace;
    let found: Vec<_> = spans.iter().filter(wanted).collect();
    assert!(found.len() < 2, "{name} came twice");
    found.first().map(|found| &found.1)
}

fn attribute(span: &Span, key: &str) -> String {
    let found = span.attributes.iter().find(|pair| pair.key == key).and_then(|pair| pair.value.clone());
    match found.and_then(|value| value.value) {
        Some(Any::StringValue(text)) => text,
        other => panic!("{key} is {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_trace_holds_an_event_from_arrival_to_verdict() {
    let (url, got) = collector().await;
    let home = Home::new(DEFINITIONS);
    let server = home.serve(
        &[],
        &[("LOAD_TOKEN", TOKEN), ("OTEL_EXPORTER_OTLP_ENDPOINT", &url), ("OTEL_BSP_SCHEDULE_DELAY", "50")],
    );
    let theirs = "0af7651916cd43dd8448eb211c80319c";
    let header = format!("00-{theirs}-b7ad6b7169203331-01");
    let body = format!(r#"{{"code": 1, "x": "{PLANTED}"}}"#);
    let (_, given) = deliver(&server, "given", &body, &[("traceparent", &header)]).await;
    let (_, own) = deliver(&server, "own", r#"{"code": 0}"#, &[]).await;
    let unsampled = header.replace("0af7", "1af7").replace("-01", "-00");
    let (_, left) = deliver(&server, "left", r#"{"code": 0}"#, &[("traceparent", &unsampled)]).await;
    for event in [&given, &own, &left] {
        server.runs_of(event, all_ended).await;
    }
    let derived = hex::encode(
        kickoff::engine::trace::Trace::of_event(&kickoff::engine::ids::EventKey::parse(&own).unwrap(), None)
            .trace_id,
    );
    let names = ["event webhook", "firing exits", "run exits", "event verdict"];
    let spans = until("both traces, whole", async || {
        let spans = got.lock().unwrap().clone();
        let whole = |trace: &str| names.iter().all(|name| of(&spans, name, trace).is_some());
        (whole(theirs) && whole(&derived)).then_some(spans)
    })
    .await;
    for (trace, event, parent) in [(theirs, &given, "b7ad6b7169203331"), (derived.as_str(), &own, "")] {
        let [root, firing, run, verdict] = names.map(|name| of(&spans, name, trace).unwrap());
        assert_eq!(hex::encode(&root.parent_span_id), parent);
        assert_eq!(&attribute(root, "kickoff.event.key"), event);
        assert_eq!(firing.parent_span_id, root.span_id);
        assert_eq!(run.parent_span_id, firing.span_id);
        assert_eq!(verdict.parent_span_id, firing.span_id);
        assert!(root.start_time_unix_nano <= firing.start_time_unix_nano, "{root:?} {firing:?}");
        assert!(run.end_time_unix_nano <= firing.end_time_unix_nano, "{run:?} {firing:?}");
    }
    let failed = of(&spans, "firing exits", theirs).unwrap();
    assert_eq!(attribute(failed, "kickoff.outcome"), "Failed");
    assert_eq!(failed.status.as_ref().unwrap().code, 2, "an error");
    let told = format!("{spans:?}");
    assert!(!told.contains(TOKEN) && !told.contains(PLANTED), "{told}");
    assert!(spans.iter().all(|(service, _)| service == "kickoff"), "{told}");
    // The sender does not record its part of this one, so neither do we.
    assert!(!spans.iter().any(|(_, span)| hex::encode(&span.trace_id).starts_with("1af7")), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_down_or_deaf_delays_nothing() {
    let deaf = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let closed = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    for (case, address) in [("deaf", deaf.local_addr().unwrap()), ("closed", closed)] {
        let home = Home::new(DEFINITIONS);
        let url = format!("http://{address}");
        let server = home.serve(
            &[],
            &[
                ("LOAD_TOKEN", TOKEN),
                ("OTEL_EXPORTER_OTLP_ENDPOINT", &url),
                ("OTEL_BSP_SCHEDULE_DELAY", "10"),
                ("OTEL_BSP_MAX_QUEUE_SIZE", "64"),
            ],
        );
        let mut slowest = Duration::ZERO;
        for number in 0..200 {
            let began = Instant::now();
            assert_eq!(deliver(&server, &number.to_string(), "{}", &[]).await.0, 202);
            slowest = slowest.max(began.elapsed());
        }
        assert!(slowest < Duration::from_secs(2), "{case}: {slowest:?}");
        let (_, event) = deliver(&server, "last", r#"{"code": 0}"#, &[]).await;
        server.runs_of(&event, all_ended).await;
        let began = Instant::now();
        assert_eq!(server.stop(), Some(0), "{case}");
        assert!(began.elapsed() < Duration::from_secs(10), "{case}: {:?}", began.elapsed());
    }
}

#[tokio::test]
async fn variables_that_can_not_be_are_refused_at_start() {
    for (name, value, told) in [
        ("OTEL_TRACES_SAMPLER", "sometimes", "OTEL_TRACES_SAMPLER=sometimes is not known: write always_on"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "not a url", "OTEL_EXPORTER_OTLP"),
    ] {
        let home = Home::new(DEFINITIONS);
        let output = crate::support::kickoff()
            .args(["serve", "--listen", "127.0.0.1:0", "--insecure-no-auth", "--data-dir"])
            .arg(home.data())
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
            .env(name, value)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{said}");
        assert!(said.contains(told), "{said}");
    }
}
