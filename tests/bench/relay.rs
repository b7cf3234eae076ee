//! The least that being durable takes: a relay that writes what arrives to a file and syncs it before it answers, writes
//! what is decided and syncs it, and then creates the Job. It checks nothing, and knows nothing of it afterwards.

use std::fs::File;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};

use kube::Client;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::process::cpu_ms;

/// About what an event or a decision takes in the log of a database, bytes.
const PAGE: [u8; 4096] = [0; 4096];
const ANSWER: &[u8] = b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\n{}";

/// Starts one for a single connection; `made` makes the request for the id that a delivery ends its header with. Once it
/// is closed it gives what it took of the processors, milliseconds.
pub async fn start(
    kubeconfig: &Path,
    folder: &Path,
    made: impl Fn(&str) -> http::Request<Vec<u8>> + Send + 'static,
) -> (SocketAddr, Receiver<u64>) {
    let (used, when_closed) = channel();
    let file = File::create(folder.join("relay")).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let listener = listener.into_std().unwrap();
    let kubeconfig = kubeconfig.to_owned();
    // All on one thread, so that nothing is handed on.
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let client = super::witness::api(&kubeconfig).await;
            let (stream, _) = TcpListener::from_std(listener).unwrap().accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            relay(stream, file, client, made).await;
        });
        // Nobody has to ask.
        used.send(cpu_ms("thread-self")).unwrap_or_default();
    });
    (address, when_closed)
}

async fn relay(
    mut stream: TcpStream,
    mut file: File,
    client: Client,
    made: impl Fn(&str) -> http::Request<Vec<u8>>,
) {
    let mut buffer = vec![0; 1 << 16];
    loop {
        // A delivery comes in one piece.
        let read = stream.read(&mut buffer).await.unwrap();
        let Some((head, _)) = std::str::from_utf8(&buffer[..read]).unwrap().split_once("\r\n\r\n") else {
            return;
        };
        let id = head.rsplit(": ").next().unwrap();
        let request = made(id);
        write(&mut file);
        stream.write_all(ANSWER).await.unwrap();
        write(&mut file);
        client.request_text(request).await.unwrap();
    }
}

fn write(file: &mut File) {
    file.write_all(&PAGE).unwrap();
    file.sync_data().unwrap();
}
