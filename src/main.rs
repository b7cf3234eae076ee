//! The binary: parses, calls, and turns what came of it into an exit code.

mod cli;

use std::io::IsTerminal as _;
use std::pin::Pin;
use std::process::ExitCode;

use clap::Parser as _;
use tracing_subscriber::EnvFilter;

use cli::{Cli, LogFormat};

fn main() -> ExitCode {
    if let Some(code) = shim() {
        return code;
    }
    let cli = Cli::parse();
    start_log(&cli);
    if cli.serves() {
        kickoff::app::telemetry::log_panics();
    }
    // An error says that there is a provider already, which is as good.
    rustls::crypto::ring::default_provider().install_default().ok();
    let runtime = if cli.serves() {
        tokio::runtime::Builder::new_multi_thread().worker_threads(workers()).enable_all().build()
    } else {
        tokio::runtime::Builder::new_current_thread().enable_all().build()
    };
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return fail(&anyhow::Error::from(error).context("can't start")),
    };
    // Without its type, or each way to drive a future would have all verbs compiled into it once more.
    let verb: Pin<Box<dyn Future<Output = anyhow::Result<ExitCode>>>> = Box::pin(cli.run());
    match runtime.block_on(verb) {
        Ok(code) => code,
        Err(error) if cli::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

/// Threads that serve connections: half of the processors, four at most. Deciding and storing have threads of their
/// own and are what bounds throughput; with more of these, each event wakes threads that find nothing to do, and each
/// has memory of its own. What takes long goes to other threads.
fn workers() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from).div_ceil(2).min(4)
}

/// A local run's own process, `kickoff shim`: started for each, so nothing else is set up.
fn shim() -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    let (verb, rest) = (arguments.next()?, arguments.next());
    (verb == "shim" && rest.is_none()).then(kickoff::runs::local::shim::main)
}

fn start_log(cli: &Cli) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| {
        // Whatever fails there is told where it is handled.
        EnvFilter::new(format!(
            "{},kube_client=off,async_nats=off,rustls_platform_verifier=off",
            cli.log_level()
        ))
    });
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        // A log that nobody can take (a full disk, a closed pipe) must not end the service.
        .log_internal_errors(false);
    match cli.log_format {
        LogFormat::Text => log.with_ansi(std::io::stderr().is_terminal()).init(),
        LogFormat::Json => log.json().init(),
    }
}

fn fail(error: &anyhow::Error) -> ExitCode {
    cli::tell(&format!("error: {error:#}"));
    ExitCode::from(cli::exit_code(error))
}
