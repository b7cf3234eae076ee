//! What gates ask in tests: a small HTTP server that counts how often each path is asked.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::support::PATIENCE;

/// Answers until the process ends.
///
/// `/door` is 503 until it is opened, then 200; `/slow` never answers; `/flood` answers 200 and goes on for ever;
/// `/moved` sends to `/door`.
#[derive(Clone)]
pub struct Target {
    /// `127.0.0.1:PORT`.
    pub address: String,
    open: Arc<AtomicBool>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Target {
    pub fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let target = Self { address, open: Arc::default(), asked: Arc::default() };
        let serving = target.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let target = serving.clone();
                std::thread::spawn(move || target.answer(stream));
            }
        });
        target
    }

    /// From now on `/door` is 200.
    pub fn open(&self) {
        self.open.store(true, Ordering::SeqCst);
    }

    /// How often a path was asked.
    pub fn asked(&self, path: &str) -> usize {
        self.asked.lock().unwrap().iter().filter(|asked| *asked == path).count()
    }

    pub fn wait_until_asked(&self, path: &str, times: usize) {
        let until = Instant::now() + PATIENCE;
        while self.asked(path) < times {
            assert!(Instant::now() < until, "{path} was asked {} times of {times}", self.asked(path));
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn answer(&self, mut stream: TcpStream) {
        let lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
        let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
        let Some(path) = head.first().and_then(|line| line.split(' ').nth(1)) else { return };
        self.asked.lock().unwrap().push(path.to_owned());
        let head = match path {
            "/slow" => {
                std::thread::sleep(PATIENCE * 2);
                return;
            }
            "/door" if !self.open.load(Ordering::SeqCst) => "503 Service Unavailable".to_owned(),
            "/moved" => format!("302 Found\r\nLocation: http://{}/door", self.address),
            _ => "200 OK".to_owned(),
        };
        let body = if path == "/flood" { "" } else { "Content-Length: 0\r\n" };
        if write!(stream, "HTTP/1.1 {head}\r\nConnection: close\r\n{body}\r\n").is_err() {
            return;
        }
        // Until who asked hangs up.
        while path == "/flood" && stream.write_all(&[b'x'; 4_096]).is_ok() {}
    }
}
