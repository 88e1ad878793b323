//! One watch over an answer: who looks, how often, and what follows.

use super::detect::{Action, Detector};
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// When a watch looks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Cadence {
    /// Where a sentence ends, and at the latest after 32 unchecked tokens.
    #[default]
    Sentence,
    /// After every so many tokens.
    Tokens(usize),
}

/// What is done where a watch hits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Then {
    /// The answer is rewound and generated again.
    #[default]
    Rewind,
    /// The answer ends.
    Stop,
    /// The answer goes on, and the receipt says so.
    Report,
}

/// What becomes of an answer that cannot be judged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Guard))]
#[serde(rename_all = "snake_case")]
pub enum Duty {
    /// It is not given: three checks in a row that could not tell end it.
    #[default]
    Mandatory,
    /// It is given and flagged.
    Advisory,
}

/// The most tokens between two checks, and between two boundaries.
pub(super) const LONGEST: usize = 32;
/// The same after a check that was not plain, and while an answer recovers from a rewind.
pub(super) const SOON: usize = 16;
/// Checks in a row that may fail to tell.
pub(super) const UNTOLD: usize = 3;
/// The most hits in a row that may be asked for.
const MOST_PATIENCE: usize = 5;
/// The most tokens between two checks of one cadence, and before the first.
const MOST_TOKENS: usize = 64;

/// A perceiver and its terms.
pub struct Watch {
    /// What records and receipts call it.
    pub name: String,
    /// Who looks.
    pub perceiver: Box<dyn Detector>,
    /// When.
    pub cadence: Cadence,
    /// Never before the answer has this many tokens, except at its end.
    pub min_tokens: usize,
    /// Hits in a row that make it act.
    pub patience: usize,
    /// What follows.
    pub then: Then,
    /// Whether an answer may go on unjudged.
    pub duty: Duty,
}

impl Watch {
    /// A watch that looks after every token, from the first, and rewinds at once.
    pub fn new(name: impl Into<String>, perceiver: impl Detector + 'static) -> Watch {
        Watch {
            name: name.into(),
            perceiver: Box::new(perceiver),
            cadence: Cadence::Tokens(1),
            min_tokens: 0,
            patience: 1,
            then: Then::Rewind,
            duty: Duty::Advisory,
        }
    }

    pub(super) fn check(&self) -> Result<()> {
        let within = |field, found: usize, least: usize, most: usize| match found {
            n if n < least || n > most => {
                Err(Error::setting(field, format!("is {n}, expected {least} to {most}")))
            }
            _ => Ok(()),
        };
        if let Cadence::Tokens(every) = self.cadence {
            within("cadence", every, 1, MOST_TOKENS)?;
        }
        within("min_tokens", self.min_tokens, 0, MOST_TOKENS)?;
        within("patience", self.patience, 1, MOST_PATIENCE)
    }
}

/// A watch at work: its checks so far.
pub(super) struct Watching {
    pub(super) watch: Watch,
    /// Where it looked and what that asked for, in order.
    checked: Vec<(usize, Action)>,
    standing: Standing,
}

/// Whether a watch is still asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Active,
    /// It advised and cost more than it is worth.
    Retired,
}

impl Watching {
    pub(super) fn new(watch: Watch) -> Watching {
        Watching { watch, checked: Vec::new(), standing: Standing::Active }
    }

    /// Where it looked last.
    fn last(&self) -> Option<(usize, Action)> {
        self.checked.last().copied()
    }

    /// Whether it looks at a place.
    pub(super) fn is_due(&self, tokens: usize, place: Place) -> bool {
        let last = self.last().map_or(0, |(at, _)| at);
        if self.standing == Standing::Retired || self.last().is_some_and(|(at, _)| at == tokens) {
            return false;
        }
        if place.end == AtEnd::Answer {
            return tokens > 0;
        }
        if tokens < self.watch.min_tokens {
            return false;
        }
        let due = match self.watch.cadence {
            Cadence::Tokens(every) => tokens - last >= every,
            Cadence::Sentence => false,
        };
        due || place.bound == Bound::Candidate
    }

    /// Whether it has gone without a look for so long that this place has to be one where text could become clean.
    pub(super) fn is_overdue(&self, tokens: usize, longest: usize) -> bool {
        let (last, action) = self.last().unwrap_or((0, Action::Continue));
        let longest = if action == Action::Continue { longest } else { longest.min(SOON) };
        let counts = self.standing == Standing::Active
            && self.watch.cadence == Cadence::Sentence
            && tokens >= self.watch.min_tokens;
        counts && tokens - last >= longest
    }

    /// A second look at one place replaces the first.
    pub(super) fn note(&mut self, tokens: usize, action: Action) {
        self.checked.pop_if(|(at, _)| *at == tokens);
        self.checked.push((tokens, action));
    }

    /// The newest checks in a row that asked for this.
    fn trailing(&self, action: Action) -> usize {
        self.checked.iter().rev().take_while(|(_, found)| *found == action).count()
    }

    pub(super) fn hits(&self) -> bool {
        self.trailing(Action::Rollback) >= self.watch.patience
    }

    /// Whether it has failed to tell too often.
    pub(super) fn is_lost(&self) -> bool {
        self.trailing(Action::Unknown) >= UNTOLD
    }

    /// Whether it vouches for so many tokens: it looked there and found nothing. An adviser that cannot tell holds
    /// nothing back.
    pub(super) fn vouches(&self, tokens: usize) -> bool {
        let looked = self.last().is_some_and(|(at, _)| at == tokens) && self.is_clean();
        let silent = self.standing == Standing::Retired || (self.is_lost() && !self.must_tell());
        looked || silent || self.only_reports()
    }

    /// Asks it no more.
    pub(super) fn retire(&mut self) {
        self.standing = Standing::Retired;
    }

    /// Whether an answer that it cannot judge is not given.
    pub(super) fn must_tell(&self) -> bool {
        self.watch.duty == Duty::Mandatory && !self.only_reports()
    }

    /// Whether its newest check could not tell, and it may not be left at that where no check follows. Hits short of
    /// its patience are none.
    pub(super) fn owes(&self) -> bool {
        self.must_tell() && self.trailing(Action::Unknown) > 0
    }

    /// Whether it has looked, and found nothing the last time.
    pub(super) fn is_clean(&self) -> bool {
        self.last().is_some_and(|(_, action)| matches!(action, Action::Continue | Action::Watch))
    }

    /// Whether nothing at the end of a text may yet turn out to be wrong.
    pub(super) fn has_decided(&self, text: &str) -> bool {
        self.watch.perceiver.undecided(text) == 0
    }

    /// Whether nothing ever follows from it.
    pub(super) fn only_reports(&self) -> bool {
        self.watch.then == Then::Report
    }

    /// The tokens between two of its checks, where they are counted.
    pub(super) fn looks_every(&self) -> Option<usize> {
        match self.watch.cadence {
            Cadence::Tokens(every) => Some(every),
            Cadence::Sentence => None,
        }
    }

    /// Forgets the checks behind so many tokens.
    pub(super) fn rewind(&mut self, tokens: usize) {
        self.checked.retain(|(at, _)| *at <= tokens);
        self.watch.perceiver.rewind(tokens);
    }
}

/// The place behind an answer's newest token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) end: AtEnd,
    pub(super) bound: Bound,
}

/// Whether text could become clean at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bound {
    No,
    Candidate,
}

/// What ends at an answer's newest token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AtEnd {
    Nothing,
    /// A sentence, or a line.
    Sentence,
    Answer,
}

impl AtEnd {
    /// Of an answer that goes on.
    pub(super) fn of_text(text: &str) -> AtEnd {
        let closing = |c: char| matches!(c, '"' | '\'' | '”' | '’' | ')' | ']' | '*' | '_');
        let line = text.ends_with('\n') && !text.trim_end().is_empty();
        let stops = ['.', '!', '?', '…', '。', '！', '？'];
        if line || text.trim_end_matches(closing).ends_with(stops) {
            AtEnd::Sentence
        } else {
            AtEnd::Nothing
        }
    }
}
