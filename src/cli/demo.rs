//! `kickoff demo`: the whole loop on this machine, with nothing set up.
//!
//! A small shop, a server with embedded definitions and the local executor, and deliveries signed as
//! GitHub signs them, sent over HTTP. What is told is read from the server's API, and each claim is
//! checked. Everything lives in a folder of its own that is removed in the end; killed on the way, it
//! leaves that folder behind and nothing else.

mod client;
#[cfg(test)]
mod fake;
mod farewell;
mod folder;
mod github;
mod probe;
mod shop;
mod story;
mod teller;

use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, anyhow};
use jiff::SignedDuration;
use kickoff::app::config::{ExecutorKind, RetentionPolicy, ServeConfig};
use kickoff::app::definitions::Origin;
use kickoff::app::serve::{ServeError, serve};
use kickoff::outside::clock::Clock;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

pub(crate) use probe::{ProbeArgs, run as probe};

use client::Client;
use folder::Folder;
use shop::Shop;
use story::{GOOD, Story};
use teller::Teller;

/// Exit code where something did not come out as told.
const FAILED: u8 = 1;
/// Exit code where somebody ended the demo before its story did.
const CANCELLED: u8 = 5;

/// Arguments of `demo`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// End after the story: exit code 0 if all came out as told, else 1.
    #[arg(long)]
    pub(crate) once: bool,
    /// Where the server listens; an address of this machine alone.
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDR")]
    pub(crate) listen: SocketAddr,
}

/// Tells the story, then goes on serving until Ctrl-C, or ends.
///
/// Exit code 0 where all came out as told, else 1. An error where it could not go on.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let folder = Folder::create()?;
    let (shop_listener, shop_address) = Shop::listen().await.context("the shop can't listen")?;
    let shop_url = format!("http://{shop_address}");
    let secret = kickoff::outside::receipt::receipt();
    let kickoff = std::env::current_exe().context("this binary can't be found")?;
    folder.fill(&secret, &kickoff, &shop_url, &one_slot()?)?;

    let shop = Shop::new(GOOD);
    let end = CancellationToken::new();
    let (ready, listening) = oneshot::channel();
    let origin = Origin::Folder(folder.definitions());
    let serving = serve(config(&args, &folder), origin, end.clone().cancelled_owned(), |address| {
        // Nobody listens any more only where the story has ended: then nobody needs to know.
        ready.send(address).ok();
    });
    let mut serving = Box::pin(serving);
    let stage = Stage { kickoff: &kickoff, shop_url, secret: &secret, folder: &folder, shop: &shop };
    let story = async {
        // One for both: whoever ends it once the story is told has seen all of it.
        let mut interrupted = std::pin::pin!(interrupted());
        let told = tokio::select! {
            biased;
            told = stage.tell(listening, args.once) => told?,
            interrupted = &mut interrupted => return interrupted.map(|()| ExitCode::from(CANCELLED)),
        };
        if !args.once {
            interrupted.await?;
        }
        Ok(told)
    };
    let ended = tokio::select! {
        biased;
        result = &mut serving => return Err(why_it_ended(result)),
        ended = shop.clone().serve(shop_listener) => Err(anyhow!("the shop ended: {ended:?}")),
        ended = story => ended,
    };
    end.cancel();
    serving.await.context("the server did not stop in order")?;
    ended
}

/// A pattern that comes once, when the rest of the story is told: some seconds from now.
fn one_slot() -> anyhow::Result<String> {
    let slot = jiff::Timestamp::from_millisecond(Clock::System.now())? + SignedDuration::from_secs(4);
    Ok(slot.strftime("%-S %-M %-H %-d %-m * %Y").to_string())
}

fn why_it_ended(result: Result<(), ServeError>) -> anyhow::Error {
    match result {
        Ok(()) => anyhow!("the server ended by itself"),
        Err(error) => anyhow::Error::new(error).context("the server ended"),
    }
}

/// Waits until somebody wants the demo to end.
async fn interrupted() -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        pressed = tokio::signal::ctrl_c() => Ok(pressed?),
        _ = terminate.recv() => Ok(()),
    }
}

/// Everything around the story.
struct Stage<'a> {
    kickoff: &'a Path,
    shop_url: String,
    secret: &'a str,
    folder: &'a Folder,
    shop: &'a Shop,
}

impl Stage<'_> {
    async fn tell(&self, listening: oneshot::Receiver<SocketAddr>, once: bool) -> anyhow::Result<ExitCode> {
        let address = listening.await.context("the server did not start")?;
        let server = format!("http://{address}");
        let mut teller = Teller::new(anstream::stdout());
        self.introduce(&mut teller, &server)?;

        let client = Client::new(server.clone())?;
        let begun = Instant::now();
        let mut story = Story { teller: &mut teller, client: &client, shop: self.shop, secret: self.secret };
        story.tell().await?;
        let (held, all) = teller.score();
        teller.title(&format!(
            "\n{held} of {all} came out as told, in {:.1} s.",
            begun.elapsed().as_secs_f32()
        ))?;
        if !once {
            farewell::print(&mut teller, self.kickoff, &server, self.folder)?;
        }
        Ok(if held == all { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
    }

    fn introduce<W: Write>(&self, teller: &mut Teller<W>, server: &str) -> anyhow::Result<()> {
        teller.title("Kickoff: events in, verdicts back. Everything here happens on this machine.")?;
        teller
            .line("shop", &format!("{}  a small service; its releases are what is tested", self.shop_url))?;
        teller.line("kickoff", &format!("{server}  with the local executor, which isolates nothing"))?;
        teller.line("folder", &format!("{}  definitions and data", self.folder.path().display()))?;
        Ok(())
    }
}

fn config(args: &Args, folder: &Folder) -> ServeConfig {
    ServeConfig {
        definitions: Some(folder.definitions()),
        definitions_from_cluster: false,
        definitions_selector: String::new(),
        grants: None,
        executor: ExecutorKind::Local,
        data_dir: folder.data(),
        listen: args.listen,
        namespace: Some("default".to_owned()),
        instance: "demo".to_owned(),
        public_url: None,
        tokens: None,
        insecure_no_auth: true,
        max_running: Some(2),
        retention: RetentionPolicy::default(),
        results_retry_ms: 0,
        nats: None,
        cdevents: false,
        gate_allow: Vec::new(),
        local_secrets: None,
    }
}
