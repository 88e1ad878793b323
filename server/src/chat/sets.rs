//! The answers of one request in sets, one set for each prompt, given to the engine a few at a time.
//!
//! A request with many prompts must not take all places in the queue. Its first set is given at once, and is turned away as any
//! request is where there is no place; the others follow as earlier ones end.

use super::{ClientRequest, Job, Sink, turned_away};
use crate::app::App;
use crate::error::ApiError;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;
use trimtab_runtime::Error;
use trimtab_runtime::engine::{Notice, Places, SubmitOptions, Ticket};
use trimtab_runtime::generate::{Flow, Generation, Group};

/// How long a full queue is left alone.
const BREATH: Duration = Duration::from_millis(20);

/// Gives later sets to the engine. Dropped, it gives no more, and those that run are cancelled.
pub(super) struct Later(JoinHandle<()>);

impl Drop for Later {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The answers to one prompt, and the number of the first.
type Set = (usize, Vec<Generation>);

/// What every set is given to the engine with.
struct SetSubmitter {
    app: Arc<App>,
    terms: SubmitOptions,
    tell: UnboundedSender<(Instant, Notice)>,
    /// A permit for each answer that may run at a time; a set that is larger than that runs alone.
    running: Arc<Semaphore>,
}

/// Gives the answers of a request to the engine: `each` to every prompt.
pub(super) fn submit(
    app: &Arc<App>,
    asker: &ClientRequest,
    (generations, each): (Vec<Generation>, usize),
) -> Result<Job, ApiError> {
    let each = each.max(1);
    let (prompts, mut generations) = (generations.len().div_ceil(each), generations.into_iter());
    let set = move |at: usize| (at * each, generations.by_ref().take(each).collect());
    let mut sets = (0..prompts).map(set);
    let set: Set = sets.next().unwrap_or_default();
    let (tell, notices) = unbounded_channel();
    let most = app.engine.options().parallel.max(each);
    let running = Arc::new(Semaphore::new(most));
    let giver = SetSubmitter { app: app.clone(), terms: asker.submit_options(app), tell, running };
    let places = app.engine.places(set.1.len()).map_err(|error| turned_away(app, error))?;
    // Nothing else has taken any yet.
    let permit = giver.running.clone().try_acquire_many_owned(set.1.len() as u32).ok();
    let ticket = giver.give(places, set, permit)?;
    let later = (prompts > 1).then(|| Later(tokio::spawn(giver.follow(sets, most))));
    Ok(Job { notices, _ticket: ticket, _later: later })
}

/// Gives answers to the engine whose tokens are chosen together.
pub(super) fn submit_group(
    app: &Arc<App>,
    asker: &ClientRequest,
    group: Group,
) -> Result<Job, ApiError> {
    let (tell, notices) = unbounded_channel();
    let sink = move |notice| match tell.send((Instant::now(), notice)) {
        Ok(()) => Flow::Continue,
        Err(_) => Flow::Cancel,
    };
    let ticket = app.engine.submit_group(group, asker.submit_options(app), sink);
    let ticket = ticket.map_err(|error| turned_away(app, error))?;
    Ok(Job { notices, _ticket: ticket, _later: None })
}

impl SetSubmitter {
    /// Each answer of the set gives its part of the permit back when it ends, or with the engine.
    fn give(
        &self,
        places: Places,
        (first, generations): Set,
        mut permit: Option<OwnedSemaphorePermit>,
    ) -> Result<Ticket, Error> {
        let tell = self.tell.clone();
        let sink: Sink = Box::new(move |notice| {
            if let (Notice::Ended { .. }, Some(permit)) = (&notice, &mut permit) {
                drop(permit.split(1));
            }
            match tell.send((Instant::now(), shifted(notice, first))) {
                Ok(()) => Flow::Continue,
                // The receiver is gone.
                Err(_) => Flow::Cancel,
            }
        });
        self.app.engine.submit_at(places, generations, self.terms.clone(), sink)
    }

    /// Gives the sets that are left, as others end. It ends when all have, so that its tickets last as long.
    async fn follow(self, sets: impl Iterator<Item = Set>, most: usize) {
        let mut tickets = Vec::new();
        for set in sets {
            let (choice, count) = (set.0, set.1.len());
            match self
                .place(count)
                .await
                .and_then(|(places, permit)| self.give(places, set, permit))
            {
                Ok(ticket) => tickets.push(ticket),
                // The reader of the notices ends the request.
                Err(error) => {
                    let notice = Notice::Ended { choice, result: Err(error) };
                    self.tell.send((Instant::now(), notice)).ok();
                    return;
                }
            }
        }
        // Nothing closes the semaphore.
        self.running.acquire_many(most as u32).await.ok();
    }

    /// Places in the queue for a set, once few enough answers run.
    async fn place(&self, count: usize) -> Result<(Places, Option<OwnedSemaphorePermit>), Error> {
        let permit = self.running.clone().acquire_many_owned(count as u32).await.ok();
        Ok((places(&self.app, count, self.terms.deadline).await?, permit))
    }
}

fn is_there(app: &App) -> Result<(), Error> {
    match app.engine.has_ended() {
        true => Err(Error::Misuse("the engine's thread has ended")),
        false => Ok(()),
    }
}

/// So many places in the queue, as soon as it has them, and before it is too late.
pub(crate) async fn places(
    app: &App,
    count: usize,
    deadline: Option<Instant>,
) -> Result<Places, Error> {
    while deadline.is_none_or(|deadline| Instant::now() < deadline) {
        is_there(app)?;
        match app.engine.places(count) {
            Err(Error::QueueFull { .. }) => tokio::time::sleep(BREATH).await,
            taken => return taken,
        }
    }
    Err(Error::Deadline)
}

/// The same notice, numbered among all answers of the request.
fn shifted(notice: Notice, by: usize) -> Notice {
    match notice {
        Notice::Admitted { choice, waited, cached } => {
            Notice::Admitted { choice: choice + by, waited, cached }
        }
        Notice::Event { choice, event } => Notice::Event { choice: choice + by, event },
        Notice::Ended { choice, result } => Notice::Ended { choice: choice + by, result },
        // A notice of a later kind.
        other => other,
    }
}
