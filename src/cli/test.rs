//! `test`: the tests that stand beside the definitions, `*.test.yaml`. Needs no server.
//!
//! Each test gives an event to its trigger, as `explain` does, and compares what came of it with what
//! was expected. No secret is resolved and no signature checked; nothing is written.

mod case;
mod junit;
mod text;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::ValueEnum;
use kickoff::app::definitions::files::{Files, read_tests};
use kickoff::app::definitions::{Loader, Origin};
use kickoff::engine::definitions::Problem;
use kickoff::engine::definitions::problem::Spot;
use kickoff::engine::fixture::{self, LoadedFixtures};
use serde::Serialize;

use super::output::{colour, print, print_value};
use super::{USAGE, output, tell};
use case::{Case, Outcome};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The folder of definitions, with its subfolders; tests are its files `*.test.yaml`
    #[arg(value_name = "DIR", default_value = ".")]
    folder: PathBuf,
    /// Namespace of definitions that name none
    #[arg(long, default_value = "default", value_name = "NAME")]
    namespace: String,
    /// Run only tests whose name or trigger has this text
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// How to write what came of it
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    output: Format,
}

/// How a result is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    Table,
    /// For programs
    Json,
    /// For CI systems: XML as `JUnit` has it
    Junit,
}

/// What came of all tests.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    passed: usize,
    failed: usize,
    /// Problems of definitions and of files of tests.
    problems: Vec<Problem>,
    tests: Vec<Case>,
}

/// Tests; exit code 1 where one failed or a definition has a problem, 2 where there is nothing to test.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let unreadable = || format!("the definitions in {} can't be read", args.folder.display());
    let origin = Origin::Folder(args.folder.clone());
    let mut loader = Loader::new(origin, args.namespace.clone()).without_secrets();
    let (snapshot, sources) = loader.load_once().await.with_context(unreadable)?;
    let (found, files) = load(&args.folder).with_context(unreadable)?;
    if found.fixtures.is_empty() && found.problems.is_empty() {
        tell(&format!(
            "error: there are no tests in {}: none of its files is *.test.yaml",
            args.folder.display()
        ));
        return Ok(ExitCode::from(USAGE));
    }
    let wanted = |name: &str| args.only.as_ref().is_none_or(|text| name.contains(text.as_str()));
    let chosen: Vec<_> = found
        .fixtures
        .iter()
        .filter(|test| wanted(&test.config.name) || wanted(&test.config.trigger))
        .collect();
    if chosen.is_empty() && found.problems.is_empty() {
        tell(&format!("error: no test has {:?} in its name or trigger", args.only.unwrap_or_default()));
        return Ok(ExitCode::from(USAGE));
    }
    let bench = case::Bench { folder: &args.folder, namespace: &args.namespace, snapshot: &snapshot };
    let tests: Vec<Case> = chosen.into_iter().map(|fixture| bench.run(fixture)).collect();
    let failed = tests.iter().filter(|case| case.outcome != Outcome::Passed).count();
    let problems = snapshot.problems.iter().chain(&found.problems).cloned().collect();
    let report = Report { passed: tests.len() - failed, failed, problems, tests };
    match args.output {
        Format::Table => {
            let mut sources = (*sources).clone();
            sources.extend(files.texts);
            print(&text::write(&report, &sources, colour())?)?;
        }
        Format::Json => print_value(&report, output::Format::Json)?,
        Format::Junit => print(&junit::write(&report)?)?,
    }
    Ok(ExitCode::from(u8::from(report.failed > 0 || !report.problems.is_empty())))
}

/// The tests below `folder`, with the files they stand in. One that can't be read is a problem.
pub(super) fn load(folder: &Path) -> anyhow::Result<(LoadedFixtures, Files)> {
    let files = read_tests(folder)?;
    let mut loaded = fixture::load(&files.texts);
    loaded.problems.extend(files.refused.iter().map(|(file, reason)| Problem {
        place: Spot::START.in_file(file),
        definition: None,
        field: String::new(),
        message: reason.clone(),
        suggestion: None,
    }));
    Ok((loaded, files))
}
