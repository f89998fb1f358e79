//! A stream whose writes must get on.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// Fails a write that takes nothing for `bound`. What has nothing to write may be silent for as long as it likes.
#[derive(Debug)]
pub(super) struct Unstalled<S> {
    stream: S,
    bound: Duration,
    /// Runs while a write waits.
    waiting: Option<Pin<Box<Sleep>>>,
}

impl<S> Unstalled<S> {
    pub(super) fn new(stream: S, bound: Duration) -> Self {
        Self { stream, bound, waiting: None }
    }

    fn judge<T>(&mut self, context: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.waiting = None;
            return written;
        }
        let bound = self.bound;
        ready!(self.waiting.get_or_insert_with(|| Box::pin(sleep(bound))).as_mut().poll(context));
        let told = format!("the client took nothing of its answer for {} ms", bound.as_millis());
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, told)))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Unstalled<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Unstalled<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.judge(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.judge(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    const BOUND: Duration = Duration::from_millis(600);

    #[tokio::test]
    async fn a_write_may_wait_for_its_bound_and_silence_for_ever() {
        let (near, mut far) = tokio::io::duplex(4);
        let mut stream = Unstalled::new(near, BOUND);
        stream.write_all(b"1234").await.expect("there is room");
        for _ in 0..2 {
            let mut taken = [0; 4];
            let reading = async {
                sleep(BOUND * 2 / 3).await;
                far.read_exact(&mut taken[..2]).await.expect("read");
                sleep(BOUND * 2 / 3).await;
                far.read_exact(&mut taken[2..]).await.expect("read");
            };
            let (written, ()) = tokio::join!(stream.write_all(b"1234"), reading);
            written.expect("it got on, two bytes at a time");
            sleep(BOUND * 3 / 2).await;
        }
        let error = stream.write_all(b"5").await.expect_err("nobody reads");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(error.to_string().contains("600 ms"), "{error}");
    }
}
