//! The engine: one thread that owns the device and runs all answers together.
//!
//! A caller makes a [`Generation`] and gives it away with a sink for what comes of
//! it. The thread runs the same rounds as [`run`](crate::generate::run): between two rounds it takes new answers in,
//! drops those whose ticket is gone, and gives places and blocks to those that wait. An answer's tokens do not depend on
//! the others.
//!
//! Places are bounded: when as many answers run and wait as there are places, the next one is told so at once. Prompts run
//! in chunks beside the others' decode steps. When the pool has no block left, the answer that came last gives its keys and
//! values up and has them made again later, which changes no bit of it. Answers of a [`Group`] come and go back together, and
//! count as many as they are.
//!
//! ```
//! use std::sync::mpsc;
//! use trimtab_runtime::engine::{Engine, EngineOptions, Notice, SubmitOptions};
//! use trimtab_runtime::generate::{Flow, Generation, Request};
//! use trimtab_runtime::{plan::Plan, session::Session, testing::tiny};
//!
//! let decoder = tiny::decoder()?;
//! let pool = decoder.pool(1024)?;
//! let engine = Engine::start(decoder.clone(), pool.clone(), EngineOptions::default())?;
//! let mut session = Session::new(decoder, &pool, Plan::empty())?;
//! session.push_prompt(&[1, 2, 3])?;
//! let request = Request { max_tokens: Some(4), ..Request::default() };
//! let answer = Generation::new(session, tiny::tokenizer()?, request)?;
//! let (tell, told) = mpsc::channel();
//! let ticket = engine.submit(vec![answer], SubmitOptions::default(), move |notice| {
//!     if let Notice::Ended { result, .. } = notice {
//!         tell.send(result).ok(); // who does not listen needs no answer
//!     }
//!     Flow::Continue
//! })?;
//! assert!(!told.recv().unwrap()?.tokens.is_empty());
//! drop(ticket);
//! # Ok::<(), trimtab_runtime::Error>(())
//! ```

mod job;
mod load;
mod queue;
mod scheduler;

#[cfg(test)]
mod tests;

pub use job::{Notice, SubmitOptions};
pub use load::Load;

use crate::decoder::Decoder;
use crate::error::{Error, Result};
use crate::generate::{Flow, Generation, Group, Lockstep};
use crate::kv::{BLOCK_LEN, KvPool};
use crate::read::{Read, ReadTask, Reducer};
use crate::session::{DEFAULT_CHUNK, Session};
use job::{Job, Work};
use load::Counts;
use scheduler::Scheduler;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How an engine shares the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EngineOptions {
    /// Answers that run together.
    pub parallel: usize,
    /// Answers that may wait beside them.
    pub queue: usize,
    /// Prompt tokens of one pass. While others decode, a quarter of it, so that they are not held up for long.
    pub chunk: usize,
}

impl Default for EngineOptions {
    fn default() -> Self {
        EngineOptions { parallel: 4, queue: 64, chunk: DEFAULT_CHUNK }
    }
}

impl EngineOptions {
    fn check(&self) -> Result<()> {
        let none =
            |field| Error::Invalid { field, problem: "is 0, at least 1 is needed".to_owned() };
        match (self.parallel, self.chunk) {
            (0, _) => Err(none("parallel")),
            (_, 0) => Err(none("batch-size")),
            _ => Ok(()),
        }
    }
}

/// Everything the thread can be asked for.
enum Command {
    /// Run these, which belong together.
    Enter(Vec<Job>),
    /// The job's ticket was dropped.
    Cancel(u64),
    /// Take nothing new, and end what still runs at this time.
    Close(Instant),
}

/// What the thread and its callers both see.
struct Shared {
    /// Answers that run or wait.
    present: AtomicUsize,
    closing: AtomicBool,
    counts: Counts,
}

/// Places of an engine for answers that are still to be given to it. Dropped, they are free again.
pub struct Places {
    shared: Arc<Shared>,
    count: usize,
}

impl Drop for Places {
    fn drop(&mut self) {
        self.shared.present.fetch_sub(self.count, Ordering::AcqRel);
    }
}

/// A thread that runs answers together. Dropping it ends them all.
pub struct Engine {
    decoder: Arc<Decoder>,
    pool: KvPool,
    options: EngineOptions,
    shared: Arc<Shared>,
    commands: Sender<Command>,
    jobs: AtomicU64,
    thread: Option<JoinHandle<()>>,
}

impl Engine {
    /// Starts the thread.
    pub fn start(decoder: Arc<Decoder>, pool: KvPool, options: EngineOptions) -> Result<Engine> {
        options.check()?;
        let shared = Arc::new(Shared {
            present: AtomicUsize::new(0),
            closing: AtomicBool::new(false),
            counts: Counts::default(),
        });
        let (commands, received) = channel();
        let worker = Scheduler::new(received, pool.clone(), options, shared.clone());
        let thread = std::thread::Builder::new().name("trimtab-engine".to_owned());
        let thread = thread
            .spawn(move || worker.run())
            .map_err(|source| Error::Io { path: "thread trimtab-engine".to_owned(), source })?;
        let jobs = AtomicU64::new(0);
        let thread = Some(thread);
        Ok(Engine { decoder, pool, options, shared, commands, jobs, thread })
    }

    /// Runs answers to one prompt. Events come to the sink on the engine's thread, which waits while it runs.
    ///
    /// Answers after the first wait until its prompt is through and then share it. A full line is
    /// [`Error::QueueFull`]; several answers take several places.
    pub fn submit(
        &self,
        generations: Vec<Generation>,
        terms: SubmitOptions,
        sink: impl FnMut(Notice) -> Flow + Send + 'static,
    ) -> Result<Ticket> {
        let places = self.places(generations.len())?;
        self.submit_at(places, generations, terms, sink)
    }

    /// Runs answers whose tokens a sampler chooses together, as [`run_group`](crate::generate::run_group) does: all of them
    /// at once, each in a place of its own. With a prefix space they share their prompt.
    ///
    /// A group that can never run is refused: one of more answers than run together, or one whose prompts do not fit the
    /// pool together. Where answers at their longest would not, they share the pool and each ends as full at its part.
    pub fn submit_group(
        &self,
        group: Group,
        terms: SubmitOptions,
        sink: impl FnMut(Notice) -> Flow + Send + 'static,
    ) -> Result<Ticket> {
        let places = self.places(group.generations.len())?;
        self.submit_group_at(places, group, terms, sink)
    }

    /// As [`submit_group`](Engine::submit_group), in places that were taken before: as many as there are answers.
    pub fn submit_group_at(
        &self,
        places: Places,
        group: Group,
        terms: SubmitOptions,
        sink: impl FnMut(Notice) -> Flow + Send + 'static,
    ) -> Result<Ticket> {
        let Group { mut generations, sampler } = group;
        self.check_places(&places, generations.len())?;
        self.fit_group(&mut generations, &terms)?;
        let job = self.next_job();
        let lockstep = Lockstep::new(job, generations.len(), sampler);
        let seats = Job::row(job, self.answers(generations)?, terms, Box::new(sink));
        self.seat(places, Job::led(seats, Some(lockstep)).into_iter().collect())
    }

    fn fit_group(&self, generations: &mut [Generation], terms: &SubmitOptions) -> Result<()> {
        let answers = generations.len();
        let refuse = |problem| Err(Error::Invalid { field: "group", problem });
        if answers > self.options.parallel {
            let parallel = self.options.parallel;
            return refuse(format!("has {answers} answers, the engine runs {parallel} at a time"));
        }
        let shared = terms.space.as_ref().map_or(0, |_| shared_prompt(generations) / BLOCK_LEN);
        let blocks = |tokens: usize| tokens.div_ceil(BLOCK_LEN).saturating_sub(shared);
        let least = |g: &Generation| blocks(g.session().len() + 1);
        let needed = generations.iter().map(least).sum::<usize>() + shared;
        let most = generations.iter().map(|g| blocks(g.most())).sum::<usize>() + shared;
        let pool = self.pool.usage().blocks;
        if needed > pool {
            return refuse(format!(
                "of {answers} answers needs {needed} key-value blocks, the pool has {pool}"
            ));
        }
        if most > pool {
            let each = (pool - needed) / answers.max(1);
            let room = |g: &Generation| (shared + least(g) + each) * BLOCK_LEN;
            generations.iter_mut().for_each(|g| g.set_room(room(g)));
        }
        Ok(())
    }

    fn answers(&self, generations: Vec<Generation>) -> Result<Vec<Work>> {
        let ours = |g: &Generation| Arc::ptr_eq(g.session().decoder(), &self.decoder);
        if !generations.iter().all(ours) {
            return Err(Error::Misuse("an engine runs answers of its own model"));
        }
        Ok(generations.into_iter().map(|g| Work::Answer(Box::new(g))).collect())
    }

    /// Takes places before there is anything to give them to: a full line is told before answers are given away.
    pub fn places(&self, count: usize) -> Result<Places> {
        if self.is_draining() {
            return Err(Error::Draining);
        }
        self.take_places(count)?;
        Ok(Places { shared: self.shared.clone(), count })
    }

    /// As [`submit`](Engine::submit), in places that were taken before: as many as there are answers.
    pub fn submit_at(
        &self,
        places: Places,
        generations: Vec<Generation>,
        terms: SubmitOptions,
        sink: impl FnMut(Notice) -> Flow + Send + 'static,
    ) -> Result<Ticket> {
        self.check_places(&places, generations.len())?;
        let work = self.answers(generations)?;
        let seats = Job::row(self.next_job(), work, terms, Box::new(sink));
        let seats = match seats.iter().all(Job::shares) {
            true => Job::led(seats, None).into_iter().collect(),
            false => seats,
        };
        self.seat(places, seats)
    }

    /// Runs reads in the rounds of the answers, and reports the result of each with its index. Reducers and `report` run on
    /// the engine's thread, which waits meanwhile. A read takes one place, however many sequences it has.
    ///
    /// Of a cancelled read nothing is reported.
    pub fn read<R: Reducer>(
        &self,
        reads: Vec<(Read, R)>,
        terms: SubmitOptions,
        report: impl FnMut(usize, Result<R::Output>) + Send + 'static,
    ) -> Result<Ticket> {
        let places = self.places(reads.len())?;
        self.read_at(places, reads, terms, report)
    }

    /// As [`read`](Engine::read), in places that were taken before: as many as there are reads.
    pub fn read_at<R: Reducer>(
        &self,
        places: Places,
        reads: Vec<(Read, R)>,
        terms: SubmitOptions,
        report: impl FnMut(usize, Result<R::Output>) + Send + 'static,
    ) -> Result<Ticket> {
        self.check_places(&places, reads.len())?;
        let ours = |session: &Session| Arc::ptr_eq(session.decoder(), &self.decoder);
        if !reads.iter().flat_map(|(read, _)| read.sessions()).all(ours) {
            return Err(Error::Misuse("an engine reads sequences of its own model"));
        }
        let report = Arc::new(Mutex::new(report));
        let work = reads.into_iter().enumerate().map(|(index, (read, reducer))| {
            let report = report.clone();
            let report = move |result| {
                let mut report = report.lock().unwrap_or_else(PoisonError::into_inner);
                report(index, result);
            };
            Work::Read(Box::new(ReadTask::new(read, reducer, report)))
        });
        // What a read comes to is reported by its task.
        let seats = Job::row(self.next_job(), work.collect(), terms, Box::new(|_| Flow::Continue));
        self.seat(places, seats)
    }

    fn next_job(&self) -> u64 {
        self.jobs.fetch_add(1, Ordering::Relaxed)
    }

    fn check_places(&self, places: &Places, count: usize) -> Result<()> {
        match places.count == count && Arc::ptr_eq(&places.shared, &self.shared) {
            true => Ok(()),
            false => Err(Error::Misuse("a job needs a place of this engine for each answer")),
        }
    }

    fn seat(&self, mut places: Places, seats: Vec<Job>) -> Result<Ticket> {
        let Some(job) = seats.first().map(|seat| seat.note.job) else {
            return Err(Error::Misuse("a job needs at least one answer"));
        };
        if self.is_draining() {
            return Err(Error::Draining);
        }
        if self.commands.send(Command::Enter(seats)).is_err() {
            return Err(Error::Misuse("the engine's thread has ended"));
        }
        // From here on they are the answers', and free when these end.
        places.count = 0;
        Ok(Ticket { job, commands: self.commands.clone() })
    }

    /// A job larger than all places is let in when no other is there.
    fn take_places(&self, count: usize) -> Result<()> {
        let places = self.options.parallel + self.options.queue;
        let fits = |present: usize| present == 0 || present + count <= places;
        let taken =
            self.shared.present.fetch_update(Ordering::AcqRel, Ordering::Acquire, |present| {
                fits(present).then_some(present + count)
            });
        taken.map(drop).map_err(|_| Error::QueueFull { places })
    }

    /// What is going on.
    pub fn load(&self) -> Load {
        self.shared.counts.load(self.pool.usage(), self.shared.present.load(Ordering::Acquire))
    }

    /// How it shares the device.
    pub fn options(&self) -> EngineOptions {
        self.options
    }

    /// Takes nothing new from here on; what runs and waits has this long to end. Returns at once.
    pub fn drain(&self, patience: Duration) {
        self.shared.closing.store(true, Ordering::Release);
        // A thread that has ended has nothing left to drain.
        self.commands.send(Command::Close(Instant::now() + patience)).ok();
    }

    /// Whether it takes nothing new any more.
    pub fn is_draining(&self) -> bool {
        self.shared.closing.load(Ordering::Acquire)
    }

    /// Whether its thread has ended: after it was drained, or because something in it has panicked.
    pub fn has_ended(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Drains, and waits for the thread to end.
    pub fn close(mut self, patience: Duration) {
        self.drain(patience);
        self.join();
    }

    fn join(&mut self) {
        if let Some(thread) = self.thread.take() {
            // Its panic has been printed; the callers' sinks are gone with it.
            thread.join().ok();
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if self.thread.is_some() {
            self.drain(Duration::ZERO);
            self.join();
        }
    }
}

/// Tokens that the prompts of these have in common, less the last, if one's keys and values can be another's.
fn shared_prompt(generations: &[Generation]) -> usize {
    let mut sessions = generations.iter().map(Generation::session);
    let Some(first) = sessions.next() else { return 0 };
    let alike = |other: &Session| {
        let same = other.is_stateless() && other.plan().fingerprint() == first.plan().fingerprint();
        let equal = first.tokens().iter().zip(other.tokens()).take_while(|(a, b)| a == b).count();
        if same { equal.min(first.len() - 1).min(other.len() - 1) } else { 0 }
    };
    sessions.map(alike).min().unwrap_or(0)
}

/// A caller's hold on a job: dropped before its end, the job is cancelled.
#[must_use = "dropping it cancels the job"]
pub struct Ticket {
    job: u64,
    commands: Sender<Command>,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        // A job that has ended, or an engine that has, needs no word.
        self.commands.send(Command::Cancel(self.job)).ok();
    }
}
