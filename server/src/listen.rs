//! The accept loop, and an end that lets running work finish.

use crate::app::App;
use crate::client_presence::watched;
use crate::connections::Connections;
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
use tower_http::add_extension::AddExtension;
use trimtab_runtime::printable::Line;

/// A request's line and headers, and what is read of a body at once.
const BUFFER_BYTES: usize = 64 << 10;
/// After a failed accept, such as one for want of file handles, the next is tried so much later.
const BREATH: Duration = Duration::from_millis(100);
/// How often a server that is being shut down looks whether work is left.
const LOOK: Duration = Duration::from_millis(50);
/// How often it is seen to that the engine is there.
const PULSE: Duration = Duration::from_millis(500);
/// How long clients may take to read what is left for them.
const READING: Duration = Duration::from_secs(5);

/// Serves an app until `shutdown`, and then until its work is done or the drain timeout is over.
///
/// While it drains, connections are still taken: `/health` says so, and new work is refused. A server whose engine has
/// ended by itself ends too, with an error.
pub async fn serve(
    listener: TcpListener,
    app: Arc<App>,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let (closing, closed) = watch::channel(());
    let tending = tokio::spawn(app.keep.clone().tend());
    if app.keep.store().is_some()
        && let Err(refusal) = app.learning().await
    {
        tracing::error!(%refusal, "adapters cannot be had");
    }
    let door = Arc::new(Door {
        router: app.router(),
        slots: Arc::new(Semaphore::new(app.settings.connections)),
        connections: Arc::default(),
        header_timeout: app.settings.header_timeout,
        read_timeout: app.settings.read_timeout,
        closed,
    });
    let stop = async {
        tokio::select! {
            () = shutdown => {}
            () = broken(&app) => {}
        }
    };
    door.accept_until(&listener, stop).await;
    let broken = app.engine.has_ended();
    match broken {
        true => tracing::error!("shutting down: the engine has ended by itself"),
        false => tracing::info!("shutting down: nothing new is taken"),
    }
    app.engine.drain(app.settings.drain_timeout);
    door.accept_until(&listener, idle(&app)).await;
    drop(listener);
    drop(door);
    // Each connection holds the door, and with it a receiver: when all have ended, or the time to wait is over, it ends.
    closing.send_replace(());
    if timeout(READING, closing.closed()).await.is_err() {
        tracing::warn!("connections were cut: their clients did not read");
    }
    tending.abort();
    app.keep.flush().await;
    match broken {
        true => Err(io::Error::other("engine has ended by itself; what it said stands above")),
        false => Ok(()),
    }
}

/// Until the engine has ended though it was not closed: a server without one is better started again.
async fn broken(app: &App) {
    while !app.engine.has_ended() {
        sleep(PULSE).await;
    }
}

/// Until nothing runs or waits, to be answered or to be learnt. The engine ends what is left when the drain timeout is over.
async fn idle(app: &App) {
    let until = Instant::now() + app.settings.drain_timeout + LOOK;
    let is_busy = || app.engine.load().present > 0 || app.learner.load().waiting > 0;
    while is_busy() && Instant::now() < until {
        sleep(LOOK).await;
    }
}

/// Where connections come in.
struct Door {
    router: Router,
    /// One for each connection that may be open.
    slots: Arc<Semaphore>,
    connections: Arc<Connections>,
    header_timeout: Duration,
    read_timeout: Duration,
    closed: watch::Receiver<()>,
}

impl Door {
    async fn accept_until(self: &Arc<Self>, listener: &TcpListener, end: impl Future<Output = ()>) {
        let mut end = pin!(end);
        loop {
            let (stream, slot) = tokio::select! {
                () = &mut end => return,
                taken = self.next(listener) => taken,
            };
            tokio::spawn(self.clone().serve(stream, slot));
        }
    }

    /// The next connection, and a slot for it, which an idle connection may have to give up.
    async fn next(&self, listener: &TcpListener) -> (TcpStream, Option<OwnedSemaphorePermit>) {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => return (stream, self.slot().await),
                Err(error) => {
                    tracing::warn!(%error, "connection was not accepted");
                    // It may be for want of file handles.
                    self.connections.make_room();
                    sleep(BREATH).await;
                }
            }
        }
    }

    async fn slot(&self) -> Option<OwnedSemaphorePermit> {
        while self.slots.available_permits() == 0 {
            // An idle connection closes at once; where none is idle, an answer has to end first.
            self.connections.make_room();
            if let Ok(slot) = timeout(BREATH, self.slots.clone().acquire_owned()).await {
                return slot.ok();
            }
        }
        // The semaphore is never closed.
        self.slots.clone().acquire_owned().await.ok()
    }

    /// Serves one connection, which has its slot until it ends.
    async fn serve(self: Arc<Self>, stream: TcpStream, _slot: Option<OwnedSemaphorePermit>) {
        let mut closed = self.closed.clone();
        // Chunks are small and each is waited for.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "connection keeps its delay");
        }
        let (socket, lookout) = watched(stream, self.read_timeout);
        let mut entry = self.connections.enter(lookout.waits().clone());
        let mut builder = Builder::new(TokioExecutor::new()).http1_only();
        builder.http1().timer(TokioTimer::new()).header_read_timeout(self.header_timeout);
        builder.http1().max_buf_size(BUFFER_BYTES);
        let router = AddExtension::new(self.router.clone(), lookout.waits().clone());
        let service = TowerToHyperService::new(router);
        let mut connection = pin!(builder.serve_connection(TokioIo::new(socket), service));
        let mut stage = Stage::Open;
        loop {
            let next = tokio::select! {
                biased;
                ended = connection.as_mut() => Next::Over(ended.err().map(|error| error.to_string())),
                gone = lookout.gone() => Next::Over(Some(format!("client left before its answer: {gone:?}"))),
                () = entry.asked_to_leave() => Next::Place,
                _ = closed.changed(), if stage == Stage::Open => Next::Close,
            };
            match next {
                Next::Over(why) => return told(why.as_deref()),
                Next::Place if lookout.waits().is_idle() => {
                    return told(Some("it gave its place up"));
                }
                // A request has come since it was asked.
                Next::Place => entry = self.connections.enter(lookout.waits().clone()),
                Next::Close => {
                    stage = Stage::Closing;
                    connection.as_mut().graceful_shutdown();
                }
            }
        }
    }
}

/// What happens to a connection next.
enum Next {
    /// It has ended, perhaps early.
    Over(Option<String>),
    /// Another connection needs its slot.
    Place,
    /// The server is being shut down.
    Close,
}

/// Logs an early end: a client that went away, or spoke no HTTP.
fn told(why: Option<&str>) {
    if let Some(why) = why {
        tracing::debug!(why = %Line(why), "connection ended early");
    }
}

/// Whether a connection takes another request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Open,
    Closing,
}
