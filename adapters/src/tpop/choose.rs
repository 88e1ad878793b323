//! From candidates to one answer or a duel.
//!
//! Asking never changes a state: neither V nor a version moves until a pair is judged and learnt.

use super::bytes::TpopDigest;
use super::error::TpopError;
use super::pair::{DuelOrder, DuelPair, PairLabel};
use super::params::SecondRule;
use super::second::{Rated, largest, second};
use super::state::TpopState;

/// Choices faster than this are no choices.
pub const FASTEST_CHOICE_MS: u64 = 300;

/// An answer, or an arm before it is answered.
#[derive(Debug, Clone, Copy)]
pub struct DuelCandidate<'a> {
    /// φ, `[width]`.
    pub features: &'a [f32],
    /// Digest of its tokens, or of what identifies the arm: equal ones are one candidate.
    pub answer: TpopDigest,
}

/// Which duel of an owner it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DuelTurn {
    /// Counts the turns; with the state's seed it keys every draw.
    pub round: usize,
    /// Turns since the last question, if there was one.
    pub since_asked: Option<u64>,
}

/// Why one answer is given and nothing is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoDuel {
    /// Fewer than two different candidates whose features are finite.
    OneCandidate,
    /// The budget is spent and the contrast is too small, or the last question is too near.
    NotWorthIt,
}

/// What is shown.
#[derive(Debug, Clone, PartialEq)]
pub enum TpopChoice {
    /// One answer.
    Alone {
        /// Its row: arm a, or row 0 where plain answers are served.
        row: usize,
        /// Why nothing is asked.
        why: NoDuel,
        /// Rows whose features were not finite.
        dropped: Vec<usize>,
    },
    /// Two answers and a question.
    Duel(Box<Duel>),
}

/// Two candidates to show.
#[derive(Debug, Clone, PartialEq)]
pub struct Duel {
    /// Rows of arm a and arm b.
    pub rows: [usize; 2],
    /// φ of both.
    pub features: [Vec<f32>; 2],
    /// Digests of both.
    pub answers: [TpopDigest; 2],
    /// Which is shown on the left; each way with probability ½.
    pub order: DuelOrder,
    /// Rewards of both, in log-odds.
    pub rewards: [f64; 2],
    /// u of arm b against arm a.
    pub bonus: f64,
    /// The largest u against arm a among all candidates.
    pub contrast: f64,
    /// The rule that chose arm b.
    pub rule: SecondRule,
    /// The probability with which it chose arm b. Arm a's is 1.
    pub propensity: f64,
    /// The state's version.
    pub version: u64,
    /// Rows whose features were not finite.
    pub dropped: Vec<usize>,
}

/// When and how fast a duel was judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JudgedAt {
    /// Milliseconds since 1970.
    pub time_ms: i64,
    /// Milliseconds from showing to choice; `None` where that is not known.
    pub took_ms: Option<u64>,
}

impl Duel {
    /// The pair with its judgement.
    pub fn judged(self, id: u64, judgement: PairLabel, at: JudgedAt) -> DuelPair {
        let too_fast = at.took_ms.is_some_and(|took| took < FASTEST_CHOICE_MS);
        DuelPair {
            id,
            features: self.features,
            answers: self.answers,
            prefixes: None,
            order: self.order,
            judgement,
            weight: if too_fast { 0.0 } else { 1.0 },
            propensity: self.propensity,
            contrast: self.contrast,
            time_ms: at.time_ms,
        }
    }
}

/// Candidates that are left, with their rows.
struct Distinct<'a> {
    kept: Vec<(usize, DuelCandidate<'a>)>,
    dropped: Vec<usize>,
}

impl TpopState {
    /// What to show of the candidates of one turn, row 0 being the plain answer.
    ///
    /// Candidates whose features are not finite are left out, equal ones count once. Without data arm a is row 0.
    ///
    /// # Errors
    ///
    /// Features of another width.
    // candidates of [width]
    pub fn choose(
        &self,
        turn: DuelTurn,
        candidates: &[DuelCandidate<'_>],
    ) -> Result<TpopChoice, TpopError> {
        self.choose_by(self.scope.config.params().second, turn, candidates)
    }

    /// The same with arm b chosen by another rule than the keys'.
    ///
    /// # Errors
    ///
    /// As of [`choose`](Self::choose).
    // candidates of [width]
    pub fn choose_by(
        &self,
        rule: SecondRule,
        turn: DuelTurn,
        candidates: &[DuelCandidate<'_>],
    ) -> Result<TpopChoice, TpopError> {
        let Distinct { kept, dropped } = self.distinct(candidates)?;
        let alone = |row, why, dropped| Ok(TpopChoice::Alone { row, why, dropped });
        let served = |best: usize| if self.serves_best() { best } else { 0 };
        let rewards = kept.iter().map(|(_, candidate)| self.head().reward(candidate.features));
        let best = largest(rewards).and_then(|at| kept.get(at)).copied();
        let Some((row_a, a)) = best.filter(|_| kept.len() > 1) else {
            let only = kept.first().map_or(0, |(row, _)| *row);
            return alone(served(only), NoDuel::OneCandidate, dropped);
        };
        let others: Vec<_> = kept.into_iter().filter(|(row, _)| *row != row_a).collect();
        let rated = others.iter().map(|(row, b)| self.rated(rule, *row, (b, &a)));
        let rated: Vec<Rated> = rated.collect();
        let contrast = rated.iter().map(|b| b.bonus).fold(0.0, f64::max);
        if !self.asked().is_worth(contrast, turn.since_asked) {
            return alone(served(row_a), NoDuel::NotWorthIt, dropped);
        }
        let (params, seed) = (self.scope.config.params(), self.scope.seed);
        let chosen = second(rule, params.nu, &rated, (seed, turn.round));
        let found = chosen.and_then(|(at, p)| Some((others.get(at)?, rated.get(at)?, p)));
        let Some(((_, b), of_b, propensity)) = found else {
            return alone(served(row_a), NoDuel::OneCandidate, dropped);
        };
        Ok(TpopChoice::Duel(Box::new(Duel {
            rows: [row_a, of_b.row],
            features: [a.features.to_vec(), b.features.to_vec()],
            answers: [a.answer, b.answer],
            order: DuelOrder::drawn(seed, turn.round),
            rewards: [self.head().reward(a.features), of_b.reward],
            bonus: of_b.bonus,
            contrast,
            rule,
            propensity,
            version: self.version(),
            dropped,
        })))
    }

    /// The first of equal candidates with their rows, and the rows that are not finite.
    fn distinct<'a>(&self, candidates: &[DuelCandidate<'a>]) -> Result<Distinct<'a>, TpopError> {
        let (mut kept, mut dropped) = (Vec::<(usize, DuelCandidate<'a>)>::new(), Vec::new());
        for (row, candidate) in candidates.iter().enumerate() {
            let (found, expected) = (candidate.features.len(), self.scope.width);
            if found != expected {
                return Err(TpopError::Width { what: "feature vector", found, expected });
            }
            if candidate.features.iter().any(|x| !x.is_finite()) {
                dropped.push(row);
            } else if !kept.iter().any(|(_, earlier)| earlier.answer == candidate.answer) {
                kept.push((row, *candidate));
            }
        }
        Ok(Distinct { kept, dropped })
    }

    fn rated(
        &self,
        rule: SecondRule,
        row: usize,
        (b, a): (&DuelCandidate<'_>, &DuelCandidate<'_>),
    ) -> Rated {
        let params = self.scope.config.params();
        let deviation = match rule {
            SecondRule::Thompson => {
                let gradient = self.head().gradient(b.features, params.confidence);
                self.fitted.taught.posterior.whiten(&gradient)
            }
            SecondRule::Ucb | SecondRule::Random | SecondRule::RunnerUp => Vec::new(),
        };
        let bonus = self.bonus(b.features, a.features);
        Rated { row, reward: self.head().reward(b.features), bonus, deviation }
    }
}
