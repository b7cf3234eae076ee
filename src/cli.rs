//! The verbs of the command line.
//!
//! Offline verbs (`check`, `explain`, `test`, `rbac`, `crds`) use the engine alone; client verbs speak to a server's API as
//! any other program would. Results go to stdout, all else to stderr. Nothing here decides, and
//! nothing is kept: a verb that is killed has done what its server had taken from it.

mod cancel;
mod check;
mod client;
mod completions;
mod crds;
mod demo;
mod events;
mod explain;
mod logs;
mod output;
mod rbac;
mod replay;
mod rerun;
mod results;
mod run;
mod runs;
mod schema;
mod serve;
mod test;

use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};
use kickoff::app::serve::ServeError;

pub(crate) use output::{is_broken_pipe, tell};

/// Exit code of wrong usage, as clap has it.
pub(crate) const USAGE: u8 = 2;
/// Exit code where it is not known, or did not work.
pub(crate) const ERROR: u8 = 3;

/// Events in, Jobs out, verdicts back.
///
/// Exit codes: 0 passed, 1 failed, 2 usage, 3 error, 4 timed out, 5 cancelled.
#[derive(Debug, Parser)]
#[command(name = "kickoff", version, max_term_width = 100, disable_help_subcommand = true)]
pub(crate) struct Cli {
    /// Form of what is logged to stderr; `RUST_LOG` says how much
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text)]
    pub(crate) log_format: LogFormat,
    #[command(subcommand)]
    verb: Verb,
}

/// Form of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// Lines for people
    Text,
    /// One JSON object a line
    Json,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Take webhooks, decide, run, keep, answer
    Serve(Box<serve::Args>),
    /// Show every problem of the definitions; exit 1 if there is one
    Check(check::Args),
    /// Show what a trigger makes of an event, rule by rule, and the Job; needs no server
    Explain(explain::Args),
    /// Run the tests that stand beside the definitions; needs no server, exit 1 if one fails
    Test(test::Args),

    /// Write the Roles that triggers which watch a cluster need, as YAML
    Rbac(rbac::Args),
    /// Write the definitions as kinds of a cluster, for kubectl apply
    Crds(crds::Args),

    /// Run a trigger or a template now
    Run(run::Args),
    /// List runs, newest first
    Runs(runs::Args),
    /// Show a run's log
    Logs(logs::Args),
    /// End a run
    Cancel(cancel::Args),
    /// Run an ended run once more: the same Job, with the same params
    Rerun(rerun::Args),
    /// List events with what was decided about them, newest first, or get one
    Events(events::Args),
    /// Decide an event anew, with the definitions in force
    Replay(replay::Args),

    /// List results that could not be published on NATS in time
    Results(results::List),
    /// Publish such results again
    Redeliver(results::Redeliver),

    /// Write the JSON Schema of the definitions, for editors
    Schema(schema::Args),
    /// Write what a shell needs to complete this command line
    Completions(completions::Args),
    /// Show the whole loop on this machine, with nothing set up
    Demo(demo::Args),
    /// The demo's own test
    #[command(hide = true)]
    DemoProbe(demo::ProbeArgs),
}

/// A wrong use that clap could not see: exit code 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Usage(pub(crate) String);

impl Cli {
    /// Whether the verb serves: only then the whole machine is worth threads.
    pub(crate) fn serves(&self) -> bool {
        matches!(self.verb, Verb::Serve(_) | Verb::Demo(_))
    }

    /// What is logged where `RUST_LOG` does not say: only a server has a log that people want.
    pub(crate) fn log_level(&self) -> &'static str {
        if matches!(self.verb, Verb::Serve(_)) { "info" } else { "warn" }
    }

    /// Does what was asked for.
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        match self.verb {
            Verb::Serve(args) => serve::run(*args).await,
            Verb::Check(args) => check::run(args).await,
            Verb::Explain(args) => explain::run(args).await,
            Verb::Test(args) => test::run(args).await,
            Verb::Rbac(args) => rbac::run(args).await,
            Verb::Crds(args) => crds::run(&args),

            Verb::Run(args) => run::run(args).await,
            Verb::Runs(args) => runs::run(args).await,
            Verb::Logs(args) => logs::run(args).await,
            Verb::Cancel(args) => cancel::run(args).await,
            Verb::Rerun(args) => rerun::run(args).await,
            Verb::Events(args) => events::run(args).await,
            Verb::Replay(args) => replay::run(args).await,
            Verb::Results(args) => results::list(args).await,
            Verb::Redeliver(args) => results::redeliver(args).await,

            Verb::Schema(args) => schema::run(&args),
            Verb::Completions(args) => completions::run(&args),
            Verb::Demo(args) => demo::run(args).await,
            Verb::DemoProbe(args) => demo::probe(args).await,
        }
    }
}

/// The exit code of an error.
pub(crate) fn exit_code(error: &anyhow::Error) -> u8 {
    let exposed = matches!(error.downcast_ref(), Some(ServeError::Exposed(_)));
    if error.is::<Usage>() || exposed {
        return USAGE;
    }
    error.downcast_ref::<client::ClientError>().map_or(ERROR, client::ClientError::exit_code)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn arguments_are_parsed_or_refused() {
        for (line, good) in [
            ("kickoff check", true),
            ("kickoff check examples -o json", true),
            ("kickoff check -o xml", false),
            ("kickoff test", true),
            ("kickoff test triggers -o junit --only push", true),
            ("kickoff test -o yaml", false),
            ("kickoff runs --trigger smoke --outcome Failed --event abc --limit 500 -o yaml", true),
            ("kickoff runs --limit 501", false),
            ("kickoff runs --limit 0", false),
            ("kickoff runs --outcome failed", false),
            ("kickoff logs", false),
            ("kickoff logs 0123456789abcdef0123 -f --attempt 2", true),
            ("kickoff logs 0123456789abcdef0123 --attempt 0", false),
            ("kickoff run", false),
            ("kickoff run smoke -p a=b -p c=d=e --env staging --wait", true),
            ("kickoff run smoke -p novalue", false),
            ("kickoff run smoke -p =value", false),
            ("kickoff rerun abc", true),
            ("kickoff rerun", false),
            ("kickoff events --trigger t --decision filtered --source s --type t --limit 3 -o yaml", true),
            ("kickoff events --decision Fired", false),
            ("kickoff events get 0123 -o json", true),
            ("kickoff events get", false),
            ("kickoff events --trigger t get 0123", false),
            ("kickoff replay 0123 --trigger t -o json", true),
            ("kickoff schema", true),
            ("kickoff crds", true),
            ("kickoff crds -o json", false),
            ("kickoff completions bash", true),
            ("kickoff completions dos", false),
            ("kickoff cancel abc --server http://127.0.0.1:1 --token-file f", true),
            ("kickoff explain --trigger a --event f", false),
            ("kickoff explain --trigger a --event f --definitions d --headers h --webhook w -o table", true),
            (
                "kickoff serve --definitions d --data-dir x --listen 127.0.0.1:0 --executor local --insecure-no-auth",
                true,
            ),
            ("kickoff serve --insecure-no-auth --tokens f", false),
            ("kickoff serve --listen localhost", false),
            ("kickoff serve --executor magic", false),
            ("kickoff serve --executor kubernetes --definitions-from-cluster --grants f", true),
            ("kickoff serve --grants f", false),
            ("kickoff serve --max-running 0", false),
            ("kickoff serve --event-max-age 30d --max-events 100000", true),
            ("kickoff serve --event-max-age 6d", false),
            ("kickoff serve --namespace Not_A_Label", false),
            ("kickoff serve --public-url ftp://x", false),
            ("kickoff --log-format json serve", true),
            ("kickoff unknown", false),
            ("kickoff", false),
        ] {
            let parsed = Cli::try_parse_from(line.split(' '));
            assert_eq!(
                parsed.is_ok(),
                good,
                "{line}: {}",
                parsed.err().map(|e| e.to_string()).unwrap_or_default()
            );
        }
    }
}
