//! One answer in the making.

use super::answer::{Answer, Event, Finish, Flow, Usage};
use super::request::Request;
use crate::error::{Error, Result};
use crate::logits::Context;
use crate::model::{LogitsAt, Row, RowReadout, Want};
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

/// A row's logits, before and after its processors.
pub(super) struct Scored {
    raw: Vec<f32>,
    pub(super) processed: Vec<f32>,
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
    /// How many of the answer's tokens the session has.
    fed: usize,
    attempt: u32,
    usage: Usage,
    finish: Option<Finish>,
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
        let mut generation = Generation {
            stream: TextStream::new(tokenizer.clone()),
            session,
            tokenizer,
            pieces: Vec::new(),
            tokens: Vec::new(),
            text: String::new(),
            shown: 0,
            watchers: Vec::new(),
            before: None,
            fed: 0,
            attempt: 0,
            usage,
            finish: None,
            request,
        };
        if !generation.request.stop.is_empty() {
            let stops = StopStrings::new(generation.request.stop.iter().cloned())?;
            generation = generation.watched_by(stops);
        }
        Ok(generation)
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

    pub(super) fn session_mut(&mut self) -> &mut Session {
        &mut self.session
    }

    /// The answer so far; `Cancelled` if it has not ended.
    pub fn into_answer(self) -> Answer {
        self.into_parts().0
    }

    /// The answer and the session, for a conversation that goes on.
    pub fn into_parts(self) -> (Answer, Session) {
        let answer = Answer {
            text: self.text,
            tokens: self.tokens,
            steps: self.pieces.into_iter().map(|p| p.step).collect(),
            finish: self.finish.unwrap_or(Finish::Cancelled),
            usage: self.usage,
            rewinds: self.attempt,
            fired: self.session.fired().to_vec(),
        };
        (answer, self.session)
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
    pub(super) fn row(&mut self) -> Result<Row<'_>> {
        if !self.watchers.is_empty() {
            let checkpoint = self.session.checkpoint();
            self.before = Some(Arc::new(Origin { checkpoint, fed: self.fed }));
        }
        let want =
            Want { logits: LogitsAt::Last, reading: self.request.reading, ..Want::default() };
        Ok(self.session.row(want))
    }

    /// Tells that a part of the prompt was run.
    pub(super) fn prefilled(&mut self, emit: &mut dyn FnMut(Event) -> Flow) {
        let tokens = self.session.len() - self.session.pending();
        if emit(Event::Prefilled { tokens }) == Flow::Cancel {
            self.finish = Some(Finish::Cancelled);
        }
    }

    /// The next token's logits, processed.
    pub(super) fn score(&self, readout: RowReadout) -> Result<Scored> {
        let RowReadout { mut logits, mut finals } = readout;
        let raw = logits.pop().unwrap_or_default();
        let mut processed = raw.clone();
        let context =
            Context { tokens: self.session.tokens(), prompt_len: self.session.prompt_len() };
        for processor in &self.request.processors {
            processor.process(&context, &mut processed)?;
        }
        Ok(Scored { raw, processed, reading: finals.pop() })
    }

    /// The request's own choice.
    pub(super) fn choose(&self, scored: &Scored) -> Result<u32> {
        self.request.sampling.choose(&scored.processed, &self.draw())
    }

    /// Takes a chosen token in: text, monitors, ends.
    pub(super) fn accept(
        &mut self,
        token: u32,
        scored: Scored,
        emit: &mut dyn FnMut(Event) -> Flow,
    ) -> Result<()> {
        let mut step = Step::of(token, &scored.raw, self.request.top_logprobs);
        step.reading = scored.reading;
        self.usage.completion_tokens += 1;
        let mut out = Emitter { emit, flow: Flow::Continue };
        out.send(Event::Token(step.clone()));
        if self.tokenizer.is_end_of_generation(token) {
            return self.end(Finish::EndToken(token), &mut out);
        }
        self.append(token, Some(step));
        self.watch(Stage::Unfolding, &mut out)?;
        if let Some(full) = self.limit() {
            self.end(full, &mut out)?;
        }
        if out.flow == Flow::Cancel && self.finish.is_none() {
            self.finish = Some(Finish::Cancelled);
        }
        self.feed()
    }

    fn append(&mut self, token: u32, step: Option<Step>) {
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
        let full = self.session.len() + 1 > self.session.decoder().context();
        full.then_some(Finish::ContextFull)
    }

    /// The model or a limit ends the answer; monitors may still object.
    fn end(&mut self, finish: Finish, out: &mut Emitter) -> Result<()> {
        self.text.push_str(&self.stream.flush());
        match (self.watch(Stage::Ended, out)?, &finish) {
            (Outcome::Stopped | Outcome::Rewound, _) => return Ok(()),
            // What a monitor appends to a full answer is its end; to a short one, a new beginning.
            (Outcome::Extended, Finish::EndToken(_)) => return self.feed(),
            (Outcome::Extended | Outcome::Unchanged, _) => {}
        }
        self.show(self.text.len(), out);
        self.finish(finish, out);
        Ok(())
    }

    fn finish(&mut self, finish: Finish, out: &mut Emitter) {
        out.send(Event::Done(finish.clone()));
        self.finish = Some(finish);
    }

    /// Asks every monitor that is due and does what the first objection says.
    fn watch(&mut self, stage: Stage, out: &mut Emitter) -> Result<Outcome> {
        let mut verdict = None;
        let step = self.pieces.last().and_then(|p| p.step.as_ref());
        let view = Unfolding {
            tokens: &self.tokens,
            text: &self.text,
            step,
            stage,
            attempt: self.attempt,
        };
        for watcher in &mut self.watchers {
            if stage == Stage::Unfolding && self.tokens.len() < watcher.due {
                continue;
            }
            match watcher.monitor.watch(&view)? {
                Verdict::Continue { release, ask_after } => {
                    watcher.release = release.min(self.text.len());
                    watcher.due = self.tokens.len() + ask_after.max(1);
                }
                other => {
                    verdict = Some(other);
                    break;
                }
            }
        }
        match verdict {
            None => {
                let free = self.watchers.iter().map(|w| w.release).min();
                self.show(free.unwrap_or(self.text.len()), out);
                Ok(Outcome::Unchanged)
            }
            Some(verdict) => self.act(verdict, out),
        }
    }

    fn act(&mut self, verdict: Verdict, out: &mut Emitter) -> Result<Outcome> {
        match verdict {
            Verdict::Continue { .. } => Ok(Outcome::Unchanged),
            Verdict::Stop { keep, reason } => {
                self.cut_text(keep, out);
                self.show(self.text.len(), out);
                let finish = match reason {
                    StopReason::StopString(text) => Finish::StopString(text),
                    StopReason::Other(why) => Finish::Monitor(why),
                };
                self.finish(finish, out);
                Ok(Outcome::Stopped)
            }
            Verdict::Insert(tokens) => {
                tokens.iter().for_each(|t| self.append(*t, None));
                Ok(Outcome::Extended)
            }
            Verdict::Retry { from, plan, guidance } => self.retry(from, plan, &guidance, out),
        }
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
            self.cut_text(self.shown, out);
            self.finish(Finish::RetriesExhausted, out);
            return Ok(Outcome::Stopped);
        }
        let before = match self.pieces.get(from) {
            Some(piece) => piece.before.clone(),
            None => self.before.clone(),
        };
        let before = before.ok_or(Error::Misuse("a rewind needs a checkpoint"))?;
        self.session.rollback(&before.checkpoint)?;
        self.fed = before.fed;
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
        self.attempt += 1;
        out.send(Event::Rewound { from, attempt: self.attempt });
        if let Some((plan, history)) = plan {
            self.session.replan(plan, history)?;
        }
        self.feed()?;
        self.session.push(guidance)?;
        Ok(Outcome::Rewound)
    }

    fn cut_text(&mut self, len: usize, out: &mut Emitter) {
        let len = (0..=len.min(self.text.len())).rev().find(|i| self.text.is_char_boundary(*i));
        self.text.truncate(len.unwrap_or(0));
        if self.shown > self.text.len() {
            self.shown = self.text.len();
            out.send(Event::Retracted { from: self.shown });
        }
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
