//! A connection whose client must read: a write that waits too long ends it.
//!
//! hyper limits how long a request may take to come, and nothing limits how long its answer may take to be read. Without this,
//! a client that asks and never reads holds a connection for ever.

use crate::client_presence::{Waits, Work};
use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// A stream and the patience with its reader.
pub(crate) struct Slow<S> {
    stream: S,
    patience: Duration,
    /// Running while a write waits.
    clock: Option<Pin<Box<Sleep>>>,
    waits: Waits,
    /// While a write waits, the connection is not idle.
    work: Option<Work>,
}

impl<S: Unpin> Slow<S> {
    pub(crate) fn new(stream: S, patience: Duration, waits: Waits) -> Slow<S> {
        Slow { stream, patience, clock: None, waits, work: None }
    }

    /// What a write gave, or an error once it has waited too long.
    fn within<T>(
        &mut self,
        context: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut S>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if let Poll::Ready(done) = write(Pin::new(&mut self.stream), context) {
            (self.clock, self.work) = (None, None);
            return Poll::Ready(done);
        }
        if self.work.is_none() {
            self.work = Some(self.waits.work());
        }
        let patience = self.patience;
        let clock = self.clock.get_or_insert_with(|| Box::pin(sleep(patience)));
        ready!(clock.as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "client does not read")))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Slow<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Slow<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.within(context, |stream, context| stream.poll_write(context, bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.within(context, |stream, context| stream.poll_write_vectored(context, slices))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.within(context, |stream, context| stream.poll_flush(context))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.within(context, |stream, context| stream.poll_shutdown(context))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt;

    #[tokio::test]
    async fn a_client_that_does_not_read_is_let_go() {
        let (ours, theirs) = tokio::io::duplex(8);
        let waits = Waits::default();
        let mut slow = Slow::new(ours, Duration::from_millis(20), waits.clone());
        slow.write_all(b"12345678").await.unwrap();
        assert!(waits.is_idle());
        let error = slow.write_all(b"9").await.unwrap_err();
        assert!(!waits.is_idle() && !waits.any());
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        drop(theirs);
    }

    #[tokio::test]
    async fn a_client_that_reads_slowly_is_served() {
        use tokio::io::AsyncReadExt;
        let (ours, mut theirs) = tokio::io::duplex(4);
        let mut slow = Slow::new(ours, Duration::from_secs(20), Waits::default());
        let reader = tokio::spawn(async move {
            let mut all = vec![0; 40];
            theirs.read_exact(&mut all).await.map(|_| all)
        });
        slow.write_all(&[7; 40]).await.unwrap();
        assert_eq!(reader.await.unwrap().unwrap(), [7; 40]);
    }
}
