//! One answer in the making.

use super::answer::{Answer, Event, Finish, Flow, Usage};
use super::request::Request;
use crate::error::{Error, Result};
use crate::fingerprint::Fingerprint;
use crate::logits::Context;
use crate::model::{LogitsAt, Reading, Row, RowReadout, Want};
use crate::monitor::{Monitor, Stage, StopReason, StopStrings, Unfolding, Verdict};
use crate::plan::Plan;
use crate::sample::{Draw, Purpose, Step};
use crate::session::{Checkpoint, History, Session};
use crate::text::{TextStream, Tokenizer};
use std::sync::Arc;

/// How a token of the answer came to be.
struct Piece {
    step: Option<Step>,
    /// Where to go back to in order to choose another token here.
    before: Option<Arc<Origin>>,
}

/// The session before the pass that led to a token; running that pass again gives the same logits.
struct Origin {
    checkpoint: Checkpoint,
    /// How many of the answer's tokens the session had.
    fed: usize,
}

/// What became of an answer that monitors were asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Unchanged,
    Stopped,
    Extended,
    Rewound,
}

/// A row's processed logits.
pub(super) struct Scored {
    pub(super) logits: Vec<f32>,
    pub(super) reading: Option<Vec<f32>>,
}

/// A watcher and when it wants to be asked next.
struct Watcher {
    monitor: Box<dyn Monitor>,
    /// Bytes of text it allows to be shown.
    release: usize,
    /// Asked again when the answer has this many tokens.
    due: usize,
}

/// One answer in the making: a session whose prompt is pending, a request, and its monitors.
pub struct Generation {
    session: Session,
    tokenizer: Arc<Tokenizer>,
    request: Request,
    pieces: Vec<Piece>,
    tokens: Vec<u32>,
    stream: TextStream,
    text: String,
    shown: usize,
    watchers: Vec<Watcher>,
    before: Option<Arc<Origin>>,
    /// Where a retry began: the origin of the token it leads to, hidden guidance left out.
    retried: Option<Arc<Origin>>,
    /// How many of the answer's tokens the session has.
    fed: usize,
    attempt: u32,
    usage: Usage,
    finish: Option<Finish>,
    failure: Option<Error>,
}

impl Generation {
    /// The session must have a pending token: the prompt's last at least.
    pub fn new(session: Session, tokenizer: Arc<Tokenizer>, request: Request) -> Result<Self> {
        request.check()?;
        if session.pending() == 0 {
            return Err(Error::Misuse("a generation needs a session with a pending token"));
        }
        let usage = Usage {
            prompt_tokens: session.len(),
            cached_tokens: session.len() - session.pending(),
            ..Usage::default()
        };
        let stops = StopStrings::new(request.stop.iter().cloned())?;
        let generation = Generation {
            stream: TextStream::new(tokenizer.clone()),
            session,
            tokenizer,
            pieces: Vec::new(),
            tokens: Vec::new(),
            text: String::new(),
            shown: 0,
            watchers: Vec::new(),
            before: None,
            retried: None,
            fed: 0,
            attempt: 0,
            usage,
            finish: None,
            failure: None,
            request,
        };
        Ok(if generation.request.stop.is_empty() {
            generation
        } else {
            generation.watched_by(stops)
        })
    }

    /// Adds a monitor. Verdicts are acted on in the order monitors were added; the first that is not
    /// `Continue` counts.
    pub fn watched_by(mut self, monitor: impl Monitor + 'static) -> Self {
        self.watchers.push(Watcher { monitor: Box::new(monitor), release: 0, due: 0 });
        self
    }

    /// Whether the answer has ended.
    pub fn is_finished(&self) -> bool {
        self.finish.is_some()
    }

    /// The sequence.
    pub fn session(&self) -> &Session {
        &self.session
    }

    pub(crate) fn session_mut(&mut self) -> &mut Session {
        &mut self.session
    }

    /// Whether no token has been chosen yet.
    pub(crate) fn is_fresh(&self) -> bool {
        self.tokens.is_empty() && self.finish.is_none() && self.attempt == 0
    }

    /// Takes over what other sequences with the same beginning have published; says how many tokens that is.
    pub(crate) fn adopt_prefix(&mut self, space: &Fingerprint) -> Result<usize> {
        let saved = self.session.adopt_prefix(space)?;
        if self.is_fresh() {
            self.usage.cached_tokens = saved;
        }
        Ok(saved)
    }

    /// Ends the answer from outside: what was shown stays.
    pub(crate) fn cancel(&mut self, emit: &mut dyn FnMut(Event) -> Flow) {
        self.obey(&mut Emitter { emit, flow: Flow::Cancel });
    }

    /// The answer so far; `Cancelled` if it has not ended. The error, if it failed.
    pub fn into_answer(self) -> Result<Answer> {
        Ok(self.into_parts()?.0)
    }

    /// The answer and the session. The session has what the model has read: hidden guidance too, but neither the
    /// newest token nor the end token, which no pass has needed yet.
    pub fn into_parts(self) -> Result<(Answer, Session)> {
        if let Some(error) = self.failure {
            return Err(error);
        }
        let answer = Answer {
            text: self.text,
            tokens: self.tokens,
            steps: self.pieces.into_iter().map(|p| p.step).collect(),
            finish: self.finish.unwrap_or(Finish::Cancelled),
            usage: self.usage,
            rewinds: self.attempt,
            fired: self.session.fired().to_vec(),
        };
        Ok((answer, self.session))
    }

    /// The key of the next random draw.
    pub fn draw(&self) -> Draw {
        Draw {
            seed: self.request.seed,
            choice: self.request.choice,
            purpose: Purpose::Token,
            attempt: self.attempt,
            position: self.session.len(),
        }
    }

    /// The row of the next pass.
    pub(super) fn row(&mut self) -> Row<'_> {
        if !self.watchers.is_empty() {
            let fresh = || {
                let checkpoint = self.session.checkpoint();
                Arc::new(Origin { checkpoint, fed: self.fed })
            };
            self.before = Some(self.retried.clone().unwrap_or_else(fresh));
        }
        let want =
            Want { logits: LogitsAt::Last, reading: self.request.reading, ..Want::default() };
        self.session.row(want)
    }

    /// Tells that a part of the prompt was run.
    pub(super) fn prefilled(&mut self, emit: &mut dyn FnMut(Event) -> Flow) {
        let tokens = self.session.len() - self.session.pending();
        let mut out = Emitter { emit, flow: Flow::Continue };
        out.send(Event::Prefilled { tokens });
        self.obey(&mut out);
    }

    /// Ends the answer with an error.
    pub(crate) fn fail(&mut self, error: Error, emit: &mut dyn FnMut(Event) -> Flow) {
        let mut out = Emitter { emit, flow: Flow::Continue };
        self.cut_text(self.shown, &mut out);
        self.finish(Finish::Failed(error.to_string()), &mut out);
        self.failure = Some(error);
    }

    /// The next token's logits, processed.
    pub(super) fn score(&self, readout: RowReadout) -> Result<Scored> {
        let RowReadout { mut logits, mut finals } = readout;
        let mut logits = logits.pop().unwrap_or_default();
        let context =
            Context { tokens: self.session.tokens(), prompt_len: self.session.prompt_len() };
        for processor in &self.request.processors {
            processor.process(&context, &mut logits)?;
        }
        // A batch-mate may have asked for readings where this request did not.
        let asked = self.request.reading == Reading::LogitsAndFinal;
        Ok(Scored { logits, reading: finals.pop().filter(|_| asked) })
    }

    /// The request's own choice.
    pub(super) fn choose(&self, scored: &Scored) -> Result<u32> {
        self.request.sampling.choose(&scored.logits, &self.draw())
    }

    /// Takes a chosen token in: text, monitors, ends.
    pub(super) fn accept(
        &mut self,
        token: u32,
        scored: Scored,
        emit: &mut dyn FnMut(Event) -> Flow,
    ) -> Result<()> {
        let mut step = Step::of(token, &scored.logits, self.request.top_logprobs);
        step.reading = scored.reading;
        self.retried = None;
        self.usage.completion_tokens += 1;
        let mut out = Emitter { emit, flow: Flow::Continue };
        out.send(Event::Token(step.clone()));
        if self.tokenizer.is_end_of_generation(token) {
            self.end(Finish::EndToken(token), &mut out)?;
        } else {
            self.append(token, Some(step));
            self.watch(Stage::Unfolding, &mut out)?;
            if let Some(full) = self.limit() {
                self.end(full, &mut out)?;
            }
        }
        self.obey(&mut out);
        self.feed()
    }

    /// Ends the answer if its receiver wants no more; what was not shown is not part of it.
    fn obey(&mut self, out: &mut Emitter) {
        if out.flow == Flow::Cancel && self.finish.is_none() {
            self.cut_text(self.shown, out);
            self.finish(Finish::Cancelled, out);
        }
    }

    fn append(&mut self, token: u32, step: Option<Step>) {
        // An end flushes half characters; what follows after all begins behind the last whole one.
        self.text.truncate(self.stream.text_len_at(self.tokens.len()));
        self.text.push_str(self.stream.push(token));
        self.tokens.push(token);
        self.pieces.push(Piece { step, before: self.before.clone() });
    }

    /// Gives the session the tokens of the answer that it does not have yet.
    fn feed(&mut self) -> Result<()> {
        if self.finish.is_some() {
            return Ok(());
        }
        self.session.push(self.tokens.get(self.fed..).unwrap_or_default())?;
        self.fed = self.tokens.len();
        Ok(())
    }

    fn limit(&self) -> Option<Finish> {
        if self.finish.is_some() {
            return None;
        }
        if self.request.max_tokens.is_some_and(|most| self.tokens.len() >= most) {
            return Some(Finish::Length);
        }
        self.is_full(0).then_some(Finish::ContextFull)
    }

    /// Whether what the session still has to be given, and so many tokens more, do not fit the context, or the pool.
    fn is_full(&self, more: usize) -> bool {
        let unfed = self.tokens.len() - self.fed;
        self.session.len() + unfed + more > self.session.room()
    }

    /// The model or a limit ends the answer; monitors may still object.
    fn end(&mut self, finish: Finish, out: &mut Emitter) -> Result<()> {
        self.text.push_str(&self.stream.flush());
        match (self.watch(Stage::Ended, out)?, &finish) {
            (Outcome::Stopped | Outcome::Rewound, _) => return Ok(()),
            // What a monitor appends to a full answer is its end; to a short one, a new beginning.
            (Outcome::Extended, Finish::EndToken(_)) if self.limit().is_none() => return Ok(()),
            (Outcome::Extended | Outcome::Unchanged, _) => {}
        }
        self.show(self.released(), out);
        self.cut_text(self.shown, out);
        self.finish(finish, out);
        Ok(())
    }

    fn finish(&mut self, finish: Finish, out: &mut Emitter) {
        self.trim_tokens();
        out.send(Event::Done(finish.clone()));
        self.finish = Some(finish);
    }

    /// Bytes that every monitor allows to be shown.
    fn released(&self) -> usize {
        let least = self.watchers.iter().map(|w| w.release).min();
        least.unwrap_or(self.text.len()).min(self.text.len())
    }

    /// Asks every monitor that is due and does what the first objection says.
    fn watch(&mut self, stage: Stage, out: &mut Emitter) -> Result<Outcome> {
        match self.ask(stage, None)? {
            None => {
                self.show(self.released(), out);
                Ok(Outcome::Unchanged)
            }
            Some((_, Verdict::Retry { from, plan, guidance, .. })) => {
                self.retry(from, plan, &guidance, out)
            }
            Some((_, Verdict::Insert(tokens))) => Ok(self.insert(&tokens, out)),
            Some((_, Verdict::Ask(_))) => Err(Error::Misuse("asking is being built")),
            Some((who, Verdict::Stop { keep, reason })) => self.stop(who, keep, reason, out),
            Some((_, Verdict::Continue { .. })) => Ok(Outcome::Unchanged),
        }
    }

    /// The first verdict that is not to go on, and whose it is.
    fn ask(&mut self, stage: Stage, but: Option<usize>) -> Result<Option<(usize, Verdict)>> {
        let view = Unfolding {
            tokens: &self.tokens,
            text: &self.text,
            ends: &[],
            sensed: None,
            step: self.pieces.last().and_then(|p| p.step.as_ref()),
            stage,
            attempt: self.attempt,
        };
        for (who, watcher) in self.watchers.iter_mut().enumerate() {
            let waits = stage == Stage::Unfolding && self.tokens.len() < watcher.due;
            if waits || Some(who) == but {
                continue;
            }
            match watcher.monitor.watch(&view)? {
                Verdict::Continue { release, ask_after } => {
                    watcher.release = release.min(self.text.len());
                    watcher.due = self.tokens.len().saturating_add(ask_after.max(1));
                }
                Verdict::Insert(tokens) if tokens.is_empty() => {}
                other => return Ok(Some((who, other))),
            }
        }
        Ok(None)
    }

    /// One monitor ends the answer; the others judge what is left of it before it is shown.
    fn stop(
        &mut self,
        who: usize,
        keep: usize,
        reason: StopReason,
        out: &mut Emitter,
    ) -> Result<Outcome> {
        self.cut_text(keep, out);
        if let Some(watcher) = self.watchers.get_mut(who) {
            watcher.release = self.text.len();
        }
        let mut reason = reason;
        match self.ask(Stage::Ended, Some(who))? {
            Some((_, Verdict::Retry { from, plan, guidance, .. })) => {
                return self.retry(from, plan, &guidance, out);
            }
            Some((_, Verdict::Stop { keep, reason: stricter })) => {
                self.cut_text(keep, out);
                reason = stricter;
            }
            // An answer that has been stopped takes nothing more.
            Some((_, Verdict::Insert(_) | Verdict::Ask(_) | Verdict::Continue { .. })) | None => {}
        }
        self.show(self.released(), out);
        self.cut_text(self.shown, out);
        let finish = match reason {
            StopReason::StopString(text) => Finish::StopString(text),
            StopReason::Other(why) | StopReason::Refused { why, .. } => Finish::Monitor(why),
        };
        self.finish(finish, out);
        Ok(Outcome::Stopped)
    }

    fn insert(&mut self, tokens: &[u32], out: &mut Emitter) -> Outcome {
        tokens.iter().for_each(|t| self.append(*t, None));
        self.usage.completion_tokens += tokens.len();
        out.send(Event::Inserted(tokens.to_vec()));
        Outcome::Extended
    }

    /// Rewinds to the first `from` tokens and goes on from there, differently.
    fn retry(
        &mut self,
        from: usize,
        plan: Option<(Plan, History)>,
        guidance: &[u32],
        out: &mut Emitter,
    ) -> Result<Outcome> {
        let discarded = self.tokens.len().saturating_sub(from);
        let budget = self.request.retries;
        let spent = self.usage.discarded_tokens + discarded > budget.discarded;
        if spent || self.attempt >= budget.rewinds {
            return Ok(self.give_up(Finish::RetriesExhausted, out));
        }
        let origin = match self.pieces.get(from) {
            Some(piece) => piece.before.clone(),
            None => self.before.clone(),
        };
        let origin = origin.ok_or(Error::Misuse("a rewind needs a checkpoint"))?;
        self.go_back(&origin, plan)?;
        self.pieces.truncate(from);
        self.tokens.truncate(from);
        self.stream.truncate(from);
        self.cut_text(self.stream.text_len_at(from), out);
        for watcher in &mut self.watchers {
            watcher.monitor.rewind(from);
            watcher.release = watcher.release.min(self.text.len());
            watcher.due = watcher.due.min(from);
        }
        self.usage.discarded_tokens += discarded;
        self.usage.completion_tokens = self.usage.completion_tokens.saturating_sub(discarded);
        self.attempt += 1;
        out.send(Event::Rewound { from, attempt: self.attempt });
        if self.is_full(guidance.len()) {
            return Ok(self.give_up(Finish::ContextFull, out));
        }
        self.retried = Some(origin);
        self.feed()?;
        self.session.push(guidance)?;
        Ok(Outcome::Rewound)
    }

    /// The session as it was at an origin, under the given plan or the one in force.
    fn go_back(&mut self, origin: &Origin, plan: Option<(Plan, History)>) -> Result<()> {
        let in_force = self.session.plan().clone();
        match self.session.rollback(&origin.checkpoint) {
            // Keys and values were made again since: the tokens still are what they were.
            Err(Error::StaleCheckpoint { len }) if len <= self.session.len() => {
                self.session.restart(len)?;
            }
            other => other?,
        }
        self.fed = origin.fed;
        match plan {
            Some((plan, history)) => self.session.replan(plan, history),
            None if self.session.plan().fingerprint() != in_force.fingerprint() => {
                self.session.replan(in_force, History::Keep)
            }
            None => Ok(()),
        }
    }

    /// Fails closed: what was not shown is dropped.
    fn give_up(&mut self, finish: Finish, out: &mut Emitter) -> Outcome {
        self.cut_text(self.shown, out);
        self.finish(finish, out);
        Outcome::Stopped
    }

    fn cut_text(&mut self, len: usize, out: &mut Emitter) {
        let len = (0..=len.min(self.text.len())).rev().find(|i| self.text.is_char_boundary(*i));
        self.text.truncate(len.unwrap_or(0));
        if self.shown > self.text.len() {
            self.shown = self.text.len();
            out.send(Event::Retracted { from: self.shown });
        }
    }

    /// Of a text that was cut, only the tokens that begin in what is left belong to the answer.
    fn trim_tokens(&mut self) {
        let len = self.text.len();
        if self.stream.text_len_at(self.tokens.len()) <= len {
            return;
        }
        let begins_inside = |n: &usize| self.stream.text_len_at(*n) < len;
        let kept = (0..self.tokens.len()).rev().find(begins_inside).map_or(0, |n| n + 1);
        self.tokens.truncate(kept);
        self.pieces.truncate(kept);
    }

    fn show(&mut self, to: usize, out: &mut Emitter) {
        if let Some(fresh) = self.text.get(self.shown..to).filter(|t| !t.is_empty()) {
            out.send(Event::Text(fresh.to_owned()));
            self.shown = to;
        }
    }
}

/// Sends events and remembers whether somebody asked to stop.
struct Emitter<'a> {
    emit: &'a mut dyn FnMut(Event) -> Flow,
    flow: Flow,
}

impl Emitter<'_> {
    fn send(&mut self, event: Event) {
        if (self.emit)(event) == Flow::Cancel {
            self.flow = Flow::Cancel;
        }
    }
}
