//! What came of tests, for people.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use kickoff::engine::definitions::problem::render;
use kickoff::engine::fixture::Difference;
use serde_json::Value;

use super::Report;
use super::case::{Case, Outcome};
use crate::cli::check::counted;
use crate::cli::output::printable;

const GOOD: Style = AnsiColor::Green.on_default();
const BAD: Style = AnsiColor::Red.on_default();

/// The problems, a line for each test with what is different, then how many there were.
pub(super) fn write(
    report: &Report,
    sources: &BTreeMap<String, String>,
    colour: bool,
) -> Result<String, std::fmt::Error> {
    let mut text = render(&report.problems, sources, colour);
    for case in &report.tests {
        one(&mut text, case)?;
    }
    if !report.tests.is_empty() {
        writeln!(text)?;
    }
    let tests = counted(report.tests.len(), "test");
    write!(text, "{tests}, {} passed, {} failed", report.passed, report.failed)?;
    if report.problems.is_empty() {
        writeln!(text)?;
    } else {
        writeln!(text, ", {}", counted(report.problems.len(), "problem"))?;
    }
    Ok(text)
}

fn one(text: &mut String, case: &Case) -> std::fmt::Result {
    let (tone, word) = match case.outcome {
        Outcome::Passed => (GOOD, "ok    "),
        Outcome::Failed => (BAD, "FAILED"),
        Outcome::Error => (BAD, "ERROR "),
    };
    let name = printable(&case.name);
    writeln!(text, "{tone}{word}{tone:#}  {}: {}: {name}", case.place, printable(&case.trigger))?;
    if case.outcome != Outcome::Passed {
        describe(text, case)?;
    }
    Ok(())
}

/// What was expected and what was seen, place by place; also the text of a failure in `JUnit`.
pub(super) fn describe(text: &mut String, case: &Case) -> std::fmt::Result {
    if let Some(decision) = case.decision {
        let word = serde_json::to_value(decision).unwrap_or_default();
        writeln!(text, "  decided {}: {}", word.as_str().unwrap_or_default(), printable(&case.reason))?;
    } else {
        writeln!(text, "  {}", printable(&case.reason))?;
    }
    case.differences.iter().try_for_each(|found| difference(text, found))
}

fn difference(text: &mut String, found: &Difference) -> std::fmt::Result {
    writeln!(text, "  {}", printable(&found.path))?;
    let absent = found.expected.is_none();
    for (tone, sign, value, missing) in [
        (GOOD, '-', &found.expected, "expected nothing"),
        (BAD, '+', &found.seen, if absent { "" } else { "is missing" }),
    ] {
        let lines = value.as_ref().map_or_else(|| missing.to_owned(), shown);
        for line in lines.lines() {
            writeln!(text, "    {tone}{sign} {}{tone:#}", printable(line))?;
        }
    }
    Ok(())
}

/// A scalar on one line, all else as YAML, in which one sees the structure.
fn shown(value: &Value) -> String {
    match value {
        Value::Object(_) | Value::Array(_) => {
            serde_saphyr::to_string(value).unwrap_or_else(|_| value.to_string())
        }
        other => other.to_string(),
    }
}
