//! `gate` of a `Trigger`, as people write it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::engine::definitions::quantity::Span;

/// What must answer before it fires. Until then it is decided `held`; where that does not happen in time, `skipped`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GateConfig {
    /// All must answer as they should, at once; up to 8.
    #[schemars(length(min = 1))]
    pub http: Vec<GateHttpConfig>,
    /// For how long it is waited; default 5m, at most 24h.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Span>,
    /// How long after an answer it is asked again; default 5s, from 100ms to `timeout`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<Span>,
}

/// A request over HTTP. A redirect is an answer, and is not followed.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GateHttpConfig {
    /// Begins with `http://` or `https://`. One with `{{ }}` must be in the server's `--gate-allow`; of
    /// a resource, any must be in its `--grants`.
    pub url: String,
    /// The status it should answer; default 200.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 200, max = 599))]
    pub expect_status: Option<u16>,
    /// Default `GET`.
    #[serde(default)]
    pub method: GateMethod,
}

/// How it is asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum GateMethod {
    /// What comes after the head of the answer is not read.
    #[default]
    Get,
    /// Without a body.
    Head,
}

impl GateMethod {
    /// As HTTP has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
        }
    }
}
