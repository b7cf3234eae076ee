//! A socket that closes slowly, so that an early answer arrives.
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
}

impl Linger {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self { stream, closing: None, dropped: 0 }
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
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Linger {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, data)
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
        Pin::new(&mut self.stream).poll_write_vectored(cx, data)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
