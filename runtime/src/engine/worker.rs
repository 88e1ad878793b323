//! The engine loop: between two rounds, who comes, who goes, and who runs next.

use super::line::Line;
use super::load::add;
use super::seat::{Note, Notice, Seat, Standing, Work};
use super::{Command, EngineOptions, Shared};
use crate::error::Error;
use crate::generate::{Flow, Generation, round};
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
    note: Note,
    followers: Vec<Seat>,
    stage: Stage,
}

/// Whether a prompt is through, so that others may have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Prompt,
    Answer,
}

/// However the thread ends, nobody waits for it any more.
struct Gone(Arc<Shared>);

impl Drop for Gone {
    fn drop(&mut self) {
        self.0.closing.store(true, Ordering::Release);
        self.0.present.store(0, Ordering::Release);
        self.0.counts.active.store(0, Ordering::Relaxed);
    }
}

/// The thread's own state.
pub(super) struct Worker {
    commands: Receiver<Command>,
    pool: KvPool,
    options: EngineOptions,
    shared: Arc<Shared>,
    line: Line,
    /// Who runs, the one that came first in front; `generations` beside it.
    running: Vec<Running>,
    generations: Vec<Generation>,
    /// Reads that run, and beside each its note.
    reads: Vec<ReadTask>,
    readers: Vec<Note>,
    /// When everything ends.
    closing: Option<Instant>,
}

impl Worker {
    pub(super) fn new(
        commands: Receiver<Command>,
        pool: KvPool,
        options: EngineOptions,
        shared: Arc<Shared>,
    ) -> Worker {
        Worker {
            commands,
            pool,
            options,
            shared,
            line: Line::default(),
            running: Vec::new(),
            generations: Vec::new(),
            reads: Vec::new(),
            readers: Vec::new(),
            closing: None,
        }
    }

    /// Runs until it is closed and nobody is left, or everybody who could give it work is gone.
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
                // Nobody can ask for anything any more, but sinks may still listen to what runs.
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
        let late = |note: &Note| closed || note.is_late(now);
        for seat in self.line.drain(|seat| late(&seat.note)) {
            // Its place is free before anybody hears of its end.
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
        while self.occupied() < self.options.parallel {
            let Some(first) = self.line.first() else { break };
            // One block each for those who run, so that the newcomer is not sent away at once.
            let wants = first.work.blocks() + 1 + self.occupied();
            let wants = wants + self.promised() + self.prompts();
            if self.occupied() > 0 && wants > self.pool.usage().available() {
                break;
            }
            if let Some(seat) = self.line.take() {
                self.begin(seat);
            }
        }
        self.shared.counts.active.store(self.occupied(), Ordering::Relaxed);
    }

    fn begin(&mut self, seat: Seat) {
        let Seat { work, mut note, followers } = seat;
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
                // What cannot be shared is made again: no reason to fail.
                let space = note.terms.space.as_ref();
                let cached = space.and_then(|space| generation.adopt_prefix(space).ok());
                let cached = cached.unwrap_or(0);
                if note.standing == Standing::Waiting {
                    add(&self.shared.counts.prompt_tokens, generation.session().len());
                    add(&self.shared.counts.cached_tokens, cached);
                }
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
    }

    /// One round of those whose turn it is.
    fn decode(&mut self) {
        let mut turn = self.turn();
        let short = |worker: &Worker, turn: &[usize]| {
            worker.wants(turn) + worker.promised() > worker.pool.usage().available()
        };
        while short(self, &turn) && self.preempt() {
            turn = self.turn();
        }
        if short(self, &turn) && self.relieve() {
            turn = self.turn();
        }
        if turn.is_empty() && self.reads.is_empty() {
            return;
        }
        let open = self.portion();
        add(&self.shared.counts.rounds, 1);
        add(&self.shared.counts.rows, turn.len() + open);
        let running = &mut self.running;
        round(&mut self.generations, &turn, &mut self.reads, &mut |index, event| {
            let Some(Running { note, .. }) = running.get_mut(index) else { return Flow::Continue };
            let choice = note.choice;
            note.tell(Notice::Event { choice, event })
        });
        turn.into_iter().for_each(|index| self.share(index));
    }

    /// Who takes part in the next round: everybody who decodes, and prompts as far as a chunk goes, oldest first.
    fn turn(&mut self) -> Vec<usize> {
        let unfinished = |g: &&mut Generation| !g.is_finished();
        let busy = self.generations.iter().any(|g| !g.is_finished() && g.decodes());
        let chunk = self.options.chunk;
        let mut left = if busy { (chunk / SHARED_CHUNK).max(1) } else { chunk };
        let mut turn = Vec::new();
        let all = self.generations.iter_mut().enumerate();
        for (index, generation) in all.filter(|(_, g)| unfinished(g)) {
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

    /// Blocks that reads are yet to take: they cannot give way, so nobody else may have them.
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

    /// Sends the answer that came last back to the line, without its keys and values; says whether somebody went.
    fn preempt(&mut self) -> bool {
        if self.occupied() < 2 {
            return false;
        }
        let last = self.generations.iter().rposition(Generation::can_give_way);
        let Some(index) = last else { return false };
        let mut generation = self.generations.remove(index);
        let Running { mut note, followers, .. } = self.running.remove(index);
        if let Err(error) = generation.give_way() {
            let choice = note.choice;
            generation.fail(error, &mut |event| note.tell(Notice::Event { choice, event }));
        }
        add(&self.shared.counts.preempted, 1);
        let work = Work::Answer(Box::new(generation));
        self.line.push_front(Seat { work, note, followers });
        true
    }

    /// When an answer's prompt is through, others may have it.
    fn share(&mut self, index: usize) {
        let (Some(running), Some(generation)) =
            (self.running.get_mut(index), self.generations.get(index))
        else {
            return;
        };
        if running.stage == Stage::Answer || generation.is_fresh() {
            return;
        }
        running.stage = Stage::Answer;
        if let Some(space) = &running.note.terms.space {
            generation.session().publish_prefix(space);
        }
        let followers = std::mem::take(&mut running.followers);
        followers.into_iter().rev().for_each(|seat| self.line.push_front(seat));
    }

    /// Takes out the reads of which this holds.
    fn take_reads(&mut self, leaves: impl Fn(&Note, &ReadTask) -> bool) -> Vec<ReadTask> {
        let all =
            std::mem::take(&mut self.readers).into_iter().zip(std::mem::take(&mut self.reads));
        let (gone, stay): (Vec<_>, Vec<_>) = all.partition(|(note, task)| leaves(note, task));
        (self.readers, self.reads) = stay.into_iter().unzip();
        gone.into_iter().map(|(_, task)| task).collect()
    }

    /// Hands the answers that have ended over, and gives their places free.
    fn retire(&mut self) {
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
            // Its blocks and its place are free before anybody hears of its end.
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
}
