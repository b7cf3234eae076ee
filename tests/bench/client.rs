//! The cheapest client there can be, so that it is the server that is measured: one connection kept
//! open, a request written as bytes, an answer read up to its length.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    pub async fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, buffer: vec![0; 1 << 20] }
    }

    /// POSTs a delivery with a token and an id; gives the status.
    pub async fn deliver(&mut self, path: &str, id: &str, body: &[u8]) -> u16 {
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer sesame\r\nX-Id: {id}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        let mut request = head.into_bytes();
        request.extend_from_slice(body);
        self.stream.write_all(&request).await.unwrap();
        self.answer().await
    }

    /// GETs a path of the API, whole; gives the status.
    pub async fn get(&mut self, path: &str) -> u16 {
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        self.stream.write_all(request.as_bytes()).await.unwrap();
        self.answer().await
    }

    async fn answer(&mut self) -> u16 {
        let mut read = 0;
        loop {
            let more = self.stream.read(&mut self.buffer[read..]).await.unwrap();
            assert!(more > 0, "the server closed the connection");
            read += more;
            let text = std::str::from_utf8(&self.buffer[..read]).unwrap();
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let length = head
                .lines()
                .find_map(|line| {
                    line.to_ascii_lowercase().strip_prefix("content-length: ").map(str::to_owned)
                })
                .map_or(0, |length| length.parse().unwrap());
            if body.len() >= length {
                return head[9..12].parse().unwrap();
            }
        }
    }
}

/// Sends for `span` over several connections; gives how many were answered 2xx.
pub async fn flood(
    address: SocketAddr,
    path: &'static str,
    connections: usize,
    span: Duration,
    tag: &str,
) -> u64 {
    let until = Instant::now() + span;
    let mut senders = tokio::task::JoinSet::new();
    for sender in 0..connections {
        let tag = tag.to_owned();
        senders.spawn(async move {
            let mut connection = Connection::open(address).await;
            let mut sent = 0_u64;
            while Instant::now() < until {
                let status = connection.deliver(path, &format!("{tag}-{sender}-{sent}"), BODY).await;
                assert_eq!(status, 202, "the load must not be refused");
                sent += 1;
            }
            sent
        });
    }
    senders.join_all().await.into_iter().sum()
}

/// A small delivery.
pub const BODY: &[u8] =
    br#"{"ref": "refs/heads/main", "after": "6113728f27ae82c7b1a177c8d03f9e96e0adf246", "pusher": "ann"}"#;
