//! Gates: what they ask, and for how long.

use crate::engine::address::Address;
use crate::engine::definitions::config::{GateConfig, GateHttpConfig};
use crate::engine::definitions::model::{Gate, GateHttp, GateUrl};
use crate::engine::definitions::quantity::Span;
use crate::engine::definitions::schema::Finding;
use crate::engine::definitions::tenants::Tenant;
use crate::engine::render::Text;

const DEFAULT_TIMEOUT: Span = Span::from_millis(5 * 60_000);
/// Well before anything about the event is forgotten.
const LONGEST_TIMEOUT: Span = Span::from_millis(24 * 3_600_000);
const DEFAULT_EVERY: Span = Span::from_millis(5_000);
const SHORTEST_EVERY: Span = Span::from_millis(100);
/// Of one gate, all asked at once.
const MOST_REQUESTS: usize = 8;
const DEFAULT_STATUS: u16 = 200;

/// Compiles a gate; what is wrong goes to `findings`.
pub(super) fn compile(
    config: &GateConfig,
    tenant: Option<Tenant<'_>>,
    findings: &mut Vec<Finding>,
) -> Option<Gate> {
    let before = findings.len();
    let mut wrong = |field: &str, message: String| {
        findings.push(Finding::value(format!("spec.gate.{field}"), message));
    };
    let timeout = config.timeout.unwrap_or(DEFAULT_TIMEOUT);
    if !(SHORTEST_EVERY..=LONGEST_TIMEOUT).contains(&timeout) {
        wrong("timeout", format!("must be from {SHORTEST_EVERY} to {LONGEST_TIMEOUT}"));
    }
    let every = config.every.unwrap_or(DEFAULT_EVERY.min(timeout));
    if config.every.is_some_and(|every| every < SHORTEST_EVERY) {
        wrong("every", format!("must be at least {SHORTEST_EVERY}"));
    }
    if config.http.len() > MOST_REQUESTS {
        wrong("http", format!("has {} entries; there may be up to {MOST_REQUESTS}", config.http.len()));
    }
    let mut http = Vec::new();
    for (index, request) in config.http.iter().enumerate() {
        match url(&request.url) {
            Ok(url) => http.push(asked(request, url)),
            Err(message) => wrong(&format!("http[{index}].url"), message),
        }
    }
    if config.every.is_some_and(|every| every >= SHORTEST_EVERY.max(timeout) && every > timeout)
        && timeout >= SHORTEST_EVERY
    {
        let finding = Finding::value("spec.gate.every", format!("must be at most timeout, {timeout}"));
        findings.push(finding.by("spec.gate.timeout"));
    }
    let (timeout_ms, every_ms) = (timeout.as_millis(), every.as_millis());
    let granted = tenant.and_then(Tenant::gates);
    (findings.len() == before).then_some(Gate { http, granted, timeout_ms, every_ms })
}

fn asked(request: &GateHttpConfig, url: GateUrl) -> GateHttp {
    let expect_status = request.expect_status.unwrap_or(DEFAULT_STATUS);
    GateHttp { url, method: request.method, expect_status }
}

fn url(url: &str) -> Result<GateUrl, String> {
    let (text, mut wrong) = Text::read_key(url);
    if text.is_literal() && wrong.is_empty() {
        return Ok(GateUrl::Literal(Address::parse(url)?));
    }
    // What comes before the first value can be told wrong now; all else only once the values are there.
    let beginning = text.beginning().to_ascii_lowercase();
    let authority = beginning.split_once("://").and_then(|(_, rest)| rest.split('/').next());
    if authority.is_some_and(|authority| authority.contains('@')) {
        wrong.add(crate::engine::address::HAS_USER.to_owned());
    }
    let begins = |scheme: &str| scheme.starts_with(&beginning) || beginning.starts_with(scheme);
    if !begins("http://") && !begins("https://") {
        wrong.add("must begin with http:// or https://".to_owned());
    }
    wrong.or(GateUrl::Text(text))
}
