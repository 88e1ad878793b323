//! The engine loop: between two rounds, who comes, who goes, and who runs next.

use super::job::{Job, JobHandle, JobState, Notice, Work};
use super::load::add;
use super::queue::Queue;
use super::{Command, EngineOptions, Shared};
use crate::error::Error;
use crate::generate::{Flow, Generation, Lockstep, round};
use crate::kv::KvPool;
use crate::read::ReadTask;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::Instant;

/// While others decode, a prompt gets this share of a chunk in a round.
const SHARED_CHUNK: usize = 4;

/// An answer that runs, beside its generation.
struct Running {
    note: JobHandle,
    followers: Vec<Job>,
    stage: Stage,
}

/// Whether a prompt is through, so that others may have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Prompt,
    Answer,
}

/// Takes over what others have published of an answer's beginning; says how many tokens that is.
fn adopt(note: &JobHandle, generation: &mut Generation, shared: &Shared) -> usize {
    // What cannot be shared is made again: no reason to fail.
    let space = note.terms.space.as_ref();
    let cached = space.and_then(|space| generation.adopt_prefix(space).ok()).unwrap_or(0);
    if generation.is_fresh() {
        add(&shared.counts.cached_tokens, cached);
    }
    cached
}

/// However the thread ends, no caller waits for it any more.
struct Gone(Arc<Shared>);

impl Drop for Gone {
    fn drop(&mut self) {
        self.0.closing.store(true, Ordering::Release);
        self.0.present.store(0, Ordering::Release);
        self.0.counts.active.store(0, Ordering::Relaxed);
    }
}

/// The thread's own state.
pub(super) struct Scheduler {
    commands: Receiver<Command>,
    pool: KvPool,
    options: EngineOptions,
    shared: Arc<Shared>,
    line: Queue,
    /// Who runs, the one that came first in front; `generations` beside it.
    running: Vec<Running>,
    generations: Vec<Generation>,
    /// Those whose answers run.
    groups: Vec<Lockstep<'static>>,
    /// Reads that run, and beside each its note.
    reads: Vec<ReadTask>,
    readers: Vec<JobHandle>,
    closing: Option<Instant>,
}

impl Scheduler {
    pub(super) fn new(
        commands: Receiver<Command>,
        pool: KvPool,
        options: EngineOptions,
        shared: Arc<Shared>,
    ) -> Scheduler {
        Scheduler {
            commands,
            pool,
            options,
            shared,
            line: Queue::default(),
            running: Vec::new(),
            generations: Vec::new(),
            groups: Vec::new(),
            reads: Vec::new(),
            readers: Vec::new(),
            closing: None,
        }
    }

    /// Runs until it is closed and no job is left, or every handle that could give it work is gone.
    pub(super) fn run(mut self) {
        let _gone = Gone(self.shared.clone());
        while self.listen() {
            self.expire();
            self.admit();
            self.decode();
            self.retire();
        }
    }

    fn is_idle(&self) -> bool {
        self.running.is_empty() && self.reads.is_empty() && self.line.is_empty()
    }

    /// Takes commands in, waiting for one if there is nothing else to do; says whether to go on.
    fn listen(&mut self) -> bool {
        if self.is_idle() {
            if self.closing.is_some() {
                return false;
            }
            match self.commands.recv() {
                Ok(command) => self.obey(command),
                Err(_) => return false,
            }
        }
        loop {
            match self.commands.try_recv() {
                Ok(command) => self.obey(command),
                Err(TryRecvError::Empty) => return true,
                // No new job can come, but sinks may still listen to what runs.
                Err(TryRecvError::Disconnected) => return !self.is_idle(),
            }
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Enter(seats) => seats.into_iter().for_each(|seat| self.line.push(seat)),
            Command::Cancel(job) => self.cancel(job),
            Command::Close(at) => self.closing = Some(self.closing.map_or(at, |old| old.min(at))),
        }
    }

    fn leave(&self, places: usize) {
        self.shared.present.fetch_sub(places, Ordering::AcqRel);
    }

    fn cancel(&mut self, job: u64) {
        for seat in self.line.drain(|seat| seat.note.job == job) {
            self.leave(seat.places());
        }
        for (running, generation) in self.running.iter_mut().zip(&mut self.generations) {
            if running.note.job == job {
                let gone: usize = running.followers.drain(..).map(|seat| seat.places()).sum();
                self.shared.present.fetch_sub(gone, Ordering::AcqRel);
                let Running { note, .. } = running;
                let choice = note.choice;
                generation.cancel(&mut |event| note.tell(Notice::Event { choice, event }));
            }
        }
        let gone = self.take_reads(|note, _| note.job == job);
        self.leave(gone.len());
        self.retire();
    }

    /// Ends what is too late.
    fn expire(&mut self) {
        let now = Instant::now();
        let closed = self.closing.is_some_and(|at| now >= at);
        let error = || if closed { Error::Draining } else { Error::Deadline };
        let late = |note: &JobHandle| closed || note.is_late(now);
        for seat in self.line.drain(|seat| late(&seat.note)) {
            // Its place is free before a sink hears of its end.
            self.leave(seat.places());
            seat.refuse(&error);
        }
        for (running, generation) in self.running.iter_mut().zip(&mut self.generations) {
            if late(&running.note) && !generation.is_finished() {
                let Running { note, .. } = running;
                let choice = note.choice;
                generation.fail(error(), &mut |event| note.tell(Notice::Event { choice, event }));
            }
        }
        for read in self.take_reads(|note, _| late(note)) {
            self.leave(1);
            read.end(Some(error()));
        }
        self.retire();
    }

    fn occupied(&self) -> usize {
        self.running.len() + self.reads.len()
    }

    /// Gives free places to those who wait, while there are blocks for their prompts.
    fn admit(&mut self) {
        while let Some(first) = self.line.first() {
            let (blocks, rows) = (first.blocks(), first.rows() + self.occupied());
            // One block each for those who run, so that the newcomer is not sent away at once.
            let wants = blocks + rows + self.promised() + self.prompts();
            let short = self.occupied() > 0 && wants > self.pool.usage().available();
            if short || rows > self.options.parallel {
                break;
            }
            if let Some(seat) = self.line.take() {
                self.begin(seat);
            }
        }
        self.shared.counts.active.store(self.occupied(), Ordering::Relaxed);
    }

    fn begin(&mut self, seat: Job) {
        let Job { work, mut note, mut followers, group } = seat;
        let others = group.as_ref().map(|_| std::mem::take(&mut followers));
        self.groups.extend(group);
        match work {
            Work::Read(task) => match note.admit(0) {
                Ok(_) => {
                    self.reads.push(*task);
                    self.readers.push(note);
                }
                Err(error) => {
                    self.leave(1);
                    task.end(Some(error));
                }
            },
            Work::Answer(mut generation) => {
                if note.state == JobState::Waiting {
                    add(&self.shared.counts.prompt_tokens, generation.session().len());
                }
                let cached = match self.is_behind(&note, self.running.len()) {
                    true => 0,
                    false => adopt(&note, &mut generation, &self.shared),
                };
                let (choice, admitted) = (note.choice, note.admit(cached));
                let emit = &mut |event| note.tell(Notice::Event { choice, event });
                match admitted {
                    Ok(Flow::Continue) => {}
                    Ok(Flow::Cancel) => generation.cancel(emit),
                    Err(error) => generation.fail(error, emit),
                }
                self.running.push(Running { note, followers, stage: Stage::Prompt });
                self.generations.push(*generation);
            }
        }
        others.into_iter().flatten().for_each(|seat| self.begin(seat));
    }

    /// Whether a job is one of a group.
    fn is_grouped(&self, note: &JobHandle) -> bool {
        self.groups.iter().any(|group| group.job == note.job)
    }

    /// Whether an answer waits for the prompt of its group's first, whose keys and values it can have.
    fn is_behind(&self, note: &JobHandle, index: usize) -> bool {
        let own = |running: &&Running| running.note.job == note.job;
        note.terms.space.is_some()
            && self.is_grouped(note)
            && self.running.iter().take(index).any(|running| own(&running))
            && self.running.iter().filter(own).all(|running| running.stage == Stage::Prompt)
    }

    /// One round of those whose turn it is.
    fn decode(&mut self) {
        let mut turn = self.turn();
        let short = |worker: &Scheduler, turn: &[usize]| {
            worker.wants(turn) + worker.promised() > worker.pool.usage().available()
        };
        while short(self, &turn) && self.preempt() {
            turn = self.turn();
        }
        if short(self, &turn) && self.relieve() {
            turn = self.turn();
        }
        // Without a pass, a group may still have its turn: when one that it waited for has ended.
        if turn.is_empty() && self.reads.is_empty() && self.groups.is_empty() {
            return;
        }
        for group in &mut self.groups {
            let own = self.running.iter().enumerate().filter(|(_, r)| r.note.job == group.job);
            group.members = own.map(|(index, r)| (r.note.choice, index)).collect();
        }
        let open = self.portion();
        add(&self.shared.counts.rounds, 1);
        add(&self.shared.counts.rows, turn.len() + open);
        let running = &mut self.running;
        let (generations, reads) = (&mut self.generations, &mut self.reads);
        round(generations, &turn, reads, &mut self.groups, &mut |index, event| {
            let Some(Running { note, .. }) = running.get_mut(index) else { return Flow::Continue };
            let choice = note.choice;
            note.tell(Notice::Event { choice, event })
        });
        turn.into_iter().for_each(|index| self.share(index));
    }

    /// The jobs of the next round: all that decode, and prompts as far as a chunk goes, oldest first.
    fn turn(&mut self) -> Vec<usize> {
        let free = |(index, running): (usize, &Running)| !self.is_behind(&running.note, index);
        let free: Vec<bool> = self.running.iter().enumerate().map(free).collect();
        let busy = self.generations.iter().any(|g| g.runs() && g.decodes());
        let chunk = self.options.chunk;
        let mut left = if busy { (chunk / SHARED_CHUNK).max(1) } else { chunk };
        let mut turn = Vec::new();
        let all = self.generations.iter_mut().zip(free).enumerate();
        for (index, (generation, _)) in all.filter(|(_, (g, free))| *free && g.runs()) {
            if generation.decodes() {
                turn.push(index);
            } else if left > 0 {
                let tokens = generation.pending().min(left);
                generation.set_chunk(tokens);
                left -= tokens;
                turn.push(index);
            }
        }
        turn
    }

    /// Blocks that a turn takes.
    fn wants(&self, turn: &[usize]) -> usize {
        let rows = turn.iter().filter_map(|index| self.generations.get(*index));
        rows.map(|generation| generation.wants().0).sum()
    }

    /// Shares a chunk, or less beside answers, among the sequences that are read; gives their number.
    fn portion(&mut self) -> usize {
        let open = self.reads.iter().map(|task| task.read().open()).sum::<usize>();
        let chunk = match self.running.is_empty() {
            true => self.options.chunk,
            false => self.options.chunk / SHARED_CHUNK,
        };
        self.reads.iter_mut().for_each(|task| task.set_chunk(chunk / open.max(1)));
        open
    }

    /// Blocks that reads are yet to take: they cannot give way, so no other job may have them.
    fn promised(&self) -> usize {
        self.reads.iter().map(|task| task.read().wants().1).sum()
    }

    /// Blocks that prompts, and what monitors have read, are yet to take.
    fn prompts(&self) -> usize {
        let prompts = self.generations.iter().filter(|generation| !generation.decodes());
        prompts.map(|generation| generation.wants().1).sum()
    }

    /// Has those who are left give up what they do not need for their next pass; says whether there was something.
    fn relieve(&mut self) -> bool {
        let mut relieved = false;
        for (running, generation) in self.running.iter_mut().zip(&mut self.generations) {
            match generation.relieve() {
                Ok(given) => relieved |= given,
                Err(error) => {
                    let Running { note, .. } = running;
                    let choice = note.choice;
                    generation.fail(error, &mut |event| note.tell(Notice::Event { choice, event }));
                }
            }
        }
        relieved
    }

    /// Preempts the youngest answer, with its group: it goes back to the queue without its keys and values. Says whether
    /// there was one.
    fn preempt(&mut self) -> bool {
        let mut seats = Vec::new();
        for index in self.youngest().into_iter().rev() {
            let mut generation = self.generations.remove(index);
            let Running { mut note, followers, .. } = self.running.remove(index);
            if let Err(error) = generation.give_way() {
                let choice = note.choice;
                generation.fail(error, &mut |event| note.tell(Notice::Event { choice, event }));
            }
            let work = Work::Answer(Box::new(generation));
            seats.insert(0, Job { followers, ..Job::of(work, note) });
        }
        add(&self.shared.counts.preempted, seats.len());
        let of = |group: &Lockstep| seats.iter().any(|seat| seat.note.job == group.job);
        let group = self.groups.iter().position(of).map(|index| self.groups.remove(index));
        let job = Job::led(seats, group);
        let preempted = job.is_some();
        job.into_iter().for_each(|job| self.line.push_front(job));
        preempted
    }

    /// The answers that give way next: the youngest that can, with its group. None where no other job would be left.
    fn youngest(&self) -> Vec<usize> {
        let gives_way =
            |index: &usize| self.generations.get(*index).is_some_and(Generation::can_give_way);
        let with_group = |index: usize| {
            let all = self.running.iter().zip(&self.generations).enumerate();
            let note = self.running.get(index).map(|running| &running.note);
            let group = note.filter(|note| self.is_grouped(note)).map(|note| note.job);
            let own = all.filter(|(other, (running, generation))| {
                let member = Some(running.note.job) == group && !generation.is_finished();
                *other == index || member
            });
            own.map(|(index, _)| index).collect::<Vec<usize>>()
        };
        let can_recompute = |index: &usize| {
            self.generations.get(*index).is_some_and(|g| g.session().can_recompute())
        };
        let leaves =
            |all: &Vec<usize>| all.len() < self.occupied() && all.iter().all(can_recompute);
        let all = (0..self.running.len()).rev();
        all.filter(gives_way).map(with_group).find(leaves).unwrap_or_default()
    }

    /// When an answer's prompt is through, others may have it.
    fn share(&mut self, index: usize) {
        let (Some(running), Some(generation)) =
            (self.running.get_mut(index), self.generations.get(index))
        else {
            return;
        };
        let session = generation.session();
        let run = session.len() - session.pending();
        if running.stage == Stage::Answer || run + 1 < session.prompt_len() {
            return;
        }
        running.stage = Stage::Answer;
        if let Some(space) = &running.note.terms.space {
            generation.session().publish_prefix(space);
        }
        let followers = std::mem::take(&mut running.followers);
        let job = running.note.job;
        followers.into_iter().rev().for_each(|seat| self.line.push_front(seat));
        for (running, generation) in self.running.iter().zip(&mut self.generations) {
            let untouched = generation.session().pending() == generation.session().len();
            if running.note.job == job && running.stage == Stage::Prompt && untouched {
                adopt(&running.note, generation, &self.shared);
            }
        }
    }

    /// Takes out the reads of which this holds.
    fn take_reads(&mut self, leaves: impl Fn(&JobHandle, &ReadTask) -> bool) -> Vec<ReadTask> {
        let all =
            std::mem::take(&mut self.readers).into_iter().zip(std::mem::take(&mut self.reads));
        let (gone, stay): (Vec<_>, Vec<_>) = all.partition(|(note, task)| leaves(note, task));
        (self.readers, self.reads) = stay.into_iter().unzip();
        gone.into_iter().map(|(_, task)| task).collect()
    }

    /// Hands the answers that have ended over, and gives their places free.
    fn retire(&mut self) {
        self.end_groups();
        let mut index = 0;
        while let Some(generation) = self.generations.get(index) {
            if !generation.is_finished() {
                index += 1;
                continue;
            }
            let generation = self.generations.remove(index);
            let Running { mut note, followers, .. } = self.running.remove(index);
            if let Some(space) = &note.terms.space {
                generation.session().publish_prefix(space);
            }
            // Its blocks and its place are free before a sink hears of its end.
            let result = generation.into_answer();
            let choice = note.choice;
            self.leave(1);
            note.tell_end(Notice::Ended { choice, result });
            followers.into_iter().rev().for_each(|seat| self.line.push_front(seat));
        }
        for read in self.take_reads(|_, task| task.is_finished()) {
            self.leave(1);
            read.end(None);
        }
        self.shared.counts.active.store(self.occupied(), Ordering::Relaxed);
    }

    /// Lets go of the samplers whose answers have all ended, before the last of their sinks hears of it.
    fn end_groups(&mut self) {
        let all = self.running.iter().zip(&self.generations);
        let running = all.filter(|(_, generation)| !generation.is_finished());
        let jobs: Vec<u64> = running.map(|(running, _)| running.note.job).collect();
        self.groups.retain(|group| jobs.contains(&group.job));
    }
}
