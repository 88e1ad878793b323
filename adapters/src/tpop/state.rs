//! What is known of one owner's taste: pairs, the fit on them, and a version. A state never changes; a judgement makes
//! the next one, and answers that run keep theirs.

use super::ask::{Asked, FIRST_CONTRASTS};
use super::bytes::TpopDigest;
use super::confidence::Confidence;
use super::error::TpopError;
use super::example::{teaches, teaching};
use super::fit::{Fitted, fit, fit_head};
use super::head::RewardHead;
use super::pair::{DuelPair, PairLabel, PairLog, Recorded};
use super::params::{HeadKind, ServeRule, Tpop, TpopParams};
use std::sync::Arc;

/// Pairs on one side before a habit is suspected.
const LEAST_SIDED: usize = 20;
/// The widest features a state learns of: V is quadratic in them.
pub const WIDEST_FEATURES: usize = 4096;
/// Beyond this κ a habit explains the choices.
const SIDED_KAPPA: f64 = 2.0;
/// Pairs that out-of-sample accuracy is about.
const JUDGED_PAIRS: usize = 20;

/// What a learner of tastes is made for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TpopScope {
    /// The keys.
    pub config: Tpop,
    /// Id of what makes the features: an extractor's, an arm space's or a token table's.
    pub extractor: TpopDigest,
    /// Values of a feature vector, 1–4096.
    pub width: usize,
    /// Keys every random choice.
    pub seed: u64,
}

impl TpopScope {
    pub(super) fn check(&self) -> Result<(), TpopError> {
        if (1..=WIDEST_FEATURES).contains(&self.width) {
            return Ok(());
        }
        let (value, high) = (self.width as f64, WIDEST_FEATURES as f64);
        Err(TpopError::Range { key: "width of feature vectors", value, low: 1.0, high })
    }
}

/// One version of what is known of one owner's taste.
#[derive(Debug, Clone, PartialEq)]
pub struct TpopState {
    pub(super) scope: TpopScope,
    pub(super) version: u64,
    /// Pairs ever recorded, those dropped since included.
    pub(super) recorded: u64,
    /// Best contrasts of the first pairs.
    pub(super) contrasts: Vec<f64>,
    pub(super) log: PairLog,
    pub(super) fitted: Arc<Fitted>,
}

/// What became of a judged pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LearnOutcome {
    /// The weights follow from it, too.
    Taught,
    /// It is stored and teaches nothing: a tie, a skip, "both bad", a choice too fast.
    Stored,
    /// It is stored, and learning pauses: all choices are on one side, and a habit explains them.
    PositionBias,
    /// It was known, or known and dropped since; the state is the same.
    Repeated,
}

/// The next version.
#[derive(Debug, Clone)]
pub struct Learned {
    /// The state with the pair.
    pub state: TpopState,
    /// What became of the pair.
    pub outcome: LearnOutcome,
    /// Whether V had lost positive definiteness and was made anew from the pairs.
    pub rebuilt: bool,
}

/// What is wrong with what was learnt.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TpopHealth {
    /// Learning pauses, as all choices are on one side.
    pub position_bias: bool,
    /// Share of the last 20 choices that were predicted before they were learnt; a tie in reward counts half. `None`
    /// before there are 20.
    pub accuracy: Option<f64>,
}

impl TpopHealth {
    /// Whether predictions are worse than chance: plain answers are served then.
    pub fn is_distrusted(&self) -> bool {
        self.accuracy.is_some_and(|accuracy| accuracy < 0.5)
    }
}

impl TpopState {
    /// Version 0: nothing is known, and every reward is 0.
    ///
    /// # Errors
    ///
    /// Features of width 0, or wider than 4096.
    pub fn new(scope: TpopScope) -> Result<TpopState, TpopError> {
        scope.check()?;
        let fitted = Arc::new(fit(scope.config.params(), scope.width, &[])?);
        let log = PairLog::default();
        Ok(TpopState { scope, version: 0, recorded: 0, contrasts: Vec::new(), log, fitted })
    }

    /// The next version, with a judged pair more. A pair that comes again with the same features, answers, order and
    /// judgement changes nothing, nor does any pair with the id of one that was dropped.
    ///
    /// # Errors
    ///
    /// A pair of other features or with numbers that are not finite; another judgement of a known pair; a fit that does
    /// not converge, after V was made anew once. This state is in force then.
    pub fn learn(&self, pair: DuelPair) -> Result<Learned, TpopError> {
        pair.check(self.scope.width)?;
        let known = self.log.find(pair.id);
        if known.is_some_and(|known| !known.pair.is_repeated_by(&pair)) {
            return Err(TpopError::PairExists { id: pair.id });
        }
        if known.is_some() || self.log.has_dropped(pair.id) {
            let (state, outcome) = (self.clone(), LearnOutcome::Repeated);
            return Ok(Learned { state, outcome, rebuilt: false });
        }
        let [a, b] = &pair.features;
        let margin = self.head().reward(a) - self.head().reward(b);
        let recorded = Recorded { pair, margin, held: false };
        let mut next = self.clone();
        next.version = next.version.saturating_add(1);
        next.recorded += 1;
        if next.contrasts.len() < FIRST_CONTRASTS {
            next.contrasts.push(recorded.pair.contrast);
        }
        next.take_in(recorded)
    }

    fn take_in(mut self, recorded: Recorded) -> Result<Learned, TpopError> {
        let params = *self.scope.config.params();
        let before = self.log.clone();
        let (log, dropped) = before.appended(recorded.clone(), params.max_pairs);
        self.log = log;
        if !teaches(&recorded, &params) {
            return self.refitted(LearnOutcome::Stored, dropped);
        }
        let released = self.log.released();
        if is_one_sided(released.pairs(), &params) {
            let trial = fit_head(&params, self.scope.width, released.pairs())?;
            if trial.kappa.abs() > SIDED_KAPPA {
                let held = Recorded { held: true, ..recorded };
                self.log = before.appended(held, params.max_pairs).0;
                return self.refitted(LearnOutcome::PositionBias, dropped);
            }
        }
        let is_growing = dropped == 0
            && !before.has_held()
            && params.head == HeadKind::Linear
            && params.half_life.is_none();
        self.log = released;
        let (fitted, rebuilt) = match is_growing {
            true => self.grown(&recorded)?,
            false => (fit(&params, self.scope.width, self.log.pairs())?, false),
        };
        self.fitted = Arc::new(fitted);
        Ok(Learned { state: self, outcome: LearnOutcome::Taught, rebuilt })
    }

    /// The same, refitted where pairs that count were dropped.
    fn refitted(mut self, outcome: LearnOutcome, dropped: usize) -> Result<Learned, TpopError> {
        if dropped > 0 {
            let params = self.scope.config.params();
            self.fitted = Arc::new(fit(params, self.scope.width, self.log.pairs())?);
        }
        Ok(Learned { state: self, outcome, rebuilt: false })
    }

    /// A new head, and V with one pair more; made anew from the pairs if V is not positive definite then.
    fn grown(&self, recorded: &Recorded) -> Result<(Fitted, bool), TpopError> {
        let (params, width) = (self.scope.config.params(), self.scope.width);
        let taught = fit_head(params, width, self.log.pairs())?;
        let [a, b] = &recorded.pair.features;
        let mut confidence = self.fitted.confidence.clone();
        match confidence.observe(&taught.contrast(params, a, b), recorded.pair.weight) {
            Ok(()) => Ok((Fitted { taught, confidence }, false)),
            // What is wrong with V is wrong no more once it is made of the pairs, or the error comes from there.
            Err(_) => Ok((fit(params, width, self.log.pairs())?, true)),
        }
    }

    /// The same pairs under other keys: the fit is made anew, the version rises.
    ///
    /// # Errors
    ///
    /// As [`learn`](Self::learn).
    pub fn reconfigured(&self, config: Tpop) -> Result<TpopState, TpopError> {
        let mut next = self.clone();
        next.scope.config = config;
        next.version = next.version.saturating_add(1);
        next.log = next.log.clone().capped(config.params().max_pairs).0;
        next.fitted = Arc::new(fit(config.params(), next.scope.width, next.log.pairs())?);
        Ok(next)
    }

    /// What it is made for.
    pub fn scope(&self) -> &TpopScope {
        &self.scope
    }

    /// Its version, from 0.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// N: how many pairs taught it.
    pub fn taught(&self) -> usize {
        self.fitted.taught.pairs
    }

    /// Pairs ever recorded, those that teach nothing or were dropped included.
    pub fn recorded(&self) -> u64 {
        self.recorded
    }

    /// The pairs that are kept, oldest first.
    pub fn pairs(&self) -> impl ExactSizeIterator<Item = &DuelPair> {
        self.log.pairs().iter().map(|recorded| &recorded.pair)
    }

    /// The reward of an answer.
    pub fn head(&self) -> &RewardHead {
        &self.fitted.taught.head
    }

    /// κ: the log-odds that the left answer gets for being on the left.
    pub fn kappa(&self) -> f64 {
        self.fitted.taught.kappa
    }

    /// V.
    pub fn confidence(&self) -> &Confidence {
        &self.fitted.confidence
    }

    /// `u = ‖∂r(x) − ∂r(y)‖_{V⁻¹}` of two feature vectors.
    // [width], [width] -> []
    pub fn bonus(&self, x: &[f32], y: &[f32]) -> f64 {
        let g = self.fitted.taught.contrast(self.scope.config.params(), x, y);
        self.fitted.confidence.bonus(&g)
    }

    /// What is wrong with what was learnt.
    pub fn health(&self) -> TpopHealth {
        TpopHealth {
            position_bias: self.log.has_held(),
            accuracy: accuracy(self.log.pairs(), self.scope.config.params()),
        }
    }

    /// Whether arm a is served between questions, or the plain answer.
    pub fn serves_best(&self) -> bool {
        self.scope.config.params().serve == ServeRule::BestOf && !self.health().is_distrusted()
    }

    pub(super) fn asked(&self) -> Asked<'_> {
        let budget = self.scope.config.params().ask_budget;
        Asked { pairs: self.recorded, budget, contrasts: &self.contrasts }
    }
}

/// Whether there are enough pairs, and all choices were on one side.
fn is_one_sided(pairs: &[Arc<Recorded>], params: &TpopParams) -> bool {
    let teaching = teaching(pairs, params);
    let mut sides = teaching.iter().filter_map(|recorded| recorded.pair.picked_side());
    let Some(first) = sides.next() else { return false };
    let mut count = 1;
    let same = sides.all(|side| {
        count += 1;
        side == first
    });
    same && count >= LEAST_SIDED
}

/// Share of the last choices that the state of the time predicted.
fn accuracy(pairs: &[Arc<Recorded>], params: &TpopParams) -> Option<f64> {
    let judged = pairs.iter().rev().filter_map(|recorded| {
        let sign = match recorded.pair.judgement {
            PairLabel::A => 1.0,
            PairLabel::B => -1.0,
            PairLabel::Tie | PairLabel::Skip | PairLabel::BothBad => return None,
        };
        let margin = sign * recorded.margin;
        let right = if margin > 0.0 {
            1.0
        } else if margin < 0.0 {
            0.0
        } else {
            0.5
        };
        teaches(recorded, params).then_some(right)
    });
    let judged: Vec<f64> = judged.take(JUDGED_PAIRS).collect();
    (judged.len() == JUDGED_PAIRS).then(|| judged.iter().sum::<f64>() / JUDGED_PAIRS as f64)
}
