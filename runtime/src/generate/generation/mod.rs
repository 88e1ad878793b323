//! One answer in the making.

mod apply_verdict;
mod monitor_query;
mod monitors;
mod rewind_point;

use super::answer::{Answer, Event, Finish, Flow, ShownToken, Usage};
use super::request::Request;
use crate::decoder::{LogitsAt, Outputs, Row, RowReadout, WithFinal};
use crate::error::{Error, Result, contain};
use crate::fingerprint::Fingerprint;
use crate::group_sampling::Candidate;
use crate::logits::Context;
use crate::monitor::{Monitor, Sensed, StopStrings};
use crate::sample::{DrawKey, Purpose, Sampling, Step};
use crate::session::Session;
use crate::text::{TextStream, Tokenizer};
use apply_verdict::Question;
use monitor_query::MonitorQuery;
use monitors::Monitors;
use rewind_point::{Passed, RewindPoint};
use std::sync::Arc;

/// How a token of the answer came to be.
struct Piece {
    step: Option<Step>,
    /// Where to go back to in order to choose another token here.
    before: Option<Arc<RewindPoint>>,
}

/// Places behind the newest token whose passes are remembered, so that going back to them takes no pass.
const REMEMBERED: usize = 32;

/// What a pass gave one row.
pub(super) struct Readout {
    pub(super) row: RowReadout,
    pub(super) sensed: Sensed,
}

/// A row's processed logits.
struct Scored {
    logits: Vec<f32>,
    reading: Option<Vec<f32>>,
    passed: Option<Passed>,
}

/// One answer in the making: a session whose prompt is pending, a request, and its monitors.
pub struct Generation {
    session: Session,
    /// Tokens at which its sequence is full.
    room: usize,
    tokenizer: Arc<Tokenizer>,
    request: Request,
    pieces: Vec<Piece>,
    tokens: Vec<u32>,
    /// After each token, how much text was complete.
    ends: Vec<usize>,
    /// Each token's position in the sequence.
    places: Vec<usize>,
    stream: TextStream,
    text: String,
    shown: usize,
    watchers: Monitors,
    /// What the pass of the newest token showed.
    sensed: Option<Arc<Sensed>>,
    /// What the monitors are being asked.
    question: Option<Question>,
    /// What the model reads for one of them.
    inquiry: Option<MonitorQuery>,
    before: Option<Arc<RewindPoint>>,
    /// Where a retry began: the origin of the token it leads to, hidden guidance left out.
    retried: Option<Arc<RewindPoint>>,
    /// What a rewind goes on from without a pass.
    ready: Option<Passed>,
    /// What the next token is chosen from, once it has been run.
    scored: Option<Scored>,
    /// Tokens that every rewind since the last choice has kept.
    rewound: Option<usize>,
    /// What the next choice may not be.
    banned: Vec<u32>,
    /// How many of the answer's tokens the session has.
    fed: usize,
    attempt: u32,
    usage: Usage,
    finish: Option<Finish>,
    failure: Option<Error>,
}

impl Generation {
    /// The session must have a pending token: the prompt's last at least.
    pub fn new(mut session: Session, tokenizer: Arc<Tokenizer>, request: Request) -> Result<Self> {
        request.check()?;
        if session.pending() == 0 {
            return Err(Error::Misuse("a generation needs a session with a pending token"));
        }
        let usage = Usage {
            prompt_tokens: session.len(),
            cached_tokens: session.len() - session.pending(),
            ..Usage::default()
        };
        // What was run before keeps the key it was run under.
        let key = DrawKey { seed: request.seed, choice: request.choice, attempt: 0 };
        session.set_draw_key(session.len() - session.pending(), key);
        let stops = StopStrings::new(request.stop.iter().cloned())?;
        let generation = Generation {
            stream: TextStream::new(tokenizer.clone()),
            room: session.room(),
            session,
            tokenizer,
            pieces: Vec::new(),
            tokens: Vec::new(),
            ends: Vec::new(),
            places: Vec::new(),
            text: String::new(),
            shown: 0,
            watchers: Monitors::default(),
            sensed: None,
            question: None,
            inquiry: None,
            before: None,
            retried: None,
            ready: None,
            scored: None,
            rewound: None,
            banned: Vec::new(),
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
    pub fn watched_by(self, monitor: impl Monitor + 'static) -> Self {
        self.with_monitor(Box::new(monitor))
    }

    pub(crate) fn with_monitor(mut self, monitor: Box<dyn Monitor>) -> Self {
        self.watchers.add(monitor);
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

    /// Whether it has something to run.
    pub(crate) fn runs(&self) -> bool {
        self.finish.is_none() && self.scored.is_none()
    }

    /// Whether the logits of its next token are there.
    pub(super) fn is_scored(&self) -> bool {
        self.scored.is_some()
    }

    /// The most tokens its sequence may come to have, as far as monitors add none.
    pub(crate) fn most(&self) -> usize {
        let most = self.request.max_tokens.unwrap_or(usize::MAX);
        self.session.len().saturating_add(most).min(self.room)
    }

    /// Ends it as full at so many tokens, if not before.
    pub(crate) fn set_room(&mut self, tokens: usize) {
        self.room = tokens.min(self.session.room());
    }

    /// Tokens that every rewind since the last choice has kept; `None` if there was none.
    pub(super) fn rewound(&self) -> Option<usize> {
        self.rewound
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
        self.obey(&mut Emitter { flow: Flow::Cancel, ..Emitter::new(emit) });
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
            readings: self.session.readings()?,
        };
        Ok((answer, self.session))
    }

    /// Whether a monitor is waiting for the model.
    pub(super) fn is_asking(&self) -> bool {
        self.inquiry.is_some()
    }

    /// Tokens that are yet to be run before the next token, or the monitor's answer.
    pub(crate) fn pending(&self) -> usize {
        match (&self.inquiry, &self.ready) {
            (Some(inquiry), _) => inquiry.pending(),
            (None, Some(_)) => 0,
            (None, None) => self.session.pending(),
        }
    }

    /// Whether its next pass is a token's: no prompt, and nothing that a monitor has read.
    pub(crate) fn decodes(&self) -> bool {
        self.inquiry.is_none() && self.pending() <= 1
    }

    /// Runs at most this many tokens of each of its sequences in one pass.
    pub(crate) fn set_chunk(&mut self, tokens: usize) {
        match &mut self.inquiry {
            Some(inquiry) => inquiry.set_chunk(tokens),
            None => self.session.set_chunk(tokens),
        }
    }

    /// Blocks that its next pass takes, and that all of what is pending takes.
    pub(crate) fn wants(&self) -> (usize, usize) {
        match &self.inquiry {
            Some(inquiry) => inquiry.wants(),
            None => (self.session.wants(), self.session.wants_in_all()),
        }
    }

    /// Whether it holds keys and values that can be made again.
    pub(crate) fn can_give_way(&self) -> bool {
        let main = self.session.pending() < self.session.len();
        !self.is_finished() && self.session.can_recompute() && (main || self.inquiry.is_some())
    }

    /// Gives up what it does not need for its next pass; says whether that may have been something.
    pub(crate) fn relieve(&mut self) -> Result<bool> {
        let idle = self.inquiry.is_none() && !self.watchers.is_empty();
        let waits = self.inquiry.is_some()
            && self.session.can_recompute()
            && self.session.pending() < self.session.len();
        if idle {
            self.watchers.give_way()?;
        } else if waits {
            self.session.restart(self.session.len())?;
        }
        Ok(idle || waits)
    }

    /// Tokens that are run before anything comes of it.
    pub(crate) fn ahead(&self) -> usize {
        self.session.len() + self.inquiry.as_ref().map_or(0, MonitorQuery::pending)
    }

    /// Gives keys and values up, to be made again.
    pub(crate) fn give_way(&mut self) -> Result<()> {
        (self.ready, self.scored) = (None, None);
        self.watchers.give_way()?;
        self.inquiry.as_mut().map_or(Ok(()), MonitorQuery::give_way)?;
        self.session.restart(self.session.len())
    }

    /// The rows of the next pass: none where a rewind needs no pass, several where a monitor asks for several.
    pub(super) fn rows(&mut self) -> Vec<Row<'_>> {
        if let Some(inquiry) = &mut self.inquiry {
            return inquiry.rows();
        }
        if self.ready.is_some() {
            return Vec::new();
        }
        let mut want =
            Outputs { logits: LogitsAt::Last, reading: self.request.reading, ..Outputs::default() };
        if !self.watchers.is_empty() {
            want.reading = WithFinal::LogitsAndFinal;
            let senses = self.watchers.senses();
            want.captures.clone_from(&senses.sites);
            want.attention.clone_from(&senses.attention);
        }
        vec![self.session.row(want)]
    }

    /// Counts what a pass has run for it.
    pub(super) fn count(&mut self, tokens: usize) {
        match self.inquiry {
            Some(_) => self.usage.monitor_tokens += tokens,
            None => self.usage.forward_tokens += tokens,
        }
    }

    /// The logits behind the place a rewind went back to: what its pass gave, and the head alone run again.
    pub(super) fn ready(&self) -> Option<Result<Readout>> {
        let Passed { last, sensed } = self.ready.as_ref().filter(|_| !self.is_asking())?;
        let logits = self.session.decoder().head().logits(last);
        Some(logits.map(|logits| Readout {
            row: RowReadout { logits: vec![logits], finals: vec![last.to_vec()] },
            sensed: Sensed::clone(sensed),
        }))
    }

    /// Tells that a part of the prompt was run.
    pub(super) fn prefilled(&mut self, emit: &mut dyn FnMut(Event) -> Flow) {
        let tokens = self.session.len() - self.session.pending();
        let mut out = Emitter::new(emit);
        out.send(Event::Prefilled { tokens });
        self.obey(&mut out);
    }

    /// Ends the answer with an error.
    pub(crate) fn fail(&mut self, error: Error, emit: &mut dyn FnMut(Event) -> Flow) {
        self.fail_with(error, &mut Emitter::new(emit));
    }

    fn fail_with(&mut self, error: Error, out: &mut Emitter) {
        self.cut_text(self.shown, out);
        self.finish(Finish::Failed(error.to_string()), out);
        self.failure = Some(error);
    }

    /// Takes in the next token's logits, and processes them.
    pub(super) fn score(&mut self, readout: Readout) -> Result<()> {
        let Readout { row: RowReadout { mut logits, mut finals }, mut sensed } = readout;
        let (mut logits, last) = (logits.pop().unwrap_or_default(), finals.pop());
        let passed = last.as_ref().filter(|_| !self.watchers.is_empty());
        if passed.is_some() {
            sensed.readings = self.session.readings()?;
        }
        let passed =
            passed.map(|last| Passed { last: last.as_slice().into(), sensed: Arc::new(sensed) });
        let context = self.context();
        for processor in &self.request.processors {
            contain("logits processor", || processor.process(&context, &mut logits))??;
        }
        for banned in &self.banned {
            logits.get_mut(*banned as usize).into_iter().for_each(|l| *l = f32::NEG_INFINITY);
        }
        // A monitor, or a batch-mate, may have asked for readings where this request did not.
        let asked = self.request.reading == WithFinal::LogitsAndFinal;
        self.scored = Some(Scored { logits, reading: last.filter(|_| asked), passed });
        Ok(())
    }

    fn context(&self) -> Context<'_> {
        Context { tokens: self.session.tokens(), prompt_len: self.session.prompt_len() }
    }

    /// What its next token is chosen from, as answer `index` of a group; `None` while that is yet to be run.
    pub(super) fn candidate(&self, index: usize) -> Option<Candidate<'_>> {
        let Scored { logits, reading, .. } = self.scored.as_ref()?;
        Some(Candidate {
            index,
            logits,
            context: self.context(),
            reading: reading.as_deref(),
            sampling: &self.request.sampling,
            draw: self.session.draws().draw(Purpose::Token, self.session.len()),
        })
    }

    /// Whether its logits leave a choice.
    pub(super) fn check_choice(&self) -> Result<()> {
        let Some(candidate) = self.candidate(0) else { return Ok(()) };
        Sampling::Greedy.choose(candidate.logits, &candidate.draw).map(drop)
    }

    /// Takes a chosen token in: text, monitors, ends.
    pub(super) fn accept(&mut self, token: u32, emit: &mut dyn FnMut(Event) -> Flow) -> Result<()> {
        let Some(scored) = self.scored.take() else { return Ok(()) };
        self.rewound = None;
        let mut step = Step::of(token, &scored.logits, self.request.top_logprobs);
        step.reading = scored.reading;
        self.banned.clear();
        self.ready = None;
        self.sensed = scored.passed.as_ref().map(|passed| passed.sensed.clone());
        if !self.watchers.is_empty() {
            let fresh = || RewindPoint::of(&self.session, self.fed, scored.passed);
            self.before = Some(self.retried.take().unwrap_or_else(fresh));
        }
        self.usage.completion_tokens += 1;
        let mut out = Emitter::new(emit);
        out.send(Event::Token(step.clone()));
        if self.tokenizer.is_end_of_generation(token) {
            self.begin_end(Finish::EndToken(token));
        } else {
            self.append(token, Some(step));
            self.question = Some(Question::about_a_token());
        }
        self.settle(&mut out)
    }

    /// Takes in what the model read for a monitor.
    pub(super) fn hear(
        &mut self,
        readouts: Vec<RowReadout>,
        emit: &mut dyn FnMut(Event) -> Flow,
    ) -> Result<()> {
        let Some(mut inquiry) = self.inquiry.take() else { return Ok(()) };
        let mut out = Emitter::new(emit);
        if inquiry.take(readouts) {
            self.watchers.heard(inquiry.who, inquiry.heard())?;
            return self.settle(&mut out);
        }
        self.inquiry = Some(inquiry);
        Ok(())
    }

    /// Ends the answer if its receiver wants no more; what was not shown is not part of it.
    fn obey(&mut self, out: &mut Emitter) {
        if out.flow == Flow::Cancel && self.finish.is_none() {
            self.cut_text(self.shown, out);
            self.finish(Finish::Cancelled, out);
        }
        if let Some(error) = out.failure.take() {
            self.fail_with(error, out);
        }
    }

    fn append(&mut self, token: u32, step: Option<Step>) {
        // An end flushes half characters; what follows after all begins behind the last whole one.
        self.text.truncate(self.stream.text_len_at(self.tokens.len()));
        self.text.push_str(self.stream.push(token));
        self.places.push(self.session.len() + self.tokens.len() - self.fed);
        self.tokens.push(token);
        self.ends.push(self.text.len());
        self.pieces.push(Piece { step, before: self.before.clone() });
        // The first place is always one to go back to.
        let old = self.pieces.len().checked_sub(REMEMBERED).filter(|old| *old > 0);
        if let Some(origin) = old.and_then(|old| self.pieces.get(old)?.before.as_ref()) {
            origin.forget();
        }
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
        self.session.len() + unfed + more > self.room
    }

    /// The model or a limit ends the answer; monitors may still object.
    fn begin_end(&mut self, finish: Finish) {
        self.text.push_str(&self.stream.flush());
        self.question = Some(Question::about_the_end(finish));
    }

    fn finish(&mut self, finish: Finish, out: &mut Emitter) {
        (self.question, self.inquiry, self.ready, self.scored) = (None, None, None, None);
        self.trim_tokens();
        out.send(Event::Done(finish.clone()));
        self.finish = Some(finish);
    }

    /// Bytes that every monitor allows to be shown.
    fn released(&self) -> usize {
        self.watchers.released().unwrap_or(self.text.len()).min(self.text.len())
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
        let kept = self.begun(len);
        self.tokens.truncate(kept);
        self.ends.truncate(kept);
        self.places.truncate(kept);
        self.pieces.truncate(kept);
    }

    fn show(&mut self, to: usize, out: &mut Emitter) {
        if let Some(fresh) = self.text.get(self.shown..to).filter(|t| !t.is_empty()) {
            let (first, end) = (self.begun(self.shown), self.begun(to));
            let token = |n: usize| {
                let begin = self.stream.text_len_at(n).saturating_sub(self.shown);
                ShownToken { begin, step: self.pieces.get(n).and_then(|piece| piece.step.clone()) }
            };
            let tokens = (first..end).map(token).collect();
            out.send(Event::Text { text: fresh.to_owned(), first, tokens });
            self.shown = to;
        }
    }

    /// Tokens that begin in the first `bytes` of the text.
    fn begun(&self, bytes: usize) -> usize {
        // Each token but the first begins where the one before it ends.
        let ends = self.ends.partition_point(|end| *end < bytes);
        if bytes == 0 { 0 } else { (ends + 1).min(self.tokens.len()) }
    }
}

/// Sends events and remembers whether the sink asked to stop, or panicked.
struct Emitter<'a> {
    emit: &'a mut dyn FnMut(Event) -> Flow,
    flow: Flow,
    failure: Option<Error>,
}

impl<'a> Emitter<'a> {
    fn new(emit: &'a mut dyn FnMut(Event) -> Flow) -> Self {
        Emitter { emit, flow: Flow::Continue, failure: None }
    }

    /// A sink that panicked gets nothing but the end that follows from it.
    fn send(&mut self, event: Event) {
        if self.failure.is_some() {
            return;
        }
        match contain("sink", || (self.emit)(event)) {
            Ok(Flow::Continue) => {}
            Ok(Flow::Cancel) => self.flow = Flow::Cancel,
            Err(error) => self.failure = Some(error),
        }
    }
}
