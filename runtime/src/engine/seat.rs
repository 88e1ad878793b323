//! What waits or runs: one answer or one read, with whom to tell.

use crate::error::{Error, Result, contain};
use crate::fingerprint::Fingerprint;
use crate::generate::{Answer, Event, Flow, Generation};
use crate::kv::BLOCK_LEN;
use crate::read::ReadTask;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// On what terms a job runs.
#[derive(Debug, Clone, Default)]
pub struct Terms {
    /// What a prompt's keys and values may be shared within; `None` shares nothing. See
    /// [`Model::prefix_space`](crate::Model::prefix_space).
    pub space: Option<Fingerprint>,
    /// Who asks. Owners take turns, however much each of them asks for.
    pub owner: u64,
    /// When it is too late.
    pub deadline: Option<Instant>,
}

/// Something that happened to a job.
#[derive(Debug)]
#[non_exhaustive]
pub enum Notice {
    /// It has a place; its first pass comes next.
    Admitted {
        /// Which of the job's answers.
        choice: usize,
        /// How long it waited.
        waited: Duration,
        /// Prompt tokens whose keys and values were there already.
        cached: usize,
    },
    /// Its answer unfolds.
    Event {
        /// Which of the job's answers.
        choice: usize,
        /// What happened.
        event: Event,
    },
    /// Its answer has ended; the last notice of this choice.
    Ended {
        /// Which of the job's answers.
        choice: usize,
        /// The answer.
        result: Result<Answer>,
    },
}

/// Whom a job tells.
type Sink = Box<dyn FnMut(Notice) -> Flow + Send>;

/// What a seat is for.
pub(super) enum Work {
    Answer(Box<Generation>),
    Read(Box<ReadTask>),
}

impl Work {
    /// Blocks of the tokens it is going to run before anything comes of it.
    pub(super) fn blocks(&self) -> usize {
        match self {
            Work::Answer(generation) => generation.ahead().div_ceil(BLOCK_LEN),
            Work::Read(task) => task.read().wants().1,
        }
    }
}

/// One answer's place, waiting or running.
pub(super) struct Seat {
    pub(super) work: Work,
    pub(super) note: Note,
    /// Answers to the same prompt that come after this one's prompt is through.
    pub(super) followers: Vec<Seat>,
}

/// Whether a sink knows that there is a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    Waiting,
    Admitted,
}

/// Whose a seat is, and whom to tell.
pub(super) struct Note {
    pub(super) job: u64,
    pub(super) choice: usize,
    pub(super) terms: Arc<Terms>,
    since: Instant,
    pub(super) standing: Standing,
    sink: Arc<Mutex<Sink>>,
}

impl Seat {
    /// The seats of one job: the first, and the others behind it where they can share its prompt.
    pub(super) fn row(job: u64, work: Vec<Work>, terms: Terms, sink: Sink) -> Vec<Seat> {
        let (terms, sink, since) = (Arc::new(terms), Arc::new(Mutex::new(sink)), Instant::now());
        let note = |choice| Note {
            job,
            choice,
            terms: terms.clone(),
            since,
            standing: Standing::Waiting,
            sink: sink.clone(),
        };
        let seats = work.into_iter().enumerate();
        let seats = seats.map(|(i, work)| Seat { work, note: note(i), followers: Vec::new() });
        let mut seats: Vec<Seat> = seats.collect();
        let shares = |seat: &Seat| match &seat.work {
            Work::Answer(generation) => generation.session().is_stateless(),
            Work::Read(_) => false,
        };
        if terms.space.is_some() && seats.len() > 1 && seats.iter().all(shares) {
            let rest = seats.split_off(1);
            if let Some(first) = seats.first_mut() {
                first.followers = rest;
            }
        }
        seats
    }

    /// Ends it before it has run.
    pub(super) fn refuse(mut self, error: &dyn Fn() -> Error) {
        let choice = self.note.choice;
        match self.work {
            Work::Answer(_) => {
                self.note.tell_end(Notice::Ended { choice, result: Err(error()) });
            }
            Work::Read(task) => task.end(Some(error())),
        }
        self.followers.into_iter().for_each(|seat| seat.refuse(error));
    }

    /// Places it takes, followers included.
    pub(super) fn places(&self) -> usize {
        1 + self.followers.iter().map(Seat::places).sum::<usize>()
    }
}

impl Note {
    pub(super) fn tell(&mut self, notice: Notice) -> Flow {
        // A panic in the sink has ended the answer it was called for; the job's other answers go on.
        let mut sink = self.sink.lock().unwrap_or_else(PoisonError::into_inner);
        sink(notice)
    }

    /// Tells the last notice of a choice, where nothing is left that a panic could end.
    pub(super) fn tell_end(&mut self, notice: Notice) {
        contain("sink", || self.tell(notice)).ok();
    }

    pub(super) fn admit(&mut self, cached: usize) -> Result<Flow> {
        if self.standing == Standing::Admitted {
            return Ok(Flow::Continue);
        }
        self.standing = Standing::Admitted;
        let (choice, waited) = (self.choice, self.since.elapsed());
        contain("sink", || self.tell(Notice::Admitted { choice, waited, cached }))
    }

    pub(super) fn is_late(&self, now: Instant) -> bool {
        self.terms.deadline.is_some_and(|deadline| now >= deadline)
    }
}
