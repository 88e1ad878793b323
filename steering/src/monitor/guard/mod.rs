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
pub use rules::{Combine, Guidance, OnExhausted, RewindTo, Rules, Stream};

use super::perceive::{Action, Finding, Perception};
use super::record::{Check, Outcome, Record};
use super::watch::{AtEnd, Bound, LONGEST, Place, SOON, Watch, Watching};
use crate::error::{Error, Result};
use ledger::Ledger;
use std::sync::{Arc, Mutex, PoisonError};
use trimtab_runtime::monitor::{Heard, Monitor, Senses, Stage, Unfolding, Verdict};

/// The most watches of one guard.
const MOST_WATCHES: usize = 4;
/// Names of the blocks whose attention is read come with the rule.
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
#[derive(Debug, Default)]
struct Round {
    tokens: usize,
    found: Found,
    /// The watch that is asked next.
    next: usize,
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
    ledger: Ledger,
    mood: Mood,
    records: Records,
}

/// What a guard may still do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mood {
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
        let records = Records::default();
        records.write(|record| record.watches = watches.iter().map(|w| w.name.clone()).collect());
        let guard = Guard {
            watches: watches.into_iter().map(Watching::new).collect(),
            rules,
            round: None,
            marks: vec![0],
            sharpness: Vec::new(),
            emitted: 0,
            ledger: Ledger::default(),
            mood: Mood::Armed,
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
            Mood::Recovering(_) => SOON,
            Mood::Armed | Mood::Disarmed => LONGEST,
        }
    }

    /// The place behind the newest token.
    fn place(&self, answer: &Unfolding) -> Place {
        let end = match answer.stage {
            Stage::Ended => AtEnd::OfAnswer,
            Stage::Unfolding => AtEnd::of_text(answer.text),
        };
        let far = answer.tokens.len().saturating_sub(self.mark()) >= self.longest();
        let bound = if far || end != AtEnd::OfNothing { Bound::Candidate } else { Bound::No };
        Place { end, bound }
    }

    /// Asks every watch that is due; `None` where one has to wait for the model.
    fn look(&mut self, answer: &Unfolding) -> std::result::Result<Found, Verdict> {
        let tokens = answer.tokens.len();
        let (place, longest) = (self.place(answer), self.longest());
        let mut round = self.round.take().filter(|round| round.tokens == tokens);
        let Round { mut found, next, .. } = round.take().unwrap_or_default();
        for (index, watching) in self.watches.iter_mut().enumerate().skip(next) {
            // What was undecided while the answer went on is decided by its end.
            let again = place.end == AtEnd::OfAnswer && !watching.has_decided(answer.text);
            if !again && !watching.is_due(tokens, place, longest) {
                continue;
            }
            let finding = match watching.watch.perceiver.perceive(answer) {
                Ok(Perception::Found(finding)) => finding,
                Ok(Perception::Ask(sessions)) => {
                    self.round = Some(Round { tokens, found, next: index });
                    self.ledger.ask();
                    return Err(Verdict::Ask(sessions));
                }
                // A perceiver that fails has not seen that all is well.
                Err(error) => Finding::unknown(error.to_string()),
            };
            watching.note(tokens, finding.action);
            found.push((index, finding));
        }
        Ok(found)
    }

    /// Writes checks down.
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

    /// Makes the newest token a clean boundary, if it is one.
    fn bound(&mut self, answer: &Unfolding) {
        let (tokens, place) = (answer.tokens.len(), self.place(answer));
        let vouched = self.watches.iter().all(|w| w.vouches(tokens));
        let ended = place.end == AtEnd::OfAnswer;
        let decided = ended || self.watches.iter().all(|w| w.has_decided(answer.text));
        if place.bound == Bound::No || !vouched || !decided || tokens <= self.mark() {
            return;
        }
        self.marks.push(tokens);
        if let Mood::Recovering(past) = self.mood
            && (ended || tokens >= past)
        {
            self.mood = Mood::Armed;
            self.records.write(Record::recover);
        }
    }

    /// Goes on, and says how much may be shown.
    fn go_on(&mut self, answer: &Unfolding) -> Verdict {
        let tokens = answer.tokens.len();
        self.bound(answer);
        if answer.stage == Stage::Ended && self.mark() < tokens && self.mood != Mood::Disarmed {
            // Nobody is going to look again.
            self.flag("unresolved");
            self.mood = Mood::Disarmed;
        }
        self.emitted = self.emitted.max(self.shown(answer));
        let held = tokens.saturating_sub(self.emitted);
        self.records.write(|record| record.held = record.held.max(held));
        let release =
            if self.emitted == tokens { answer.text.len() } else { end(answer, self.emitted) };
        Verdict::Continue { release, ask_after: 1 }
    }

    /// How many tokens may be shown.
    fn shown(&self, answer: &Unfolding) -> usize {
        let tokens = answer.tokens.len();
        let free = self.rules.stream == Stream::Retract
            || self.mood == Mood::Disarmed
            || self.watches.iter().all(Watching::only_reports);
        if free { tokens } else { self.mark().max(self.out_of_reach(answer)) }
    }

    /// Tokens that a rewind by a fixed number can no longer reach.
    fn out_of_reach(&self, answer: &Unfolding) -> usize {
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
    fn watch(&mut self, answer: &Unfolding) -> trimtab_runtime::Result<Verdict> {
        self.ledger.begin(answer.tokens.len());
        if let RewindTo::Sharpness(rule) = &self.rules.rewind {
            let value = rule.read(answer.sensed);
            self.sharpness.resize(answer.tokens.len(), 0.0);
            self.sharpness.iter_mut().last().into_iter().for_each(|newest| *newest = value);
        }
        if self.mood == Mood::Disarmed {
            return Ok(self.go_on(answer));
        }
        let found = match self.look(answer) {
            Ok(found) => found,
            Err(ask) => return Ok(ask),
        };
        self.file(answer.tokens.len(), &found);
        Ok(self.act(answer, &found).unwrap_or_else(|| self.go_on(answer)))
    }

    fn rewind(&mut self, tokens: usize) {
        self.round = None;
        self.marks.retain(|mark| *mark <= tokens);
        self.sharpness.truncate(tokens);
        self.emitted = self.emitted.min(tokens);
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
        self.ledger.heard();
        let asked = self.round.as_ref().map(|round| round.next);
        match asked.and_then(|index| self.watches.get_mut(index)) {
            Some(watching) => watching.watch.perceiver.heard(read),
            None => Ok(()),
        }
    }

    fn give_way(&mut self) -> trimtab_runtime::Result<()> {
        self.watches.iter_mut().try_for_each(|watching| watching.watch.perceiver.give_way())
    }
}

/// Where a token's text ends; the text's beginning for none.
fn end(answer: &Unfolding, tokens: usize) -> usize {
    match tokens.checked_sub(1) {
        None => 0,
        Some(last) => answer.ends.get(last).copied().unwrap_or(answer.text.len()),
    }
}
