//! A socket that closes slowly, so that an early answer arrives, and gives up on a peer that does not read.
//!
//! Closing a socket with unread bytes resets it, and a reset can overtake the answer: a sender of a
//! body that is too large would see a broken connection in place of 413. So what still comes in is
//! dropped for a moment after our side is closed.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;

use super::patience::Patience;

/// Longest time that bytes are dropped.
const LONGEST: Duration = Duration::from_secs(1);
/// Most bytes that are dropped at each close.
const MOST: usize = 32 << 20;

/// A stream that reads what still comes before it closes.
#[derive(Debug)]
pub(super) struct Linger {
    stream: TcpStream,
    closing: Option<Pin<Box<Sleep>>>,
    dropped: usize,
    /// Runs while the peer takes nothing: else its connection would hold a place for ever.
    stalled: Option<Pin<Box<Sleep>>>,
    patience: Patience,
}

impl Linger {
    pub(super) fn new(stream: TcpStream, patience: Patience) -> Self {
        Self { stream, closing: None, dropped: 0, stalled: None, patience }
    }

    /// Passes a write on, and makes an error of one that waits too long.
    fn bounded(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let longest = self.patience.limits().write_timeout;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep(longest)));
        ready!(stalled.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the peer takes no byte of its answer")))
    }

    fn poll_drop(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut room = [0; 16 << 10];
        while self.dropped < MOST {
            let mut buffer = ReadBuf::new(&mut room);
            match ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => self.dropped += buffer.filled().len(),
                Ok(()) | Err(_) => return Poll::Ready(()),
            }
        }
        Poll::Ready(())
    }
}

impl AsyncRead for Linger {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            self.patience.hear();
        }
        read
    }
}

impl AsyncWrite for Linger {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, data);
        self.bounded(cx, written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.closing.is_none() {
            ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
            self.closing = Some(Box::pin(tokio::time::sleep(LONGEST)));
        }
        let timed_out = self.closing.as_mut().is_some_and(|timer| timer.as_mut().poll(cx).is_ready());
        if !timed_out {
            ready!(self.poll_drop(cx));
        }
        Poll::Ready(Ok(()))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, data);
        self.bounded(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
