//! CEL: any text compiles or is refused, and holds, does not or fails on any document, in a bounded time.
#![no_main]

mod shared;

use kickoff::engine::definitions::config::RuleConfig;
use kickoff::engine::rules::{Before, Rule};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((text, document)) = shared::text_and_document(data) else { return };
    let rule = RuleConfig { cel: Some(text.to_owned()), ..RuleConfig::default() };
    let Ok(rule) = Rule::compile(&[rule]) else { return };
    let facts = shared::facts(document);
    let _ = rule.holds(&facts, &Before::default());
    let _ = rule.check(&facts, &Before::default());
});
