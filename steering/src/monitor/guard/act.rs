//! From findings to a verdict: the ladder of attempts, and its end.

use super::super::detect::Finding;
use super::super::guidance::{Catalogue, Level, axis_key};
use super::super::record::{GuardAction, Outcome, Record, RetryOutcome, span_hash};
use super::super::watch::{Place, Then};
use super::rules::{Combine, Guidance, OnExhausted, RewindTo, Stream};
use super::{Found, Guard, GuardState, end};
use crate::monitor::policy::State;
use trimtab_runtime::monitor::{AnswerView, Stage, StopReason, Verdict};
use trimtab_runtime::plan::Plan;
use trimtab_runtime::sample::{Draw, Purpose};
use trimtab_runtime::session::History;

/// A rejected span may come back so often before the answer is given up.
const MOST_REPEATS: u32 = 3;

/// Why an answer is given up, in the words of receipts.
const EXHAUSTED: &str = "guard_exhausted";
const CONTEXT: &str = "context";

/// A finding that something follows from.
struct Cause {
    watch: usize,
    finding: Finding,
    place: Place,
}

/// Where a retry begins and with what.
struct Guided {
    plan: Option<(Plan, History)>,
    tokens: Vec<u32>,
    id: String,
    beta: Option<f64>,
}

impl Guard {
    /// What the newest findings ask for; `None` to go on.
    pub(super) fn act(
        &mut self,
        answer: &AnswerView,
        (found, place): (&Found, Place),
    ) -> Option<Verdict> {
        for (watch, finding) in found {
            let watching = self.watches.get(*watch)?;
            let cause = || Cause { watch: *watch, finding: finding.clone(), place };
            let over = watching.watch.perceiver.spent() > self.reading(answer);
            match (watching.is_lost() || over, watching.must_tell()) {
                (true, true) => return Some(self.give_up(answer, &cause(), EXHAUSTED)),
                (true, false) if over => {
                    self.flag("perceiver_tokens");
                    self.watches.get_mut(*watch)?.retire();
                    continue;
                }
                (true, false) => self.flag("unknown"),
                (false, _) => {}
            }
            if !watching.hits() {
                continue;
            }
            match watching.watch.then {
                Then::Report => self.flag("reported"),
                Then::Stop => return Some(self.stop(answer, &cause())),
                Then::Rewind if self.agreed() => return Some(self.rewind_from(answer, &cause())),
                Then::Rewind => {}
            }
        }
        self.unanswered(answer, place)
    }

    /// At an answer's end, a watch that could not tell and may not be left at that: the answer is not given.
    fn unanswered(&mut self, answer: &AnswerView, place: Place) -> Option<Verdict> {
        let owes = self.watches.iter().position(|w| w.owes());
        let watch = owes.filter(|_| answer.stage == Stage::Ended)?;
        let finding = Finding::unknown("the answer ended before it could be told");
        Some(self.give_up(answer, &Cause { watch, finding, place }, EXHAUSTED))
    }

    /// Tokens that a perceiver may have had the model read by now.
    fn reading(&self, answer: &AnswerView) -> usize {
        self.rules.caps.perceiver_tokens(self.ledger.generated(answer.tokens.len()))
    }

    /// Whether the watches that rewind agree that one is due.
    fn agreed(&self) -> bool {
        let mut rewinding = self.watches.iter().filter(|w| w.watch.then == Then::Rewind);
        self.rules.combine == Combine::Any || rewinding.all(|w| w.hits())
    }

    fn stop(&mut self, answer: &AnswerView, cause: &Cause) -> Verdict {
        let name = self.watches.get(cause.watch).map_or("", |w| w.watch.name.as_str());
        let why = format!("stopped: {name}");
        let from = self.mark().max(self.floor());
        self.write_down(answer, cause, from, "stop");
        self.records.write(|record| record.end(Outcome::Stopped, &why));
        Verdict::Stop { keep: end(answer, from), reason: StopReason::Other(why) }
    }

    /// Rewinds within the caps, or gives up.
    fn rewind_from(&mut self, answer: &AnswerView, cause: &Cause) -> Verdict {
        let from = self.target(answer, cause);
        let span = answer.tokens.get(from..).unwrap_or_default();
        let hash = span_hash(span);
        let caps = self.rules.caps;
        let read: usize = self.watches.iter().map(|w| w.watch.perceiver.spent()).sum();
        let over = self.ledger.rewinds >= caps.rewinds
            || self.ledger.discarded + span.len() > caps.discarded
            || self.ledger.rejections(from, &hash) + 1 >= MOST_REPEATS
            || self.ledger.is_dear(caps.time_factor, (from, span.len()), read)
            || span.is_empty();
        if over {
            return self.give_up(answer, cause, EXHAUSTED);
        }
        self.retry(answer, cause, (from, &hash))
    }

    fn retry(
        &mut self,
        answer: &AnswerView,
        cause: &Cause,
        (from, hash): (usize, &str),
    ) -> Verdict {
        let attempt = self.ledger.rewinds + 1;
        let span = answer.tokens.get(from..).unwrap_or_default();
        let again = self.ledger.rejections(from, hash) > 0;
        let level = match Level::of_attempt(attempt) {
            Level::Guide if again => Level::Insist,
            level => level,
        };
        let axis = cause.finding.state.and_then(|state: State| state.first_violated());
        let place = answer.places.get(from).copied().unwrap_or(0);
        let guided = self.guide((axis, level), (attempt, place));
        // One more place than guidance takes, or nothing could follow it.
        if guided.tokens.len() >= answer.room + span.len() {
            return self.give_up(answer, cause, CONTEXT);
        }
        self.ledger.rewinds = attempt;
        self.ledger.reject(from, span, hash);
        let ban = if level == Level::Guide { Vec::new() } else { self.ledger.bans(from) };
        let rule = self.rules.rewind.name();
        let mut written = intervention(answer, cause, (from, rule));
        written.attempt = attempt;
        (written.guidance, written.beta) = (guided.id, guided.beta);
        written.ban.clone_from(&ban);
        self.records.write(|record| record.begin(written));
        self.mood = GuardState::Recovering(answer.tokens.len());
        Verdict::Retry { from, plan: guided.plan, guidance: guided.tokens, ban }
    }

    /// What the model is told at an attempt, whose first token stands at an absolute position.
    fn guide(
        &self,
        (axis, level): (Option<super::super::policy::Axis>, Level),
        (attempt, place): (u32, usize),
    ) -> Guided {
        let retry = self.rules.retry.as_ref();
        let plan = retry.map(|plan| (plan.clone(), History::Keep));
        match &self.rules.guidance {
            Guidance::None => {
                Guided { plan, tokens: Vec::new(), id: "none".to_owned(), beta: None }
            }
            Guidance::Text(asides) => Guided {
                plan,
                tokens: asides.tokens(axis, level).to_vec(),
                id: Catalogue::id(axis, level),
                beta: None,
            },
            Guidance::Vector(guides) => {
                let base = retry.unwrap_or(&self.rules.plan);
                let from = place.saturating_sub(1);
                // Every push was tried when the guides were made.
                let most = self.rules.room;
                let pushed = guides.plan(base, (axis, level), (attempt, from), most);
                let (plan, dose) = pushed.unwrap_or_else(|_| (base.clone(), 0.0));
                let id = format!("vector:{}:{}", axis_key(axis), level.number());
                let plan = Some((plan, History::Keep));
                Guided { plan, tokens: Vec::new(), id, beta: Some(dose) }
            }
        }
    }

    /// How many tokens stay.
    fn target(&mut self, answer: &AnswerView, cause: &Cause) -> usize {
        let (tokens, clean) = (answer.tokens.len(), self.reachable(cause));
        let target = match &self.rules.rewind {
            RewindTo::Clean => clean,
            RewindTo::Fixed { window } => tokens.saturating_sub(*window),
            RewindTo::Sharpness(rule) => {
                let peaks = rule.peak(&self.sharpness, clean);
                self.records.write(|record| {
                    record.peaks.0 += peaks.all;
                    record.peaks.1 += peaks.counted;
                });
                peaks.latest.unwrap_or(clean)
            }
            RewindTo::Drawn { seed } => {
                let draw = Draw {
                    seed: *seed,
                    choice: 0,
                    purpose: Purpose::Token,
                    attempt: self.ledger.rewinds,
                    position: tokens,
                };
                let width = tokens.saturating_sub(clean).max(1);
                clean + (draw.uniform() * width as f64) as usize
            }
        };
        // What is known to be wrong does not stay.
        let target = cause.finding.onset.map_or(target, |onset| target.min(onset));
        target.min(tokens).max(self.floor())
    }

    /// The last clean boundary, or the one before where what was sent may be taken back and the last did not help.
    fn reachable(&self, cause: &Cause) -> usize {
        let wider = self.rules.stream == Stream::Retract && self.ledger.rewinds >= 1;
        let before = cause.finding.onset.unwrap_or(usize::MAX);
        let mut marks = self.marks.iter().rev().filter(|mark| **mark <= before);
        let last = marks.next().copied().unwrap_or(0);
        if wider { marks.next().copied().unwrap_or(last) } else { last }
    }

    /// Tokens that cannot be taken back: what has left.
    fn floor(&self) -> usize {
        match self.rules.stream {
            Stream::Hold => self.emitted,
            Stream::Retract => 0,
        }
    }

    /// The end of the ladder.
    fn give_up(&mut self, answer: &AnswerView, cause: &Cause, why: &str) -> Verdict {
        let from = self.floor().max(self.mark());
        let keep = end(answer, from);
        match self.rules.on_exhausted {
            OnExhausted::Refuse => {
                let reply = self.rules.refusal.clone();
                self.write_down(answer, cause, from, "refuse");
                self.records.write(|record| record.end(Outcome::Exhausted, why));
                Verdict::Stop { keep, reason: StopReason::Refused { why: why.to_owned(), reply } }
            }
            OnExhausted::Stop => {
                self.write_down(answer, cause, from, "stop");
                self.records.write(|record| record.end(Outcome::Exhausted, why));
                Verdict::Stop { keep, reason: StopReason::Other(why.to_owned()) }
            }
            OnExhausted::Keep => {
                self.write_down(answer, cause, answer.tokens.len(), "keep");
                self.mood = GuardState::Disarmed;
                self.records.write(|record| record.end(Outcome::Flagged, why));
                self.go_on(answer, cause.place)
            }
        }
    }

    fn write_down(&self, answer: &AnswerView, cause: &Cause, from: usize, rule: &'static str) {
        let written = intervention(answer, cause, (from, rule));
        self.records.write(|record| record.interventions.push(written));
    }
}

fn intervention(
    answer: &AnswerView,
    cause: &Cause,
    (from, rule): (usize, &'static str),
) -> GuardAction {
    let span = answer.tokens.get(from..).unwrap_or_default();
    GuardAction {
        attempt: 0,
        watch: cause.watch,
        from,
        at: answer.tokens.len(),
        score: cause.finding.score,
        margin: cause.finding.margin,
        state: cause.finding.state,
        rule,
        span: span.to_vec(),
        text: answer.text.get(end(answer, from)..).unwrap_or_default().to_owned(),
        hash: span_hash(span),
        guidance: "none".to_owned(),
        beta: None,
        ban: Vec::new(),
        sequel: RetryOutcome::Open,
    }
}

impl Record {
    fn begin(&mut self, intervention: GuardAction) {
        self.close(RetryOutcome::Repeated);
        self.interventions.push(intervention);
    }

    /// The answer came past its last rewind.
    pub(super) fn recover(&mut self) {
        self.close(RetryOutcome::Recovered);
        if self.outcome == Outcome::Clean {
            self.outcome = Outcome::Recovered;
        }
    }

    /// The answer is given up.
    fn end(&mut self, outcome: Outcome, why: &str) {
        self.close(RetryOutcome::Exhausted);
        self.outcome = outcome;
        self.why = Some(why.to_owned());
    }

    fn close(&mut self, sequel: RetryOutcome) {
        let open = self.interventions.iter_mut().filter(|one| one.sequel == RetryOutcome::Open);
        open.for_each(|one| one.sequel = sequel);
    }
}
