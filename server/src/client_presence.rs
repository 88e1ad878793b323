//! Whether the client of a connection is still there while it waits for an answer, and reads it.
//!
//! hyper looks for the end of a connection only while its read buffer is empty, so one byte behind a request's body hides a
//! client that has left until its answer is written. Here the socket is read beside hyper, while a client does nothing
//! but wait: what comes is kept for hyper, and an end is noticed whatever came before it.
//!
//! A client that shuts down its writing half only looks the same as one that has left, and is taken for it. One that asks and
//! never reads would hold its connection for ever, so a write that waits too long ends it.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::{Sleep, sleep};

/// Bytes that are kept for hyper. A client that sends more behind a request before it has its answer is let go:
/// nothing else would show that it has left.
const MOST_AHEAD_BYTES: usize = 64 << 10;
/// Bytes that are read at once.
const PIECE_BYTES: usize = 4 << 10;

/// How many answers the client of a connection waits for, and what else keeps the connection from being idle.
#[derive(Debug, Clone, Default)]
pub(crate) struct Waits(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    waits: AtomicUsize,
    works: AtomicUsize,
}

impl Waits {
    /// A request has come whole, and its client has nothing to do but wait until this is dropped.
    pub(crate) fn begin(&self) -> Wait {
        self.0.waits.fetch_add(1, Ordering::AcqRel);
        Wait(self.clone())
    }

    /// Whether there is one.
    pub(crate) fn any(&self) -> bool {
        self.0.waits.load(Ordering::Acquire) > 0
    }

    /// Something is done for the client until this is dropped, and whether it is still there is not looked at.
    pub(crate) fn work(&self) -> Work {
        self.0.works.fetch_add(1, Ordering::AcqRel);
        Work(self.clone())
    }

    /// Whether the connection can be closed without cutting an answer.
    pub(crate) fn is_idle(&self) -> bool {
        !self.any() && self.0.works.load(Ordering::Acquire) == 0
    }
}

#[derive(Debug)]
pub(crate) struct Wait(Waits);

impl Drop for Wait {
    fn drop(&mut self) {
        self.0.0.waits.fetch_sub(1, Ordering::AcqRel);
    }
}

/// One request without a body, or one write.
#[derive(Debug)]
pub(crate) struct Work(Waits);

impl Drop for Work {
    fn drop(&mut self) {
        self.0.0.works.fetch_sub(1, Ordering::AcqRel);
    }
}

/// How a client was seen to have gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gone {
    /// It sends no more.
    Closed,
    /// It sends more than is kept.
    Floods,
}

/// The reading half, and what was read of it ahead of hyper.
struct Reader {
    half: OwnedReadHalf,
    ahead: Vec<u8>,
}

/// A socket as hyper uses it.
pub(crate) struct Socket {
    reader: Arc<Mutex<Reader>>,
    writer: OwnedWriteHalf,
    /// How long a write may wait.
    patience: Duration,
    /// Running while a write waits.
    clock: Option<Pin<Box<Sleep>>>,
    waits: Waits,
    /// While a write waits, the connection is not idle.
    work: Option<Work>,
}

/// The same socket, as it is watched beside hyper. Both belong to one task.
pub(crate) struct Lookout {
    reader: Arc<Mutex<Reader>>,
    waits: Waits,
}

/// A socket, and what watches it. A write may wait for its reader so long.
pub(crate) fn watched(stream: TcpStream, patience: Duration) -> (Socket, Lookout) {
    let (half, writer) = stream.into_split();
    let reader = Arc::new(Mutex::new(Reader { half, ahead: Vec::new() }));
    let waits = Waits::default();
    let lookout = Lookout { reader: reader.clone(), waits: waits.clone() };
    (Socket { reader, writer, patience, clock: None, waits, work: None }, lookout)
}

/// Nothing between taking this lock and giving it back can panic halfway.
fn lock(reader: &Mutex<Reader>) -> MutexGuard<'_, Reader> {
    reader.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Reader {
    fn poll_read(&mut self, context: &mut Context, buffer: &mut ReadBuf) -> Poll<io::Result<()>> {
        if self.ahead.is_empty() {
            return Pin::new(&mut self.half).poll_read(context, buffer);
        }
        let count = self.ahead.len().min(buffer.remaining());
        buffer.put_slice(self.ahead.get(..count).unwrap_or_default());
        self.ahead.drain(..count);
        Poll::Ready(Ok(()))
    }

    fn poll_gone(&mut self, context: &mut Context) -> Poll<Gone> {
        while self.ahead.len() < MOST_AHEAD_BYTES {
            let mut piece = [0; PIECE_BYTES];
            let mut buffer = ReadBuf::new(&mut piece);
            match ready!(Pin::new(&mut self.half).poll_read(context, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => {
                    self.ahead.extend_from_slice(buffer.filled());
                }
                Ok(()) | Err(_) => return Poll::Ready(Gone::Closed),
            }
        }
        Poll::Ready(Gone::Floods)
    }
}

impl Lookout {
    /// What the requests of the connection count their waiting with.
    pub(crate) fn waits(&self) -> &Waits {
        &self.waits
    }

    /// Until the client goes while it waits. Polled after hyper, in the same task, which is woken whenever a wait begins.
    pub(crate) async fn gone(&self) -> Gone {
        std::future::poll_fn(|context| match self.waits.any() {
            true => lock(&self.reader).poll_gone(context),
            false => Poll::Pending,
        })
        .await
    }
}

impl Socket {
    /// What a write gave, or an error once it has waited too long.
    fn within<T>(
        &mut self,
        context: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut OwnedWriteHalf>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if let Poll::Ready(done) = write(Pin::new(&mut self.writer), context) {
            (self.clock, self.work) = (None, None);
            return Poll::Ready(done);
        }
        self.work.get_or_insert_with(|| self.waits.work());
        let clock = self.clock.get_or_insert_with(|| Box::pin(sleep(self.patience)));
        ready!(clock.as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "client does not read")))
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        lock(&self.reader).poll_read(context, buffer)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.within(context, |writer, context| writer.poll_write(context, bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.within(context, |writer, context| writer.poll_write_vectored(context, slices))
    }

    fn is_write_vectored(&self) -> bool {
        self.writer.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.within(context, |writer, context| writer.poll_flush(context))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.within(context, |writer, context| writer.poll_shutdown(context))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    /// More than the system keeps for a reader.
    const LONG: usize = 64 << 20;

    async fn pair(patience: Duration) -> ((Socket, Lookout), TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (watched(listener.accept().await.unwrap().0, patience), client)
    }

    #[tokio::test]
    async fn a_client_that_does_not_read_is_let_go() {
        let ((mut socket, lookout), client) = pair(Duration::from_millis(20)).await;
        socket.write_all(b"12345678").await.unwrap();
        assert!(lookout.waits().is_idle());
        let error = socket.write_all(&vec![0; LONG]).await.unwrap_err();
        assert!(!lookout.waits().is_idle() && !lookout.waits().any());
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        drop(client);
    }

    #[tokio::test]
    async fn a_client_that_reads_slowly_is_served() {
        let ((mut socket, lookout), mut client) = pair(Duration::from_secs(20)).await;
        let reader = tokio::spawn(async move {
            let mut all = vec![0; LONG];
            client.read_exact(&mut all).await.map(|_| all)
        });
        socket.write_all(&vec![7; LONG]).await.unwrap();
        assert!(reader.await.unwrap().unwrap().iter().all(|byte| *byte == 7));
        assert!(lookout.waits().is_idle());
    }
}
