//! What suites share: the real binary as a server on a folder of its own, and a client for it.

pub mod bus;
pub mod cdevents;
pub mod cluster;
pub mod door;
pub mod hub;
pub mod jobs;
pub mod witness;

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Once, mpsc};
use std::time::{Duration, Instant};

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::Value;
use sha2::Sha256;

/// Longest that a test waits for something that should happen soon.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The binary under test.
pub fn kickoff() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kickoff"));
    command.env_remove("KICKOFF_SERVER").env_remove("KICKOFF_TOKEN").env_remove("RUST_LOG");
    command
}

/// A client without a proxy and without certificates of its own.
pub fn client() -> reqwest::Client {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
    reqwest::Client::builder().no_proxy().build().unwrap()
}

/// What GitHub puts into `X-Hub-Signature-256`.
pub fn sign(secret: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(body);
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}

/// A folder with definitions and a data folder, for one server after the other.
pub struct Home {
    folder: tempfile::TempDir,
}

impl Home {
    /// With one file of definitions.
    pub fn new(definitions: &str) -> Self {
        let home = Self { folder: tempfile::tempdir().unwrap() };
        std::fs::create_dir(home.definitions()).unwrap();
        home.define(definitions);
        home
    }

    /// Replaces the definitions.
    pub fn define(&self, definitions: &str) {
        let file = self.definitions().join("all.yaml");
        let next = self.folder.path().join("next.yaml");
        std::fs::write(&next, definitions).unwrap();
        std::fs::rename(next, file).unwrap();
    }

    pub fn definitions(&self) -> PathBuf {
        self.folder.path().join("definitions")
    }

    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Starts a server without authentication, with further arguments and variables.
    pub fn serve(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Server {
        self.begin(arguments, variables).listening()
    }

    /// The same, without waiting until it listens.
    pub fn begin(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Starting {
        let mut command = kickoff();
        command.arg("serve").arg("--definitions").arg(self.definitions()).arg("--data-dir").arg(self.data());
        command.args(["--listen", "127.0.0.1:0"]);
        if !arguments.contains(&"--executor") {
            command.args(["--executor", "local"]);
        }
        if !arguments.contains(&"--tokens") {
            command.arg("--insecure-no-auth");
        }
        command.args(arguments).envs(variables.iter().copied());
        Starting::new(command)
    }
}

/// A server that may not listen yet; killed when dropped.
pub struct Starting {
    server: Server,
    address: mpsc::Receiver<String>,
}

/// A running server; killed when dropped.
pub struct Server {
    child: Child,
    pub url: String,
    said: Arc<Mutex<Vec<String>>>,
    reading: Arc<AtomicBool>,
}

impl Starting {
    /// Starts a server that says where it listens.
    pub fn new(mut command: Command) -> Self {
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let stderr = child.stderr.take().unwrap();
        let said = Arc::new(Mutex::new(Vec::new()));
        let (found, address) = mpsc::channel();
        let lines = Arc::clone(&said);
        let reading = Arc::new(AtomicBool::new(true));
        let read = Arc::clone(&reading);
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                if !read.load(Ordering::Relaxed) {
                    return;
                }
                if let Some(url) = line.strip_prefix("listening on ") {
                    drop(found.send(url.to_owned()));
                }
                lines.lock().unwrap().push(line);
            }
        });
        Self { server: Server { child, url: String::new(), said, reading }, address }
    }

    /// Waits until it listens.
    pub fn listening(mut self) -> Server {
        match self.address.recv_timeout(PATIENCE) {
            Ok(url) => self.server.url = url,
            Err(why) => panic!("the server never listened ({why}):\n{}", self.server.said()),
        }
        self.server
    }

    /// Waits until it has written `text` to standard error.
    pub fn saying(&self, text: &str) {
        self.server.saying(text);
    }

    /// See [`Server::ended`].
    pub fn ended(self, patience: Duration) -> (Option<i32>, String) {
        self.server.ended(patience)
    }
}

impl Server {
    /// Closes the pipe into which it writes its log, at the next line.
    pub fn stop_reading(&self) {
        self.reading.store(false, Ordering::Relaxed);
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it wrote to standard error.
    pub fn said(&self) -> String {
        self.said.lock().unwrap().join("\n")
    }

    /// Waits until it has written `text` to standard error.
    pub fn saying(&self, text: &str) {
        let until = Instant::now() + PATIENCE;
        while !self.said().contains(text) {
            assert!(Instant::now() < until, "it never said {text:?}:\n{}", self.said());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits until it has ended by itself; gives its exit code and what it said.
    pub fn ended(mut self, patience: Duration) -> (Option<i32>, String) {
        let until = Instant::now() + patience;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return (status.code(), self.said());
            }
            assert!(Instant::now() < until, "it did not end by itself:\n{}", self.said());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// SIGSTOP, or SIGCONT.
    pub fn freeze(&self, frozen: bool) {
        let signal = if frozen { rustix::process::Signal::STOP } else { rustix::process::Signal::CONT };
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.child), signal).unwrap();
    }

    /// `kill -9`.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM, then waits; gives the exit code.
    pub fn stop(mut self) -> Option<i32> {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        let until = Instant::now() + PATIENCE;
        loop {
            match self.child.try_wait().unwrap() {
                Some(status) => return status.code(),
                None if Instant::now() > until => panic!("it did not stop:\n{}", self.said()),
                None => std::thread::sleep(Duration::from_millis(10)),
            }
        }
    }

    /// GET of an API path, as JSON; panics on anything but 200.
    pub async fn get(&self, path: &str) -> Value {
        let answer = client().get(format!("{}{path}", self.url)).send().await.unwrap();
        let status = answer.status();
        let text = answer.text().await.unwrap();
        assert_eq!(status, 200, "GET {path}: {text}");
        serde_json::from_str(&text).unwrap()
    }

    /// All runs, over all pages.
    pub async fn all_runs(&self) -> Vec<Value> {
        self.all("runs").await
    }

    /// All of a list of the API, over all pages.
    pub async fn all(&self, list: &str) -> Vec<Value> {
        let mut items = Vec::new();
        let mut cursor = String::new();
        loop {
            let page = self.get(&format!("/api/v1/{list}?limit=500{cursor}")).await;
            items.extend(page["items"].as_array().unwrap().iter().cloned());
            match page["next"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return items,
            }
        }
    }

    /// Waits until every run has ended and no other is to come, and gives them all. It fails once the sum of the steps
    /// that they have gone has not changed for `standstill`.
    pub async fn at_rest(
        &self,
        standstill: Duration,
        ended: impl Fn(&Value) -> bool,
        steps: impl Fn(&Value) -> usize,
    ) -> Vec<Value> {
        let (mut before, mut since) = (0, Instant::now());
        loop {
            let runs = self.all_runs().await;
            // What was accepted last may not be decided yet.
            if runs.iter().all(&ended)
                && self.get("/api/v1/runs?limit=1").await["items"].get(0) == runs.first()
            {
                return runs;
            }
            let gone: usize = runs.iter().map(&steps).sum();
            if gone != before {
                (before, since) = (gone, Instant::now());
            }
            let open: Vec<_> = runs.iter().filter(|run| !ended(run)).collect();
            assert!(
                since.elapsed() < standstill,
                "{} of {} stay open, after {gone} steps of all: {:#?}\n{}",
                open.len(),
                runs.len(),
                &open[..open.len().min(3)],
                self.said()
            );
            // To list thousands takes its part of the machine, on which they are to end.
            tokio::time::sleep(Duration::from_millis(500 + runs.len() as u64)).await;
        }
    }

    /// Waits until the firing of each run has its verdict among the events, and that no other has, or twice.
    pub async fn verdicts_of(&self, runs: &[Value], patience: Duration) {
        let firings: BTreeSet<&str> = runs.iter().map(|run| run["firing"].as_str().unwrap()).collect();
        let end = Instant::now() + patience;
        loop {
            let events = self.all("events").await;
            let verdicts = events.iter().filter(|event| event["type"] == "dev.kickoff.firing.finished");
            let mut told: Vec<&str> = verdicts.map(|event| event["id"].as_str().unwrap()).collect();
            let count = told.len();
            told.sort_unstable();
            told.dedup();
            assert_eq!(told.len(), count, "a verdict is there twice");
            assert!(told.iter().all(|firing| firings.contains(firing)), "a verdict is of no run");
            if count == firings.len() {
                return;
            }
            assert!(Instant::now() < end, "{count} verdicts of {} firings", firings.len());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// A figure of `/proc/PID/status`, for instance `VmRSS` in KiB.
    pub fn figure(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap();
        line.split_whitespace().next().unwrap().parse().unwrap()
    }

    /// How many sockets it has open.
    pub fn sockets(&self) -> usize {
        let files = std::fs::read_dir(format!("/proc/{}/fd", self.pid())).unwrap().flatten();
        let is_socket = |path: PathBuf| path.to_string_lossy().starts_with("socket:");
        files.filter(|file| std::fs::read_link(file.path()).is_ok_and(is_socket)).count()
    }

    /// Waits until `wanted` holds of the runs of an event, and gives them.
    pub async fn runs_of(&self, event: &str, wanted: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        let until = Instant::now() + PATIENCE;
        loop {
            let page = self.get(&format!("/api/v1/runs?event={event}")).await;
            let runs = page["items"].as_array().unwrap();
            if wanted(runs) {
                return runs.clone();
            }
            assert!(Instant::now() < until, "the runs of {event} are {runs:#?}\n{}", self.said());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Whether every run has an outcome.
pub fn all_ended(runs: &[Value]) -> bool {
    !runs.is_empty() && runs.iter().all(|run| run["outcome"].is_string())
}
