//! Spans to an OpenTelemetry collector, by OTLP over HTTP with protobuf.
//!
//! Off unless the standard variables name an endpoint. Spans are handed to a thread of the exporter's
//! through a bounded queue: a collector that is down or slow delays nothing, and what finds no room is
//! dropped. If we die, what was in the queue is lost; nothing else is kept here.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_otlp::{ExporterBuildError, Protocol, SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    BatchSpanProcessor, Sampler, ShouldSample as _, SpanData, SpanEvents, SpanLinks, SpanProcessor as _,
};

/// How long the last spans may take when the process ends.
const FLUSH: Duration = Duration::from_secs(2);

/// Where spans go; nowhere by default. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Traces {
    inner: Option<Arc<Inner>>,
}

#[derive(Debug)]
struct Inner {
    processor: BatchSpanProcessor,
    scope: InstrumentationScope,
    sampler: Sampler,
}

/// One span, ended.
#[derive(Debug, Clone)]
pub struct Span {
    /// The trace.
    pub trace_id: [u8; 16],
    /// Its own id.
    pub span_id: [u8; 8],
    /// The span it stands below.
    pub parent: Option<[u8; 8]>,
    /// Whether that one is another process's.
    pub parent_is_remote: bool,
    /// Whether the sender of the trace records its part; `None` where there was none.
    pub sampled: Option<bool>,
    /// What it is, in few different words.
    pub name: String,
    /// Milliseconds since the epoch.
    pub began_at: i64,
    /// Milliseconds since the epoch.
    pub ended_at: i64,
    /// What is known of it.
    pub attributes: Vec<(&'static str, String)>,
    /// What went wrong, if it did.
    pub error: Option<String>,
}

/// Which traces are kept: the values of `OTEL_TRACES_SAMPLER` and its argument.
#[derive(Debug, Clone, Default)]
pub struct Sampling {
    /// The sampler's name.
    pub sampler: Option<String>,
    /// Its argument.
    pub argument: Option<String>,
}

/// Why there is no exporter.
#[derive(Debug, thiserror::Error)]
pub enum TracesError {
    /// Its variables say something that can't be.
    #[error("the OTEL_EXPORTER_OTLP variables can't be used")]
    Exporter(#[from] ExporterBuildError),
    /// `OTEL_TRACES_SAMPLER`.
    #[error(
        "OTEL_TRACES_SAMPLER={0} is not known: write always_on, always_off, traceidratio, parentbased_always_on, parentbased_always_off or parentbased_traceidratio"
    )]
    Sampler(String),
    /// `OTEL_TRACES_SAMPLER_ARG`.
    #[error("OTEL_TRACES_SAMPLER_ARG={0} is no ratio from 0 to 1")]
    Ratio(String),
}

impl Traces {
    /// An exporter as the `OTEL_*` variables of the process describe it. Call it on a thread that may
    /// block, with a TLS provider installed.
    pub fn from_environment(sampling: &Sampling) -> Result<Self, TracesError> {
        let sampler = sampler(sampling)?;
        let exporter = SpanExporter::builder().with_http().with_protocol(Protocol::HttpBinary).build()?;
        let mut processor =
            BatchSpanProcessor::builder(Telling { exporter, failing: AtomicBool::new(false) }).build();
        let mut resource = Resource::builder().build();
        let named = |resource: &Resource| {
            let name = resource.get(&"service.name".into());
            name.is_some_and(|name| !name.as_str().starts_with("unknown_service"))
        };
        if !named(&resource) {
            resource = Resource::builder().with_service_name("kickoff").build();
        }
        processor.set_resource(&resource);
        let scope = InstrumentationScope::builder("kickoff").with_version(env!("CARGO_PKG_VERSION")).build();
        Ok(Self { inner: Some(Arc::new(Inner { processor, scope, sampler })) })
    }

    /// Whether spans are wanted at all.
    pub fn enabled(&self) -> bool {
        self.inner.is_some()
    }

    /// Hands a span over, without waiting for anything.
    pub fn export(&self, span: Span) {
        let Some(inner) = &self.inner else { return };
        if !inner.samples(&span) {
            return;
        }
        inner.processor.on_end(inner.data(span));
    }

    /// Sends what is in the queue, for a moment. Blocks.
    pub fn flush(&self) {
        let Some(inner) = &self.inner else { return };
        if let Err(error) = inner.processor.shutdown_with_timeout(FLUSH) {
            tracing::debug!(%error, "the last spans were not sent");
        }
    }
}

/// An exporter whose failures are told, once until it works again.
#[derive(Debug)]
struct Telling {
    exporter: SpanExporter,
    failing: AtomicBool,
}

impl opentelemetry_sdk::trace::SpanExporter for Telling {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        let result = self.exporter.export(batch).await;
        let failed = self.failing.swap(result.is_err(), Ordering::Relaxed);
        match &result {
            Err(error) if !failed => tracing::warn!(%error, spans, "spans can't be sent; they are dropped"),
            Ok(()) if failed => tracing::info!("spans are sent again"),
            _ => {}
        }
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

impl Inner {
    fn samples(&self, span: &Span) -> bool {
        use opentelemetry::Context;
        use opentelemetry::trace::TraceContextExt as _;
        use opentelemetry_sdk::trace::SamplingDecision;
        let parent = span.sampled.map(|sampled| {
            let flags = TraceFlags::default().with_sampled(sampled);
            let id = SpanId::from_bytes(span.parent.unwrap_or(span.span_id));
            let trace = TraceId::from_bytes(span.trace_id);
            let sent = SpanContext::new(trace, id, flags, true, TraceState::default());
            Context::new().with_remote_span_context(sent)
        });
        let trace = TraceId::from_bytes(span.trace_id);
        let result =
            self.sampler.should_sample(parent.as_ref(), trace, &span.name, &SpanKind::Internal, &[], &[]);
        result.decision == SamplingDecision::RecordAndSample
    }

    fn data(&self, span: Span) -> SpanData {
        let context = SpanContext::new(
            TraceId::from_bytes(span.trace_id),
            SpanId::from_bytes(span.span_id),
            TraceFlags::SAMPLED,
            false,
            TraceState::default(),
        );
        let parent = span.parent.map_or(SpanId::INVALID, SpanId::from_bytes);
        let attributes = span.attributes.into_iter().map(|(key, value)| KeyValue::new(key, value));
        SpanData {
            span_context: context,
            parent_span_id: parent,
            parent_span_is_remote: span.parent_is_remote,
            span_kind: if span.parent_is_remote { SpanKind::Consumer } else { SpanKind::Internal },
            name: Cow::Owned(span.name),
            start_time: moment(span.began_at),
            end_time: moment(span.ended_at.max(span.began_at)),
            attributes: attributes.collect(),
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: span.error.map_or(Status::Unset, Status::error),
            instrumentation_scope: self.scope.clone(),
        }
    }
}

fn moment(ms: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}

fn sampler(sampling: &Sampling) -> Result<Sampler, TracesError> {
    let ratio = || match &sampling.argument {
        None => Ok(Sampler::TraceIdRatioBased(1.0)),
        Some(text) => match text.trim().parse::<f64>() {
            Ok(ratio) if (0.0..=1.0).contains(&ratio) => Ok(Sampler::TraceIdRatioBased(ratio)),
            _ => Err(TracesError::Ratio(text.clone())),
        },
    };
    let by_parent = |root: Sampler| Sampler::ParentBased(Box::new(root));
    Ok(match sampling.sampler.as_deref().unwrap_or("parentbased_always_on") {
        "always_on" => Sampler::AlwaysOn,
        "always_off" => Sampler::AlwaysOff,
        "traceidratio" => ratio()?,
        "parentbased_always_on" => by_parent(Sampler::AlwaysOn),
        "parentbased_always_off" => by_parent(Sampler::AlwaysOff),
        "parentbased_traceidratio" => by_parent(ratio()?),
        other => return Err(TracesError::Sampler(other.to_owned())),
    })
}
