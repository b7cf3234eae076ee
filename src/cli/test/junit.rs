//! What came of tests, as `JUnit` XML: a suite for each file, one for problems of definitions.

use std::collections::BTreeMap;
use std::time::Duration;

use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesText, Event};

use super::Report;
use super::case::{Case, Outcome};
use super::text::describe;

const DEFINITIONS: &str = "definitions";

/// The document.
pub(super) fn write(report: &Report) -> anyhow::Result<String> {
    let mut suites: BTreeMap<&str, Vec<&Case>> = BTreeMap::new();
    for case in &report.tests {
        suites.entry(&case.place.file).or_default().push(case);
    }
    let mut writer = Writer::new_with_indent(Vec::new(), b' ', 2);
    writer.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
    let count = (report.tests.len() + report.problems.len()).to_string();
    let errors = report.tests.iter().filter(|case| case.outcome == Outcome::Error).count();
    let failures = (report.failed - errors).to_string();
    let errors = (errors + report.problems.len()).to_string();
    let total = time(report.tests.iter().map(|case| case.took).sum());
    let root = writer.create_element("testsuites").with_attributes([
        ("name", "kickoff"),
        ("tests", &count),
        ("failures", &failures),
        ("errors", &errors),
        ("time", &total),
    ]);
    root.write_inner_content(|writer| {
        if !report.problems.is_empty() {
            problems(writer, report)?;
        }
        suites.iter().try_for_each(|(file, cases)| suite(writer, file, cases))
    })?;
    Ok(String::from_utf8(writer.into_inner())? + "\n")
}

fn problems(writer: &mut Writer<Vec<u8>>, report: &Report) -> std::io::Result<()> {
    let count = report.problems.len().to_string();
    let suite = writer.create_element("testsuite").with_attributes([
        ("name", DEFINITIONS),
        ("tests", &count),
        ("failures", "0"),
        ("errors", &count),
        ("time", "0.000"),
    ]);
    suite.write_inner_content(|writer| {
        for problem in &report.problems {
            let (place, text) = (clean(&problem.place.to_string()), clean(&problem.text()));
            let case = writer.create_element("testcase");
            let case = case.with_attributes([
                ("name", place.as_str()),
                ("classname", DEFINITIONS),
                ("time", "0.000"),
            ]);
            case.write_inner_content(|writer| {
                let error = writer.create_element("error");
                error
                    .with_attributes([("message", text.as_str()), ("type", "problem")])
                    .write_text_content(BytesText::new(&clean(&problem.to_string())))?;
                Ok(())
            })?;
        }
        Ok(())
    })?;
    Ok(())
}

fn suite(writer: &mut Writer<Vec<u8>>, file: &str, cases: &[&Case]) -> std::io::Result<()> {
    let of = |outcome| cases.iter().filter(|case| case.outcome == outcome).count().to_string();
    let (file, took) = (clean(file), time(cases.iter().map(|case| case.took).sum()));
    let (count, failures, errors) = (cases.len().to_string(), of(Outcome::Failed), of(Outcome::Error));
    let suite = writer.create_element("testsuite").with_attributes([
        ("name", file.as_str()),
        ("tests", &count),
        ("failures", &failures),
        ("errors", &errors),
        ("time", &took),
    ]);
    suite.write_inner_content(|writer| cases.iter().try_for_each(|case| one(writer, case)))?;
    Ok(())
}

fn one(writer: &mut Writer<Vec<u8>>, case: &Case) -> std::io::Result<()> {
    let (name, class, file) = (clean(&case.name), clean(&case.trigger), clean(&case.place.file));
    let (line, took) = (case.place.line.to_string(), time(case.took));
    let element = writer.create_element("testcase").with_attributes([
        ("name", name.as_str()),
        ("classname", &class),
        ("file", &file),
        ("line", &line),
        ("time", &took),
    ]);
    let kind = match case.outcome {
        Outcome::Passed => {
            element.write_empty()?;
            return Ok(());
        }
        Outcome::Failed => "failure",
        Outcome::Error => "error",
    };
    let mut told = String::new();
    describe(&mut told, case).map_err(std::io::Error::other)?;
    let told = clean(&anstream::adapter::strip_str(&told).to_string());
    let message = match case.differences.as_slice() {
        [] => clean(&case.reason),
        found => {
            let paths: Vec<&str> = found.iter().map(|found| found.path.as_str()).collect();
            clean(&format!("not as expected: {}", paths.join(", ")))
        }
    };
    element.write_inner_content(|writer| {
        writer
            .create_element(kind)
            .with_attributes([("message", message.as_str()), ("type", kind)])
            .write_text_content(BytesText::new(&told))?;
        Ok(())
    })?;
    Ok(())
}

fn time(took: Duration) -> String {
    format!("{:.3}", took.as_secs_f64())
}

/// Without characters that XML 1.0 can't have, not even escaped (section 2.2).
fn clean(text: &str) -> String {
    let allowed = |c: char| matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..);
    text.chars().map(|c| if allowed(c) { c } else { '\u{fffd}' }).collect()
}
