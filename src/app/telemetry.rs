//! Traces as the standard `OTEL_*` variables ask for them, none where they name no endpoint; and panics,
//! which go into the log as all else.

use crate::outside::traces::{Sampling, Traces, TracesError};

/// The variables any of which turns traces on.
const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"];

/// Traces by the process's variables. The exporter reads its own from there: endpoint, headers,
/// time-out, resource and batches.
pub fn traces() -> Result<Traces, TracesError> {
    let off = variable("OTEL_SDK_DISABLED").is_some_and(|text| text.eq_ignore_ascii_case("true"))
        || variable("OTEL_TRACES_EXPORTER").is_some_and(|text| text == "none");
    if off || ENDPOINTS.iter().all(|name| variable(name).is_none()) {
        return Ok(Traces::default());
    }
    let sampling =
        Sampling { sampler: variable("OTEL_TRACES_SAMPLER"), argument: variable("OTEL_TRACES_SAMPLER_ARG") };
    Traces::from_environment(&sampling)
}

/// An empty variable counts as one that is not set, as the specification of OpenTelemetry says.
#[allow(clippy::disallowed_methods, reason = "the standard says that these come from the environment")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|text| !text.is_empty())
}

/// From now on a panic is one line of the log, in its format; whoever caught it says what it was about.
pub fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let location = panic.location().map(ToString::to_string).unwrap_or_default();
        let reason = panic.payload_as_str().unwrap_or("no reason is known");
        tracing::error!(location, reason, "panicked");
    }));
}
