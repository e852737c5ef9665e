//! Reading ahead of TLS: rustls asks for 4 KiB at a time, so that a review of 20 KB would cost six
//! system calls.

use super::activity::ConnectionActivity;
use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Two TLS records and their overhead.
const BLOCK_BYTES: usize = 36 << 10;

thread_local! {
    /// What one call of `read` fills; shared, so that an idle connection keeps no buffer.
    static BLOCK: RefCell<Box<[u8]>> = RefCell::new(vec![0; BLOCK_BYTES].into_boxed_slice());
}

/// A TCP stream that takes all there is in one system call and hands it out in the pieces that are
/// asked for.
#[derive(Debug)]
pub(super) struct ReadAhead {
    stream: TcpStream,
    /// What was read and not yet asked for; empty and without memory most of the time.
    rest: Vec<u8>,
    taken: usize,
    /// Is told of every byte.
    activity: Arc<ConnectionActivity>,
}

impl ReadAhead {
    pub(super) fn new(stream: TcpStream, activity: Arc<ConnectionActivity>) -> Self {
        Self { stream, rest: Vec::new(), taken: 0, activity }
    }
}

impl AsyncRead for ReadAhead {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        wanted: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.taken < self.rest.len() {
            let rest = &self.rest[self.taken..];
            let length = rest.len().min(wanted.remaining());
            wanted.put_slice(&rest[..length]);
            self.taken += length;
            if self.taken == self.rest.len() {
                self.rest = Vec::new();
                self.taken = 0;
            }
            return Poll::Ready(Ok(()));
        }
        BLOCK.with_borrow_mut(|block| {
            let mut read = ReadBuf::new(block);
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut read))?;
            let (now, later) = read.filled().split_at(read.filled().len().min(wanted.remaining()));
            wanted.put_slice(now);
            if !later.is_empty() {
                self.rest = later.to_vec();
            }
            self.activity.received(read.filled().len());
            Poll::Ready(Ok(()))
        })
    }
}

impl AsyncWrite for ReadAhead {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::super::budget::ByteBudget;
    use super::super::source::Source;
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    fn activity() -> Arc<ConnectionActivity> {
        let source = Arc::new(Source::alone(ByteBudget::new(1 << 20), ByteBudget::new(1 << 20)));
        Arc::new(ConnectionActivity::new(
            source,
            prometheus_client::metrics::gauge::Gauge::default(),
        ))
    }

    #[tokio::test]
    async fn every_byte_comes_once_and_in_order_whatever_is_asked_for() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let mut server = ReadAhead::new(listener.accept().await.unwrap().0, activity());
        let sent: Vec<u8> =
            (0..3 * BLOCK_BYTES + 17).map(|index| u8::try_from(index % 251).unwrap()).collect();
        let expected = sent.clone();
        let writer = tokio::spawn(async move {
            client.write_all(&sent).await.unwrap();
        });
        let (mut received, mut sizes) = (Vec::new(), [1, 4096, 5, 70_000].into_iter().cycle());
        loop {
            let mut piece = vec![0; sizes.next().unwrap()];
            match server.read(&mut piece).await.unwrap() {
                0 => break,
                length => received.extend_from_slice(&piece[..length]),
            }
        }
        writer.await.unwrap();
        assert!(received == expected && server.rest.capacity() == 0);
    }
}
