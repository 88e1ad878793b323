//! The bounds on preparation: reading, rendering and tokenising what people send.
//!
//! It comes before the engine's queue, so the queue does not bound it. Few texts are prepared at a time, and long ones not in
//! the place of short ones: a long text takes seconds, and a short question must not wait behind it. Bodies take memory
//! while they come and while they wait, so there is a limit for all of them together; the first bytes of each are free, so
//! that long bodies cannot keep short ones out.
//!
//! Long texts are prepared on a few threads of their own. The allocator keeps what a thread has freed for that thread, and a
//! megabyte of text leaves tens of megabytes: on the many threads of the shared pool that would add up.

use crate::error::ApiError;
use crate::wire::error::Code;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;

/// Bytes of a body that is short, and that are free of every body.
const SHORT_BYTES: usize = 64 << 10;
/// Bytes that all bodies together hold at most beside the free ones, or so many of the longest bodies.
const MOST_HELD_BYTES: usize = 64 << 20;
const MOST_LONGEST: usize = 8;
/// Short and long texts that wait for their turn.
const SHORT_WAITING: usize = 256;
const LONG_WAITING: usize = 16;
/// Texts that are prepared at a time, however many cores there are.
const MOST_TURNS: usize = 8;
/// How long a thread for long texts waits for the next one before it ends.
const THREAD_IDLE: Duration = Duration::from_secs(3600);

/// The bounds of a server.
pub(crate) struct Preparation {
    short: Lane,
    long: Lane,
    threads: Threads,
    /// Pieces of [`SHORT_BYTES`].
    held: Arc<Semaphore>,
}

/// Texts of one length: some are prepared, and some wait for that.
struct Lane {
    places: Arc<Semaphore>,
    turns: Arc<Semaphore>,
}

/// A turn to prepare a text. It belongs to the thread that does, not to the client that waits for it.
pub(crate) struct Turn {
    _place: OwnedSemaphorePermit,
    _turn: OwnedSemaphorePermit,
    on: Handle,
}

/// The threads that long texts are prepared on.
struct Threads(Option<Runtime>);

/// What a body holds of the memory for all of them.
pub(crate) struct Held {
    from: Arc<Semaphore>,
    pieces: usize,
    permits: Option<OwnedSemaphorePermit>,
}

fn busy() -> ApiError {
    ApiError::new(Code::Busy, "too many texts are being read; try again")
}

impl Lane {
    fn new(turns: usize, waiting: usize) -> Lane {
        let places = Arc::new(Semaphore::new(turns + waiting));
        Lane { places, turns: Arc::new(Semaphore::new(turns)) }
    }

    async fn turn(&self, on: Handle) -> Result<Turn, ApiError> {
        let place = self.places.clone().try_acquire_owned().map_err(|_| busy())?;
        let turn = self.turns.clone().acquire_owned().await;
        Ok(Turn { _place: place, _turn: turn.map_err(|error| ApiError::failed(&error))?, on })
    }
}

impl Turn {
    /// Does the work on a thread that may wait. The turn is given back when the work is done, whether or not the caller is
    /// still there.
    pub(crate) fn run<T: Send + 'static>(
        self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> JoinHandle<T> {
        let on = self.on.clone();
        on.spawn_blocking(move || {
            let _turn = self;
            work()
        })
    }
}

impl Threads {
    fn new(most: usize) -> Threads {
        // Of this runtime only the pool for blocking work is used, so nothing drives it.
        let mut builder = Builder::new_current_thread();
        builder.thread_name("long-texts").max_blocking_threads(most).thread_keep_alive(THREAD_IDLE);
        // Where it cannot be had, the shared pool does the work.
        Threads(builder.build().ok())
    }

    fn handle(&self) -> Handle {
        self.0.as_ref().map_or_else(Handle::current, |runtime| runtime.handle().clone())
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        // To wait for its threads, as a runtime that is dropped does, is not allowed in async code.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl Preparation {
    /// The bounds for bodies of at most so many bytes, on a machine with so many cores.
    pub(crate) fn new(max_body: usize, cores: usize) -> Preparation {
        let turns = cores.clamp(2, MOST_TURNS);
        let held = MOST_HELD_BYTES.max(max_body.saturating_mul(MOST_LONGEST)) / SHORT_BYTES;
        Preparation {
            short: Lane::new(turns, SHORT_WAITING),
            long: Lane::new(turns / 2, LONG_WAITING),
            threads: Threads::new(turns / 2),
            held: Arc::new(Semaphore::new(held.min(Semaphore::MAX_PERMITS))),
        }
    }

    /// A turn for a text of so many bytes, once there is one. Where too many wait, none.
    pub(crate) async fn turn(&self, bytes: usize) -> Result<Turn, ApiError> {
        match bytes {
            ..=SHORT_BYTES => self.short.turn(Handle::current()).await,
            _ => self.long.turn(self.threads.handle()).await,
        }
    }

    /// What a body holds before it comes.
    pub(crate) fn hold(&self) -> Held {
        Held { from: self.held.clone(), pieces: 0, permits: None }
    }
}

impl Held {
    /// The body has so many bytes by now; where all bodies together have too many, it is not read on.
    pub(crate) fn grow(&mut self, bytes: usize) -> Result<(), ApiError> {
        let pieces = bytes.saturating_sub(1) / SHORT_BYTES;
        let more = u32::try_from(pieces.saturating_sub(self.pieces)).map_err(|_| busy())?;
        if more > 0 {
            let more = self.from.clone().try_acquire_many_owned(more).map_err(|_| busy())?;
            match &mut self.permits {
                Some(permits) => permits.merge(more),
                None => self.permits = Some(more),
            }
            self.pieces = pieces;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn long_texts_wait_for_each_other_and_short_ones_do_not() {
        let bounds = Preparation::new(1 << 20, 2);
        let long = bounds.turn(SHORT_BYTES + 1).await.unwrap();
        let second = bounds.turn(1 << 20);
        assert!(tokio::time::timeout(Duration::from_millis(20), second).await.is_err());
        let short = (bounds.turn(SHORT_BYTES).await.unwrap(), bounds.turn(0).await.unwrap());
        drop(long);
        bounds.turn(1 << 20).await.unwrap();
        drop(short);
    }

    #[tokio::test]
    async fn a_line_that_is_too_long_is_told_to_come_again() {
        let lane = Lane::new(1, 1);
        let first = lane.turn(Handle::current()).await.unwrap();
        let mut second = Box::pin(lane.turn(Handle::current()));
        assert!(tokio::time::timeout(Duration::from_millis(5), second.as_mut()).await.is_err());
        let refusal = lane.turn(Handle::current()).await.err().unwrap();
        assert_eq!((refusal.code, refusal.retry_after), (Code::Busy, Some(1)));
        drop(first);
        second.await.unwrap();
    }

    #[tokio::test]
    async fn long_texts_share_one_thread_where_they_have_one_turn() {
        let bounds = Preparation::new(1 << 20, 2);
        let on = async |bytes| {
            let turn = bounds.turn(bytes).await.unwrap();
            turn.run(|| std::thread::current().id()).await.unwrap()
        };
        let here = std::thread::current().id();
        let (first, second) = (on(1 << 20).await, on(1 << 20).await);
        assert_eq!(first, second);
        assert!(first != here && first != on(0).await);
    }

    #[test]
    fn bodies_share_a_memory_and_begin_free() {
        let bounds = Preparation::new(64 << 20, 2);
        let all = MOST_LONGEST * (64 << 20);
        let mut first = bounds.hold();
        first.grow(SHORT_BYTES).unwrap();
        assert_eq!(bounds.held.available_permits(), all / SHORT_BYTES);
        first.grow(all).unwrap();
        first.grow(all).unwrap();
        let mut second = bounds.hold();
        second.grow(SHORT_BYTES).unwrap();
        second.grow(2 * SHORT_BYTES).unwrap();
        assert_eq!(second.grow(3 * SHORT_BYTES).unwrap_err().code, Code::Busy);
        drop(first);
        second.grow(3 * SHORT_BYTES).unwrap();
    }
}
