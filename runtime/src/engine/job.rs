//! What waits or runs: one answer or one read, and the sink that hears of it.

use crate::error::{Error, Result, contain};
use crate::fingerprint::Fingerprint;
use crate::generate::{Answer, Event, Flow, Generation, Lockstep};
use crate::kv::BLOCK_LEN;
use crate::read::ReadTask;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// On what terms a job runs.
#[derive(Debug, Clone, Default)]
pub struct SubmitOptions {
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

/// What hears of a job.
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
pub(super) struct Job {
    pub(super) work: Work,
    pub(super) note: JobHandle,
    /// The others of its group; without one, answers to the same prompt that come after this one's prompt is through.
    pub(super) followers: Vec<Job>,
    /// What chooses the tokens of this answer and its followers together.
    pub(super) group: Option<Lockstep<'static>>,
}

/// Whether a sink knows that there is a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum JobState {
    Waiting,
    Admitted,
}

/// The owner's limits of a job, and the sink that hears of it.
pub(super) struct JobHandle {
    pub(super) job: u64,
    pub(super) choice: usize,
    pub(super) terms: Arc<SubmitOptions>,
    since: Instant,
    pub(super) state: JobState,
    sink: Arc<Mutex<Sink>>,
}

impl Job {
    /// The seats of one job, side by side.
    pub(super) fn row(job: u64, work: Vec<Work>, terms: SubmitOptions, sink: Sink) -> Vec<Job> {
        let (terms, sink, since) = (Arc::new(terms), Arc::new(Mutex::new(sink)), Instant::now());
        let note = |choice| JobHandle {
            job,
            choice,
            terms: terms.clone(),
            since,
            state: JobState::Waiting,
            sink: sink.clone(),
        };
        let seats = work.into_iter().enumerate();
        seats.map(|(i, work)| Job::of(work, note(i))).collect()
    }

    pub(super) fn of(work: Work, note: JobHandle) -> Job {
        Job { work, note, followers: Vec::new(), group: None }
    }

    /// The first of these, with the others behind it.
    pub(super) fn led(seats: Vec<Job>, group: Option<Lockstep<'static>>) -> Option<Job> {
        let mut seats = seats.into_iter();
        let mut first = seats.next()?;
        first.followers.extend(seats);
        Some(Job { group, ..first })
    }

    /// Whether answers to the same prompt can have this one's keys and values.
    pub(super) fn shares(&self) -> bool {
        match &self.work {
            Work::Answer(generation) => {
                self.note.terms.space.is_some() && generation.session().is_stateless()
            }
            Work::Read(_) => false,
        }
    }

    /// Rows that it runs at once.
    pub(super) fn rows(&self) -> usize {
        self.group.as_ref().map_or(1, |_| self.places())
    }

    /// Blocks of the tokens that those rows are going to run before anything comes of them.
    pub(super) fn blocks(&self) -> usize {
        let others = self.followers.iter().filter(|_| self.group.is_some());
        self.work.blocks() + others.map(Job::blocks).sum::<usize>()
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
        1 + self.followers.iter().map(Job::places).sum::<usize>()
    }
}

impl JobHandle {
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
        if self.state == JobState::Admitted {
            return Ok(Flow::Continue);
        }
        self.state = JobState::Admitted;
        let (choice, waited) = (self.choice, self.since.elapsed());
        contain("sink", || self.tell(Notice::Admitted { choice, waited, cached }))
    }

    pub(super) fn is_late(&self, now: Instant) -> bool {
        self.terms.deadline.is_some_and(|deadline| now >= deadline)
    }
}
