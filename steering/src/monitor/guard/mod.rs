//! The guard: asks its watches when they are due, and acts on what they find.
//!
//! It is one [`Monitor`] however many watches it has, so that they share one budget, one set of boundaries and one record.
//! A *clean boundary* is a place where a sentence ended, or so many tokens had passed, and every watch vouched for the
//! text before it; the prompt's end is the first. Text leaves up to the last of them, and rewinds go no further back
//! than what has left.

mod act;
mod guides;
mod ledger;
mod rules;

#[cfg(test)]
mod tests;

pub use guides::Guides;
pub use rules::{Combine, Guidance, OnExhausted, REFUSAL, RewindTo, Rules, Stream};

use super::detect::{Action, Detection, Finding};
use super::record::{Check, Outcome, Record};
use super::watch::{AtEnd, Bound, Duty, LONGEST, Place, SOON, Watch, Watching};
use crate::error::{Error, Result};
use ledger::Ledger;
use std::sync::{Arc, Mutex, PoisonError};
use trimtab_runtime::monitor::{AnswerView, Heard, Monitor, Senses, Stage, Verdict};

/// The most watches of one guard.
pub(crate) const MOST_WATCHES: usize = 4;
/// What watches found at one place, by their numbers.
type Found = Vec<(usize, Finding)>;

/// What a guard found and did, readable while it works.
#[derive(Debug, Clone, Default)]
pub struct Records(Arc<Mutex<Record>>);

impl Records {
    /// What is on record so far.
    pub fn read(&self) -> Record {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn write<T>(&self, change: impl FnOnce(&mut Record) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A round of checks of one answer, which may have to wait for the model.
#[derive(Debug)]
struct Round {
    tokens: usize,
    place: Place,
    found: Found,
    /// The watch that is asked next.
    next: usize,
    /// Why it could not take in what the model read.
    failed: Option<String>,
}

impl Round {
    fn at(tokens: usize, place: Place) -> Round {
        Round { tokens, place, found: Vec::new(), next: 0, failed: None }
    }
}

/// Watches one answer and takes back what its watches object to.
pub struct Guard {
    watches: Vec<Watching>,
    rules: Rules,
    round: Option<Round>,
    /// Lengths at clean boundaries, rising; the first is 0.
    marks: Vec<usize>,
    /// Sharpness of attention by token, where the rule reads it.
    sharpness: Vec<f64>,
    /// Tokens whose text has been allowed out.
    emitted: usize,
    /// The last place that was looked at from all sides.
    tried: usize,
    ledger: Ledger,
    mood: GuardState,
    records: Records,
}

/// What a guard may still do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum GuardState {
    Armed,
    /// A rewind began, and the answer has not come past this length yet.
    Recovering(usize),
    /// Its means are exhausted and the answer is kept all the same.
    Disarmed,
}

impl Guard {
    /// At most four watches, on the given terms.
    pub fn new(watches: Vec<Watch>, rules: Rules) -> Result<(Guard, Records)> {
        if watches.is_empty() || watches.len() > MOST_WATCHES {
            let problem = format!("has {} watches, expected 1 to {MOST_WATCHES}", watches.len());
            return Err(Error::setting("watch", problem));
        }
        watches.iter().try_for_each(Watch::check)?;
        rules.check()?;
        let mandatory = watches.iter().any(|watch| watch.duty == Duty::Mandatory);
        if mandatory && rules.on_exhausted != OnExhausted::Refuse {
            let problem = "lets an answer go on that a mandatory watch could not judge; refuse it";
            return Err(Error::setting("on_exhausted", problem));
        }
        let records = Records::default();
        records.write(|record| record.watches = watches.iter().map(|w| w.name.clone()).collect());
        let guard = Guard {
            watches: watches.into_iter().map(Watching::new).collect(),
            rules,
            round: None,
            marks: vec![0],
            sharpness: Vec::new(),
            emitted: 0,
            tried: 0,
            ledger: Ledger::default(),
            mood: GuardState::Armed,
            records: records.clone(),
        };
        Ok((guard, records))
    }

    /// The last clean boundary.
    fn mark(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    /// The most tokens that may go unchecked now.
    fn longest(&self) -> usize {
        match self.mood {
            GuardState::Recovering(_) => SOON,
            GuardState::Armed | GuardState::Disarmed => LONGEST,
        }
    }

    /// The place behind the newest token.
    fn place(&self, answer: &AnswerView) -> Place {
        let tokens = answer.tokens.len();
        let end = match answer.stage {
            Stage::Ended => AtEnd::Answer,
            Stage::Unfolding => AtEnd::of_text(answer.text),
        };
        // A place that did not become clean is tried again soon, but not at every token.
        let (since, limit) = match self.tried > self.mark() {
            true => (self.tried, SOON),
            false => (self.mark(), self.longest()),
        };
        let far = tokens.saturating_sub(since) >= limit;
        let overdue = self.watches.iter().any(|w| w.is_overdue(tokens, self.longest()));
        let candidate = far || overdue || end != AtEnd::Nothing;
        Place { end, bound: if candidate { Bound::Candidate } else { Bound::No } }
    }

    /// Asks every watch that is due. Where one has to wait for the model, the verdict that says so.
    fn look(&mut self, answer: &AnswerView) -> std::result::Result<Round, Verdict> {
        let tokens = answer.tokens.len();
        let begun = self.round.take().filter(|round| round.tokens == tokens);
        let ended = answer.stage == Stage::Ended;
        let begun = begun.filter(|round| (round.place.end == AtEnd::Answer) == ended);
        let mut round = begun.unwrap_or_else(|| Round::at(tokens, self.place(answer)));
        for (index, watching) in self.watches.iter_mut().enumerate().skip(round.next) {
            // What was undecided while the answer went on is decided by its end.
            let again = round.place.end == AtEnd::Answer && !watching.has_decided(answer.text);
            if !again && !watching.is_due(tokens, round.place) {
                continue;
            }
            let failed = round.failed.take().map(|why| Ok(Detection::Found(Finding::unknown(why))));
            let finding = match failed.unwrap_or_else(|| watching.watch.perceiver.detect(answer)) {
                Ok(Detection::Found(finding)) => finding,
                Ok(Detection::Ask(sessions)) => {
                    self.round = Some(Round { next: index, ..round });
                    return Err(Verdict::Ask(sessions));
                }
                // A perceiver that fails has not seen that all is well.
                Err(error) => Finding::unknown(error.to_string()),
            };
            watching.note(tokens, finding.action);
            round.found.push((index, finding));
        }
        Ok(round)
    }

    fn file(&self, tokens: usize, found: &Found) {
        self.records.write(|record| {
            for (watch, finding) in found {
                let Finding { action, score, margin, state, note, .. } = finding.clone();
                record.hits += usize::from(action == Action::Rollback);
                let check = Check { watch: *watch, at: tokens, score, margin, state, action, note };
                record.checks.push(check);
            }
        });
    }

    /// Makes a position a clean boundary if every watch has judged all text up to it.
    fn bound(&mut self, answer: &AnswerView, place: Place) {
        let (tokens, ended) = (answer.tokens.len(), place.end == AtEnd::Answer);
        if place.bound == Bound::No {
            return;
        }
        self.tried = tokens;
        let vouched = self.watches.iter().all(|w| w.vouches(tokens));
        let decided = ended || self.watches.iter().all(|w| w.has_decided(answer.text));
        let lag = self.watches.iter().map(|w| w.watch.perceiver.lag()).max().unwrap_or(0);
        let clean = if ended { tokens } else { tokens.saturating_sub(lag) };
        if !vouched || !decided {
            return;
        }
        if clean > self.mark() {
            self.marks.push(clean);
        }
        if let GuardState::Recovering(past) = self.mood
            && (ended || tokens >= past)
        {
            self.mood = GuardState::Armed;
            self.records.write(Record::recover);
        }
    }

    /// Goes on, and says how much may be shown.
    fn go_on(&mut self, answer: &AnswerView, place: Place) -> Verdict {
        let tokens = answer.tokens.len();
        self.bound(answer, place);
        if answer.stage == Stage::Ended && self.mark() < tokens && self.mood != GuardState::Disarmed
        {
            self.flag("unresolved");
        }
        self.emitted = self.emitted.max(self.shown(answer));
        let held = tokens.saturating_sub(self.emitted);
        self.records.write(|record| record.held = record.held.max(held));
        let release =
            if self.emitted == tokens { answer.text.len() } else { end(answer, self.emitted) };
        Verdict::Continue { release, ask_after: 1 }
    }

    /// How many tokens may be shown.
    fn shown(&self, answer: &AnswerView) -> usize {
        let tokens = answer.tokens.len();
        // At the end no watch looks again: what is not clean by then was flagged.
        let free = self.rules.stream == Stream::Retract
            || self.mood == GuardState::Disarmed
            || answer.stage == Stage::Ended
            || self.watches.iter().all(Watching::only_reports);
        if free { tokens } else { self.mark().max(self.out_of_reach(answer)) }
    }

    /// Tokens that a rewind by a fixed number can no longer reach.
    fn out_of_reach(&self, answer: &AnswerView) -> usize {
        let RewindTo::Fixed { window } = self.rules.rewind else { return 0 };
        let reach =
            |watching: &Watching| Some(window + watching.watch.patience + watching.looks_every()?);
        let reach = self.watches.iter().map(reach).collect::<Option<Vec<usize>>>();
        let clean = |w: &Watching| w.is_clean() && w.has_decided(answer.text);
        match reach.and_then(|reach| reach.into_iter().max()) {
            Some(reach) if self.watches.iter().all(clean) => {
                answer.tokens.len().saturating_sub(reach)
            }
            _ => 0,
        }
    }

    fn flag(&self, why: &str) {
        self.records.write(|record| {
            if record.outcome == Outcome::Clean || record.outcome == Outcome::Recovered {
                record.outcome = Outcome::Flagged;
                record.why.get_or_insert_with(|| why.to_owned());
            }
        });
    }
}

impl Monitor for Guard {
    fn watch(&mut self, answer: &AnswerView) -> trimtab_runtime::Result<Verdict> {
        if let RewindTo::Sharpness(rule) = &self.rules.rewind {
            let value = rule.read(answer.sensed);
            self.sharpness.resize(answer.tokens.len(), 0.0);
            self.sharpness.iter_mut().last().into_iter().for_each(|newest| *newest = value);
        }
        if self.mood == GuardState::Disarmed {
            return Ok(self.go_on(answer, self.place(answer)));
        }
        let Round { found, place, .. } = match self.look(answer) {
            Ok(round) => round,
            Err(ask) => return Ok(ask),
        };
        self.file(answer.tokens.len(), &found);
        Ok(self.act(answer, (&found, place)).unwrap_or_else(|| self.go_on(answer, place)))
    }

    fn rewind(&mut self, tokens: usize) {
        self.round = None;
        self.marks.retain(|mark| *mark <= tokens);
        self.sharpness.truncate(tokens);
        self.emitted = self.emitted.min(tokens);
        self.tried = self.tried.min(tokens);
        self.watches.iter_mut().for_each(|watching| watching.rewind(tokens));
    }

    fn senses(&self) -> Senses {
        let mut all = Senses::default();
        for Watching { watch, .. } in &self.watches {
            let Senses { sites, attention } = watch.perceiver.senses();
            all.sites.extend(sites);
            all.attention.extend(attention);
        }
        if let RewindTo::Sharpness(rule) = &self.rules.rewind {
            all.attention.extend_from_slice(rule.blocks());
        }
        all
    }

    fn heard(&mut self, read: Vec<Heard>) -> trimtab_runtime::Result<()> {
        let Some(round) = &mut self.round else { return Ok(()) };
        if let Some(watching) = self.watches.get_mut(round.next) {
            let heard = watching.watch.perceiver.heard(read);
            round.failed = heard.err().map(|error| error.to_string());
        }
        Ok(())
    }

    fn give_way(&mut self) -> trimtab_runtime::Result<()> {
        self.watches.iter_mut().try_for_each(|watching| watching.watch.perceiver.give_way())
    }
}

/// Where a token's text ends; the text's beginning for none.
fn end(answer: &AnswerView, tokens: usize) -> usize {
    match tokens.checked_sub(1) {
        None => 0,
        Some(last) => answer.ends.get(last).copied().unwrap_or(answer.text.len()),
    }
}
