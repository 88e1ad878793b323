//! The accept loop, and an end that lets running work finish.

use crate::app::App;
use crate::slow::Slow;
use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, sleep, timeout};

/// After a failed accept, such as one for want of file handles, the next is tried so much later.
const BREATH: Duration = Duration::from_millis(100);
/// How often a server that is being shut down looks whether work is left.
const LOOK: Duration = Duration::from_millis(50);
/// How long clients may take to read what is left for them.
const READING: Duration = Duration::from_secs(5);

/// Serves an app until `shutdown`, and then until its work is done or the drain timeout is over.
///
/// While it drains, connections are still taken: `/health` says so, and new work is refused.
pub async fn serve(
    listener: TcpListener,
    app: Arc<App>,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let (closing, closed) = watch::channel(());
    let tending = tokio::spawn(app.keep.clone().tend());
    let door = Door {
        router: app.router(),
        slots: Arc::new(Semaphore::new(app.settings.connections)),
        header_timeout: app.settings.header_timeout,
        read_timeout: app.settings.read_timeout,
        closed,
    };
    door.accept_until(&listener, shutdown).await;
    tracing::info!("shutting down: nothing new is taken");
    app.engine.drain(app.settings.drain_timeout);
    door.accept_until(&listener, idle(&app)).await;
    drop(listener);
    drop(door);
    // Each connection holds a receiver: when all have ended, or nobody may wait any longer, it is over.
    closing.send_replace(());
    if timeout(READING, closing.closed()).await.is_err() {
        tracing::warn!("connections were cut: their clients did not read");
    }
    tending.abort();
    app.keep.flush().await;
    Ok(())
}

/// Until nothing runs or waits. The engine ends what is left when the drain timeout is over.
async fn idle(app: &App) {
    let until = Instant::now() + app.settings.drain_timeout + LOOK;
    while app.engine.load().present > 0 && Instant::now() < until {
        sleep(LOOK).await;
    }
}

/// Where connections come in.
struct Door {
    router: Router,
    /// One for each connection that may be open.
    slots: Arc<Semaphore>,
    header_timeout: Duration,
    read_timeout: Duration,
    closed: watch::Receiver<()>,
}

impl Door {
    async fn accept_until(&self, listener: &TcpListener, end: impl Future<Output = ()>) {
        let mut end = pin!(end);
        loop {
            let (stream, slot) = tokio::select! {
                () = &mut end => return,
                taken = self.next(listener) => taken,
            };
            let connection = Connection {
                router: self.router.clone(),
                header_timeout: self.header_timeout,
                read_timeout: self.read_timeout,
                closed: self.closed.clone(),
                _slot: slot,
            };
            tokio::spawn(connection.run(stream));
        }
    }

    /// The next connection, once there is a slot for it.
    async fn next(&self, listener: &TcpListener) -> (TcpStream, Option<OwnedSemaphorePermit>) {
        // The semaphore is never closed.
        let slot = self.slots.clone().acquire_owned().await.ok();
        loop {
            match listener.accept().await {
                Ok((stream, _)) => return (stream, slot),
                Err(error) => {
                    tracing::warn!(%error, "connection was not accepted");
                    sleep(BREATH).await;
                }
            }
        }
    }
}

/// One client's connection.
struct Connection {
    router: Router,
    header_timeout: Duration,
    read_timeout: Duration,
    closed: watch::Receiver<()>,
    _slot: Option<OwnedSemaphorePermit>,
}

impl Connection {
    async fn run(mut self, stream: TcpStream) {
        // Chunks are small and each is waited for.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "connection keeps its delay");
        }
        let mut builder = Builder::new(TokioExecutor::new()).http1_only();
        builder.http1().timer(TokioTimer::new()).header_read_timeout(self.header_timeout);
        let service = TowerToHyperService::new(self.router.clone());
        let stream = Slow::new(stream, self.read_timeout);
        let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            _ = self.closed.changed() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            // A client that went away, or spoke no HTTP.
            tracing::debug!(%error, "connection ended early");
        }
    }
}
