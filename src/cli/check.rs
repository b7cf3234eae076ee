//! `check`: every problem of the definitions in a folder, and of the tests beside them.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use kickoff::app::definitions::{Loader, Origin};
use kickoff::engine::definitions::problem::render;
use serde_json::json;

use super::output::{Format, colour, print, print_value};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The folder, with its subfolders
    #[arg(value_name = "DIR", default_value = ".")]
    folder: PathBuf,
    /// Namespace of definitions that name none
    #[arg(long, default_value = "default", value_name = "NAME")]
    namespace: String,
    /// How to write the problems
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    output: Format,
}

/// Checks; exit code 1 where there is a problem. Secrets are not looked at.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let origin = Origin::Folder(args.folder.clone());
    let mut loader = Loader::new(origin, args.namespace).without_secrets();
    let unreadable = || format!("the definitions in {} can't be read", args.folder.display());
    let (snapshot, sources) = loader.load_once().await.with_context(unreadable)?;
    let (tests, files) = super::test::load(&args.folder).with_context(unreadable)?;
    let (good, problems) = (snapshot.documents.len(), [&*snapshot.problems, &*tests.problems].concat());
    match args.output {
        Format::Table => {
            let mut sources = (*sources).clone();
            sources.extend(files.texts);
            let mut summary = counted(good, "definition");
            if !tests.fixtures.is_empty() {
                summary = format!("{summary}, {}", counted(tests.fixtures.len(), "test"));
            }
            let summary = format!("{summary}, {}\n", counted(problems.len(), "problem"));
            print(&(render(&problems, &sources, colour()) + &summary))?;
        }
        other => print_value(
            &json!({ "definitions": good, "tests": tests.fixtures.len(), "problems": problems }),
            other,
        )?,
    }
    Ok(ExitCode::from(u8::from(!problems.is_empty())))
}

pub(super) fn counted(count: usize, what: &str) -> String {
    match count {
        0 => format!("no {what}s"),
        1 => format!("1 {what}"),
        _ => format!("{count} {what}s"),
    }
}
