//! The real binary: how soon it is ready, how soon a delivery is a process, how large it is.

use std::io::{BufRead as _, BufReader, Lines};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::{Duration, Instant};

use super::client::{BODY, Connection, Delivery, flood};
use super::{Promise, median};

const BINARY: &str = env!("CARGO_BIN_EXE_kickoff");
const DEFINITIONS: &str = r#"
apiVersion: kickoff.dev/v1alpha1
kind: Webhook
metadata: {name: load}
spec: {provider: token, secrets: [{env: LOAD_TOKEN}], auth: {idHeader: X-Id}}
---
apiVersion: kickoff.dev/v1alpha1
kind: JobTemplate
metadata: {name: stamp}
spec:
  job: {spec: {template: {spec: {containers: [{name: main, command: [/bin/sh, -c, 'date +%s%N > "$STAMP.new" && mv "$STAMP.new" "$STAMP"'], env: [{name: STAMP, value: STAMP_FILE}]}]}}}}
---
apiVersion: kickoff.dev/v1alpha1
kind: Trigger
metadata: {name: stamp}
spec:
  sources: [{webhook: {name: load}}]
  match: [{path: event.data.run, equals: true}]
  runs: [{template: stamp}]
"#;

pub struct Server {
    child: Child,
    pub address: SocketAddr,
    pub ready_after: Duration,
}

impl Server {
    pub fn start(folder: &Path, definitions: Option<&Path>) -> Self {
        Self::with(folder, definitions, &["--executor", "local"])
    }

    /// The same with another executor.
    pub fn with(folder: &Path, definitions: Option<&Path>, executor: &[&str]) -> Self {
        let (server, lines) = Self::begin(folder, definitions, executor, "error", |_| ());
        std::thread::spawn(move || lines.count());
        server
    }

    /// The same, and how long it took until its log said `text`.
    pub fn saying(folder: &Path, definitions: &Path, executor: &[&str], text: &str) -> (Self, Duration) {
        let (began, mut said) = (Instant::now(), false);
        let hear = |line: &str| said |= line.contains(text);
        let (server, mut lines) =
            Self::begin(folder, Some(definitions), executor, "error,kickoff=info", hear);
        let said = said || lines.by_ref().map_while(Result::ok).any(|line| line.contains(text));
        assert!(said, "the server ended and never said {text:?}");
        let after = began.elapsed();
        std::thread::spawn(move || lines.count());
        (server, after)
    }

    /// Starts one, with what it writes from the line on that says where it listens; `hear` has those before.
    fn begin(
        folder: &Path,
        definitions: Option<&Path>,
        executor: &[&str],
        log: &str,
        mut hear: impl FnMut(&str),
    ) -> (Self, Lines<BufReader<ChildStderr>>) {
        let mut command = Command::new(BINARY);
        command.args(["serve", "--listen", "127.0.0.1:0", "--insecure-no-auth"]).args(executor);
        command.arg("--data-dir").arg(folder);
        if let Some(definitions) = definitions {
            command.arg("--definitions").arg(definitions);
        }
        command.env("LOAD_TOKEN", "sesame").env("RUST_LOG", log);
        let began = Instant::now();
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let url = lines.by_ref().map_while(Result::ok).find_map(|line| {
            hear(&line);
            line.strip_prefix("listening on http://").map(str::to_owned)
        });
        let ready_after = began.elapsed();
        (Self { child, address: url.unwrap().parse().unwrap(), ready_after }, lines)
    }

    /// What it has in memory.
    pub fn resident_mib(&self) -> f64 {
        self.mib("VmRSS:")
    }

    /// The most that it ever had.
    pub fn most_resident_mib(&self) -> f64 {
        self.mib("VmHWM:")
    }

    /// What it has used of the processors, milliseconds.
    pub fn cpu_ms(&self) -> u64 {
        cpu_ms(&self.child.id().to_string())
    }

    fn mib(&self, name: &str) -> f64 {
        mib(&self.child, name)
    }
}

/// What a process or `thread-self` has used of the processors, milliseconds.
pub fn cpu_ms(of: &str) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{of}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    // In ticks, of which Linux has 100 a second for programs to see: utime and stime.
    let ticks: u64 = fields[11..=12].iter().map(|ticks| ticks.parse::<u64>().unwrap()).sum();
    ticks * 10
}

/// A figure of `/proc/PID/status`, for instance `VmRSS:`.
pub fn mib(child: &Child, name: &str) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    let kib: f64 = line.trim().trim_end_matches(" kB").parse().unwrap();
    kib / 1024.0
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

pub fn nanos() -> u128 {
    std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos()
}

/// Waits for a stamp and gives how long after `sent` it was made.
fn stamped(file: &Path, sent: u128) -> Duration {
    let until = Instant::now() + Duration::from_secs(10);
    loop {
        if let Ok(text) = std::fs::read_to_string(file) {
            std::fs::remove_file(file).unwrap();
            let nanos = text.trim().parse::<u128>().unwrap().saturating_sub(sent);
            return Duration::from_nanos(nanos.try_into().unwrap());
        }
        assert!(Instant::now() < until, "no process was started");
        std::thread::sleep(Duration::from_millis(1));
    }
}

pub async fn start() -> Vec<Promise> {
    let folder = tempfile::tempdir().unwrap();
    let definitions = folder.path().join("definitions");
    let stamp = folder.path().join("stamp");
    std::fs::create_dir(&definitions).unwrap();
    std::fs::write(definitions.join("all.yaml"), DEFINITIONS.replace("STAMP_FILE", stamp.to_str().unwrap()))
        .unwrap();
    let server = Server::start(&folder.path().join("data"), Some(&definitions));
    let mut connection = Connection::open(server.address).await;
    let (mut bare, mut through) = (Vec::new(), Vec::new());
    for number in 0..100 {
        let sent = nanos();
        let mut child = Command::new("/bin/sh");
        child
            .args(["-c", "date +%s%N > \"$STAMP.new\" && mv \"$STAMP.new\" \"$STAMP\""])
            .env("STAMP", &stamp);
        child.status().unwrap();
        bare.push(stamped(&stamp, sent));
        let sent = nanos();
        assert_eq!(
            connection.deliver("/hooks/load", &format!("start-{number}"), br#"{"run": true}"#).await,
            202
        );
        through.push(stamped(&stamp, sent));
    }
    let (bare, through) = (median(bare), median(through));
    let over = through.saturating_sub(bare);
    vec![Promise {
        name: "delivery sent to process started, median at most 5 ms over a bare spawn",
        measured: format!("{over:.2?} over ({through:.2?} against {bare:.2?})"),
        holds: over <= Duration::from_millis(5),
    }]
}

pub fn size() -> Vec<Promise> {
    let mib = |bytes: u64| bytes >> 20;
    let bytes = std::fs::metadata(BINARY).unwrap().len();
    let samples = (0..15)
        .map(|_| {
            let folder = tempfile::tempdir().unwrap();
            Server::start(folder.path(), None).ready_after
        })
        .collect();
    let ready = median(samples);
    vec![
        Promise {
            name: "stripped binary up to 30 MB",
            measured: format!("{} MiB ({bytes} bytes)", mib(bytes)),
            holds: bytes <= 30_000_000,
        },
        Promise {
            name: "ready within 100 ms with an empty folder, median",
            measured: format!("{ready:.1?}"),
            holds: ready <= Duration::from_millis(100),
        },
    ]
}

pub async fn memory() -> Vec<Promise> {
    let folder = tempfile::tempdir().unwrap();
    let definitions = folder.path().join("definitions");
    std::fs::create_dir(&definitions).unwrap();
    std::fs::write(definitions.join("all.yaml"), DEFINITIONS).unwrap();
    let server = Server::start(&folder.path().join("data"), Some(&definitions));
    tokio::time::sleep(Duration::from_secs(2)).await;
    let idle = server.resident_mib();
    let body = format!(r#"{{"filler": "{}"}}"#, "x".repeat(10 * 1024));
    let mut senders = tokio::task::JoinSet::new();
    for sender in 0..16 {
        let (address, body) = (server.address, body.clone());
        senders.spawn(async move {
            let mut connection = Connection::open(address).await;
            for number in 0..100_000 / 16 {
                let id = format!("memory-{sender}-{number}");
                assert_eq!(connection.deliver("/hooks/load", &id, body.as_bytes()).await, 202);
            }
        });
    }
    senders.join_all().await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let after = server.resident_mib();
    // Keeps the flood of the other benchmark honest: the server still answers.
    let load = Delivery::plain("/hooks/load", BODY);
    assert!(flood(server.address, &load, 1, Duration::from_millis(50), "still").await > 0);
    vec![
        Promise { name: "idle below 30 MB resident", measured: format!("{idle:.1} MiB"), holds: idle < 30.0 },
        Promise {
            name: "below 100 MB resident after 100,000 events of 10 KiB",
            measured: format!("{after:.1} MiB"),
            holds: after < 100.0,
        },
    ]
}
