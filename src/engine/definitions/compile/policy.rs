//! Limits of triggers: concurrency, debounce, rate.

use super::names;
use crate::engine::definitions::config::{ConcurrencyConfig, DebounceConfig, RateLimitConfig};
use crate::engine::definitions::model::{Concurrency, Debounce, RateLimit};
use crate::engine::definitions::quantity::Span;
use crate::engine::definitions::schema::Finding;
use crate::engine::ids::ObjectName;
use crate::engine::render::Text;

/// Of a debounced event: well before anything about it is forgotten.
const LONGEST_HOLD: Span = Span::from_millis(24 * 3_600_000);
/// How often `quiet` fits into a `maxWait` that is not given.
const QUIETS: i64 = 10;
const LONGEST_PER: Span = Span::from_millis(30 * 86_400_000);
const DEFAULT_MAX_QUEUED: u32 = 100;
const DEFAULT_MAX_WAIT: Span = Span::from_millis(24 * 3_600_000);

/// As far as it can be made; what is wrong goes to `findings`.
pub(super) fn concurrency(
    config: &ConcurrencyConfig,
    trigger: &ObjectName,
    findings: &mut Vec<Finding>,
) -> Concurrency {
    let mut wrong = |field: &str, message: String| {
        findings.push(Finding::value(format!("spec.policy.concurrency.{field}"), message));
    };
    if let Some(message) = config.group.as_deref().and_then(names::label) {
        wrong("group", message);
    }
    if config.max_queued == Some(0) {
        wrong("maxQueued", "must be at least 1; to let none wait, write whenFull: Skip".to_owned());
    }
    if config.max_wait.is_some_and(|span| span.as_millis() == 0) {
        wrong("maxWait", "must be more than 0s".to_owned());
    }
    let key =
        config.key.as_deref().map(Text::compile_key).transpose().map_err(|message| wrong("key", message));
    let group = match &config.group {
        Some(group) => format!("{}/{group}", trigger.namespace),
        None => format!("{}/trigger/{}", trigger.namespace, trigger.name),
    };
    Concurrency {
        limit: config.limit,
        group,
        key: key.unwrap_or_default(),
        when_full: config.when_full,
        max_queued: config.max_queued.unwrap_or(DEFAULT_MAX_QUEUED),
        max_wait_ms: config.max_wait.unwrap_or(DEFAULT_MAX_WAIT).as_millis(),
    }
}

pub(super) fn debounce(config: &DebounceConfig, findings: &mut Vec<Finding>) -> Option<Debounce> {
    let before = findings.len();
    let mut wrong = |field: &str, message: String| {
        findings.push(Finding::value(format!("spec.policy.debounce.{field}"), message));
    };
    let quiet = config.quiet;
    if quiet > LONGEST_HOLD || quiet.as_millis() == 0 {
        wrong("quiet", format!("must be from 1ms to {LONGEST_HOLD}"));
    }
    let default = quiet.as_millis().saturating_mul(QUIETS).min(LONGEST_HOLD.as_millis());
    let longest = config.max_wait.map_or(default, Span::as_millis);
    if config.max_wait.is_some_and(|longest| longest > LONGEST_HOLD) {
        wrong("maxWait", format!("must be at most {LONGEST_HOLD}"));
    } else if quiet <= LONGEST_HOLD && longest < quiet.as_millis() {
        let finding =
            Finding::value("spec.policy.debounce.maxWait", format!("must be at least quiet, {quiet}"));
        findings.push(finding.by("spec.policy.debounce.quiet"));
    }
    (findings.len() == before).then_some(Debounce { quiet_ms: quiet.as_millis(), max_wait_ms: longest })
}

pub(super) fn rate_limit(
    config: &RateLimitConfig,
    legs: usize,
    findings: &mut Vec<Finding>,
) -> Option<RateLimit> {
    let before = findings.len();
    if (config.runs as usize) < legs {
        let message = format!("must be at least {legs}: one firing has as many");
        findings.push(Finding::value("spec.policy.rateLimit.runs", message).by("spec.runs"));
    }
    let mut wrong = |field: &str, message: String| {
        findings.push(Finding::value(format!("spec.policy.rateLimit.{field}"), message));
    };
    if config.per > LONGEST_PER || config.per.as_millis() == 0 {
        wrong("per", format!("must be from 1ms to {LONGEST_PER}"));
    }
    let key =
        config.key.as_deref().map(Text::compile_key).transpose().map_err(|message| wrong("key", message));
    let key = key.ok().filter(|_| findings.len() == before)?;
    Some(RateLimit { runs: config.runs, per_ms: config.per.as_millis(), key })
}
