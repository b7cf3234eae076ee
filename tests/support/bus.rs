//! A real NATS server with `JetStream` for suites, each test with one of its own: it takes a tenth of a second.
//!
//! Every write of it is on disk before it is confirmed. It keeps its port and its streams over a `kill -9`,
//! and goes with its owner.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use async_nats::jetstream::{self, stream};

use super::PATIENCE;
use super::cluster::servers;

/// A server; killed when dropped.
pub struct Bus {
    folder: tempfile::TempDir,
    port: u16,
    child: Option<Child>,
}

impl Bus {
    /// One that lets everybody do everything.
    pub fn start() -> Self {
        Self::with("")
    }

    /// One with more in its configuration.
    pub fn with(more: &str) -> Self {
        let mut bus = Self::away(more);
        bus.up();
        bus
    }

    /// One that is not started yet.
    pub fn away(more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        // Nobody else is given a port that was free a moment ago.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let bus = Self { folder, port, child: None };
        bus.configure(more);
        bus
    }

    /// What its configuration says besides, from its next start on.
    pub fn configure(&self, more: &str) {
        let store = self.path("store");
        let text = format!(
            "listen: \"127.0.0.1:{}\"\njetstream {{ store_dir: \"{}\", sync_interval: always }}\n{more}\n",
            self.port,
            store.display()
        );
        std::fs::write(self.path("nats.conf"), text).unwrap();
    }

    /// A path in its folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A file in its folder.
    pub fn file(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// Starts it, and waits until it listens.
    pub fn up(&mut self) {
        let log = std::fs::File::create(self.path("log")).unwrap();
        let mut child = Command::new(program())
            .arg("-c")
            .arg(self.path("nats.conf"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let end = Instant::now() + PATIENCE;
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            let log = || std::fs::read_to_string(self.path("log")).unwrap();
            assert!(child.try_wait().unwrap().is_none(), "nats-server ended:\n{}", log());
            assert!(Instant::now() < end, "nats-server does not listen:\n{}", log());
            std::thread::sleep(Duration::from_millis(10));
        }
        self.child = Some(child);
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            drop(child.kill());
            child.wait().unwrap();
        }
    }

    /// SIGSTOP, or SIGCONT.
    pub fn freeze(&self, frozen: bool) {
        let signal = if frozen { rustix::process::Signal::STOP } else { rustix::process::Signal::CONT };
        let child = self.child.as_ref().unwrap();
        rustix::process::kill_process(rustix::process::Pid::from_child(child), signal).unwrap();
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// A client of it.
    pub async fn client(&self) -> async_nats::Client {
        self.client_with(async_nats::ConnectOptions::new()).await
    }

    /// A client that says more of itself.
    pub async fn client_with(&self, options: async_nats::ConnectOptions) -> async_nats::Client {
        super::client();
        options.connect(self.url()).await.unwrap()
    }

    /// A stream of these subjects.
    pub async fn stream(&self, name: &str, subjects: &[&str]) -> jetstream::Context {
        let jetstream = jetstream::new(self.client().await);
        let subjects = subjects.iter().map(|subject| (*subject).to_owned()).collect();
        let config = stream::Config { name: name.to_owned(), subjects, ..stream::Config::default() };
        jetstream.create_stream(config).await.unwrap();
        jetstream
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The server's program, as `tests/servers` finds or builds it.
fn program() -> &'static Path {
    static FOUND: OnceLock<PathBuf> = OnceLock::new();
    FOUND.get_or_init(|| {
        let found = servers().args(["find", "nats-server"]).stderr(Stdio::inherit()).output();
        let found = found
            .unwrap_or_else(|error| panic!("tests/servers can't be started ({error}): it needs python3"));
        assert!(found.status.success(), "there is no nats-server: tests/servers has said why, above");
        PathBuf::from(String::from_utf8(found.stdout).unwrap().trim())
    })
}
