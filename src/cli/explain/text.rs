//! An explanation for people.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use kickoff::engine::event::{Event, Git};
use kickoff::engine::explain::Explanation;
use kickoff::engine::ids::ObjectName;
use kickoff::engine::machine::DecisionKind;
use kickoff::engine::rules::Check;
use serde_json::Value;

use crate::cli::output::printable;

const GOOD: Style = AnsiColor::Green.on_default();
const BAD: Style = AnsiColor::Red.on_default();
const TITLE: Style = Style::new().bold();

/// The decision, each rule with what it saw, then the Jobs as YAML documents.
pub(super) fn write(trigger: &ObjectName, event: &Event, said: &Explanation) -> anyhow::Result<String> {
    let mut text = String::new();
    let attributes = &event.attributes;
    writeln!(text, "event    {} from {}", printable(&attributes.event_type), printable(&attributes.source))?;
    if let Some(cause) = &attributes.cause {
        let chain: Vec<&str> = cause.chain.iter().map(|trigger| trigger.name.as_str()).collect();
        writeln!(text, "after    {}", printable(&chain.join(" > ")))?;
    }
    writeln!(text, "trigger  {}", trigger.name)?;
    let tone = if said.decision == DecisionKind::Fired { GOOD } else { BAD };
    let word = serde_json::to_value(said.decision)?;
    writeln!(
        text,
        "decision {tone}{}{tone:#}: {}",
        word.as_str().unwrap_or_default(),
        printable(&said.reason)
    )?;
    if let Some(Git { repository: Some(repository), sha: Some(sha), .. }) = &said.git {
        writeln!(text, "git      {repository} {sha}, by the trigger")?;
    }
    if !said.rules.is_empty() {
        writeln!(text, "\n{TITLE}rules{TITLE:#}")?;
        let width = widest(&said.rules, 0);
        for check in &said.rules {
            rule(&mut text, check, 0, width)?;
        }
    }
    for schedule in &said.schedules {
        writeln!(text, "\n{TITLE}schedule {}{TITLE:#} in {}", schedule.cron, schedule.time_zone)?;
        for slot in &schedule.next {
            writeln!(text, "  {slot}")?;
        }
    }
    for run in &said.runs {
        let environment = run.environment.as_deref().map(|name| format!(", environment {name}"));
        let environment = environment.unwrap_or_default();
        writeln!(text, "\n{TITLE}run {}{TITLE:#} of template {}{environment}", run.name, run.template.name)?;
        writeln!(text, "---\n{}", serde_saphyr::to_string(&run.manifest)?.trim_end())?;
    }
    Ok(text)
}

fn widest(checks: &[Check], depth: usize) -> usize {
    let own = checks.iter().map(|check| 2 * depth + check.rule.chars().count());
    own.chain(checks.iter().map(|check| widest(&check.rules, depth + 1))).max().unwrap_or(0)
}

fn rule(text: &mut String, check: &Check, depth: usize, width: usize) -> anyhow::Result<()> {
    let (tone, mark, verdict) =
        if check.holds { (GOOD, '✓', "holds") } else { (BAD, '✗', "does not hold") };
    let place = format!("{:indent$}{}", "", check.rule, indent = 2 * depth);
    write!(text, "  {tone}{mark}{tone:#} {place:width$}  ")?;
    match &check.path {
        Some(path) => {
            let saw = match check.saw.as_slice() {
                [] => "nothing".to_owned(),
                values => values.iter().map(shown).collect::<Vec<_>>().join(", "),
            };
            write!(text, "{} {} {}  saw {saw}  ", printable(path), check.operator, shown(&check.wanted))?;
        }
        None if check.wanted.is_null() => write!(text, "{}  ", check.operator)?,
        None => {
            let saw = check.saw.iter().map(shown).collect::<Vec<_>>().join(", ");
            let wanted = printable(check.wanted.as_str().unwrap_or_default());
            write!(text, "{} {wanted}  saw {saw}  ", check.operator)?;
        }
    }
    let verdict = check.error.as_deref().map_or_else(|| verdict.to_owned(), printable);
    writeln!(text, "{tone}{verdict}{tone:#}")?;
    check.rules.iter().try_for_each(|below| rule(text, below, depth + 1, width))
}

/// A value as JSON, which has no control characters, on one line.
fn shown(value: &Value) -> String {
    printable(&value.to_string())
}
