//! The answers of one request in sets, one set for each prompt, given to the engine a few at a time.
//!
//! A request with many prompts must not take all places in the queue. Its first set is given at once, and is turned away as any
//! request is where there is no place; the others follow as earlier ones end.

use super::{Asker, Job, Sink, turned_away};
use crate::app::App;
use crate::refusal::Refusal;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use trimtab_runtime::Error;
use trimtab_runtime::engine::{Notice, Places, Terms, Ticket};
use trimtab_runtime::generate::{Flow, Generation};

/// How long a full queue is left alone.
const BREATH: Duration = Duration::from_millis(20);
/// How often it is seen to that the engine is there.
const PULSE: Duration = Duration::from_millis(500);

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
struct Giver {
    app: Arc<App>,
    terms: Terms,
    tell: UnboundedSender<(Instant, Notice)>,
    /// Hears of each answer that ends.
    ended: UnboundedSender<()>,
}

/// Gives the answers of a request to the engine: `each` to every prompt.
pub(super) fn submit(
    app: &Arc<App>,
    asker: &Asker,
    (mut generations, each): (Vec<Generation>, usize),
) -> Result<Job, Refusal> {
    let mut sets: VecDeque<Set> = VecDeque::new();
    let mut first = 0;
    while generations.len() > each.max(1) {
        let rest = generations.split_off(each.max(1));
        sets.push_back((first, std::mem::replace(&mut generations, rest)));
        first += each.max(1);
    }
    sets.push_back((first, generations));
    let (tell, notices) = unbounded_channel();
    let (ended, heard) = unbounded_channel();
    let giver = Giver { app: app.clone(), terms: asker.terms(app), tell, ended };
    let set = sets.pop_front().unwrap_or_default();
    let running = set.1.len();
    let places = app.engine.places(running).map_err(|error| turned_away(app, error))?;
    let ticket = giver.give(places, set)?;
    let later = (!sets.is_empty()).then(|| Later(tokio::spawn(giver.follow(sets, heard, running))));
    Ok(Job { notices, _ticket: ticket, _later: later })
}

impl Giver {
    fn give(&self, places: Places, (first, generations): Set) -> Result<Ticket, Error> {
        let (tell, ended) = (self.tell.clone(), self.ended.clone());
        let sink: Sink = Box::new(move |notice| {
            if matches!(notice, Notice::Ended { .. }) {
                // Nobody waits for it behind the last set.
                ended.send(()).ok();
            }
            match tell.send((Instant::now(), shifted(notice, first))) {
                Ok(()) => Flow::Continue,
                // Nobody listens any more.
                Err(_) => Flow::Cancel,
            }
        });
        self.app.engine.submit_at(places, generations, self.terms.clone(), sink)
    }

    /// Gives the sets that are left, as others end. It ends when all have, so that its tickets last as long.
    async fn follow(self, sets: VecDeque<Set>, ended: UnboundedReceiver<()>, running: usize) {
        let choice = sets.front().map_or(0, |set| set.0);
        if let Err(error) = self.give_all(sets, ended, running).await {
            // Whoever reads the notices ends the request.
            let notice = Notice::Ended { choice, result: Err(error) };
            self.tell.send((Instant::now(), notice)).ok();
        }
    }

    async fn give_all(
        &self,
        mut sets: VecDeque<Set>,
        mut ended: UnboundedReceiver<()>,
        mut running: usize,
    ) -> Result<(), Error> {
        let most = self.app.engine.options().parallel;
        let mut tickets = Vec::with_capacity(sets.len());
        while let Some(set) = sets.pop_front() {
            while running > 0 && running + set.1.len() > most {
                self.one_ends(&mut ended).await?;
                running -= 1;
            }
            let places = places(&self.app, set.1.len(), self.terms.deadline).await?;
            running += set.1.len();
            tickets.push(self.give(places, set)?);
        }
        while running > 0 {
            self.one_ends(&mut ended).await?;
            running -= 1;
        }
        Ok(())
    }

    /// Waits for an answer to end. An engine that has ended by itself has told nobody.
    async fn one_ends(&self, ended: &mut UnboundedReceiver<()>) -> Result<(), Error> {
        while timeout(PULSE, ended.recv()).await.is_err() {
            is_there(&self.app)?;
        }
        Ok(())
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
