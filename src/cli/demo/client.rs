//! What the demo asks the server over HTTP, as any other program would.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde::Deserialize;

use super::github::{Push, sign};

/// How long the demo waits for a decision or a verdict before it gives up.
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(25);

/// An HTTP client; the crypto provider is installed once, whoever comes first.
pub(super) fn http(timeout: Duration) -> anyhow::Result<reqwest::Client> {
    // An error says that a provider is there already, which is as good.
    rustls::crypto::ring::default_provider().install_default().ok();
    let client = reqwest::Client::builder().timeout(timeout).no_proxy().build();
    client.context("the HTTP client can't be made")
}

/// The server's hooks and API.
#[derive(Debug, Clone)]
pub(super) struct Client {
    server: String,
    http: reqwest::Client,
}

/// What the server answered to a delivery.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// Missing where the delivery was refused.
    pub(super) receipt: Option<Receipt>,
}

/// The body of a 200 or 202.
#[derive(Debug, Deserialize)]
pub(super) struct Receipt {
    pub(super) event: String,
    pub(super) duplicate: bool,
}

/// What a trigger made of an event.
#[derive(Debug, Deserialize)]
pub(super) struct Decision {
    pub(super) trigger: String,
    #[serde(rename = "decision")]
    pub(super) verb: String,
    pub(super) reason: Option<String>,
}

/// What the demo reads of a run.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Run {
    pub(super) id: String,
    pub(super) outcome: Option<String>,
    pub(super) reason: Option<String>,
    pub(super) exit_code: Option<i64>,
}

#[derive(Debug, Deserialize)]
struct Decided {
    decisions: Vec<Decision>,
}

#[derive(Debug, Deserialize)]
struct Runs {
    items: Vec<Run>,
}

impl Client {
    /// A client of the server at `http://ADDR`.
    pub(super) fn new(server: String) -> anyhow::Result<Self> {
        Ok(Self { server, http: http(Duration::from_secs(10))? })
    }

    /// Sends a push as GitHub would, signed with `secret`.
    pub(super) async fn deliver(&self, push: &Push, secret: &str) -> anyhow::Result<Answer> {
        let body = push.body();
        let request = self
            .http
            .post(format!("{}/hooks/github", self.server))
            .header("Content-Type", "application/json")
            .header("X-GitHub-Event", "push")
            .header("X-GitHub-Delivery", push.delivery)
            .header("X-Hub-Signature-256", sign(secret, &body))
            .body(body);
        let response = request.send().await.context("the delivery could not be sent")?;
        let status = response.status();
        let receipt = if status.is_success() { Some(response.json().await?) } else { None };
        Ok(Answer { status: status.as_u16(), receipt })
    }

    /// What was decided about an event, once it is decided.
    pub(super) async fn decisions(&self, event: &str) -> anyhow::Result<Vec<Decision>> {
        let begun = Instant::now();
        loop {
            let response = self.get(&format!("/api/v1/events/{event}")).await?;
            if response.status().is_success() {
                let decided: Decided = response.json().await?;
                if !decided.decisions.is_empty() {
                    return Ok(decided.decisions);
                }
            }
            pause(begun, "nothing was decided about the event").await?;
        }
    }

    /// The runs of an event, by its key or the sender's id.
    pub(super) async fn runs(&self, event: &str) -> anyhow::Result<Vec<Run>> {
        self.runs_of("event", event).await
    }

    async fn runs_of(&self, of: &str, name: &str) -> anyhow::Result<Vec<Run>> {
        let response = self.get(&format!("/api/v1/runs?{of}={name}&limit=100")).await?;
        let runs: Runs = response.error_for_status()?.json().await?;
        Ok(runs.items)
    }

    /// The one run of an event, once there is one.
    pub(super) async fn only_run(&self, event: &str) -> anyhow::Result<Run> {
        self.only("event", event).await
    }

    /// The one run of a trigger, once there is one.
    pub(super) async fn run_of(&self, trigger: &str) -> anyhow::Result<Run> {
        self.only("trigger", trigger).await
    }

    async fn only(&self, of: &str, name: &str) -> anyhow::Result<Run> {
        let begun = Instant::now();
        loop {
            let mut runs = self.runs_of(of, name).await?;
            if runs.len() > 1 {
                bail!("the {of} has {} runs instead of one", runs.len());
            }
            match runs.pop() {
                Some(run) => return Ok(run),
                None => pause(begun, &format!("the {of} had no run")).await?,
            }
        }
    }

    /// Waits for a run's verdict, and gives each line of its log to `line` as it comes.
    pub(super) async fn follow(&self, run: &str, mut line: impl FnMut(&str)) -> anyhow::Result<Run> {
        let begun = Instant::now();
        let mut shown = 0;
        loop {
            let response = self.get(&format!("/api/v1/runs/{run}")).await?;
            let seen: Run = response.error_for_status()?.json().await?;
            let log = self.log(run).await?;
            let ended = seen.outcome.is_some();
            let whole = if ended { log.len() } else { log.rfind('\n').map_or(0, |at| at + 1) };
            log.get(shown..whole).unwrap_or_default().lines().for_each(&mut line);
            shown = whole.max(shown);
            if ended {
                return Ok(seen);
            }
            pause(begun, "the run did not end").await?;
        }
    }

    /// The log so far; empty where there is none yet.
    async fn log(&self, run: &str) -> anyhow::Result<String> {
        let response = self.get(&format!("/api/v1/runs/{run}/log")).await?;
        if response.status() == reqwest::StatusCode::NOT_FOUND {
            return Ok(String::new());
        }
        Ok(response.error_for_status()?.text().await?)
    }

    async fn get(&self, path: &str) -> anyhow::Result<reqwest::Response> {
        let response = self.http.get(format!("{}{path}", self.server)).send().await;
        response.with_context(|| format!("GET {path} had no answer"))
    }
}

async fn pause(begun: Instant, what: &str) -> anyhow::Result<()> {
    if begun.elapsed() > PATIENCE {
        bail!("{what} within {} s", PATIENCE.as_secs());
    }
    tokio::time::sleep(PAUSE).await;
    Ok(())
}
