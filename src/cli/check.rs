//! `check`: every problem of the definitions in a folder, and of the tests beside them. What can never come is
//! hinted at, and is no problem.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use kickoff::app::definitions::{Loader, Origin};
use kickoff::engine::definitions::hints::hints;
use kickoff::engine::definitions::problem::render;
use kickoff::engine::definitions::{Snapshot, Trigger};
use kickoff::engine::explain::{ExplainedSchedule, schedules};
use kickoff::outside::clock::Clock;
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
    /// Also when each schedule comes next
    #[arg(short, long)]
    verbose: bool,
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
    let hints = hints(&snapshot);
    let schedules = if args.verbose { scheduled(&snapshot) } else { Vec::new() };
    match args.output {
        Format::Table => {
            let mut sources = (*sources).clone();
            sources.extend(files.texts);
            let mut summary = counted(good, "definition");
            if !tests.fixtures.is_empty() {
                summary = format!("{summary}, {}", counted(tests.fixtures.len(), "test"));
            }
            let summary = format!("{summary}, {}\n", counted(problems.len(), "problem"));
            let hints: Vec<String> = hints.iter().map(|hint| format!("hint: {hint}\n")).collect();
            print(&(render(&problems, &sources, colour()) + &hints.concat() + &plan(&schedules) + &summary))?;
        }
        other => {
            let tests = tests.fixtures.len();
            let mut value = json!({ "definitions": good, "tests": tests, "problems": problems });
            if args.verbose {
                value["schedules"] = serde_json::to_value(&schedules)?;
            }
            if !hints.is_empty() {
                value["hints"] = json!(hints);
            }
            print_value(&value, other)?;
        }
    }
    Ok(ExitCode::from(u8::from(!problems.is_empty())))
}

/// A trigger's schedule.
#[derive(serde::Serialize)]
struct Scheduled {
    trigger: String,
    #[serde(flatten)]
    schedule: ExplainedSchedule,
}

fn scheduled(snapshot: &Snapshot) -> Vec<Scheduled> {
    let now = Clock::System.now();
    let of = |trigger: &Arc<Trigger>| {
        let name = trigger.name.name.clone();
        schedules(trigger, now).into_iter().map(move |schedule| Scheduled { trigger: name.clone(), schedule })
    };
    snapshot.triggers.iter().flat_map(of).collect()
}

/// When each schedule comes next, for people.
fn plan(schedules: &[Scheduled]) -> String {
    let lines = |scheduled: &Scheduled| {
        let Scheduled { trigger, schedule: ExplainedSchedule { cron, time_zone, next } } = scheduled;
        let slots = if next.is_empty() { "  never again\n".to_owned() } else { String::new() };
        let slots = next.iter().fold(slots, |slots, slot| slots + "  " + slot + "\n");
        format!("{trigger}: {cron} in {time_zone}\n{slots}")
    };
    schedules.iter().map(lines).collect()
}

pub(super) fn counted(count: usize, what: &str) -> String {
    match count {
        0 => format!("no {what}s"),
        1 => format!("1 {what}"),
        _ => format!("{count} {what}s"),
    }
}
