//! Shown pairs, what was said of them, and the list they are kept in.

use super::bytes::TpopDigest;
use super::error::TpopError;
use super::stream::named;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Which arm was shown on the left, or first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DuelOrder {
    /// Arm a: o = +1.
    ALeft,
    /// Arm b: o = −1.
    BLeft,
}

impl DuelOrder {
    /// The order of one of an owner's duels: each with probability ½.
    pub fn drawn(seed: u64, round: usize) -> DuelOrder {
        match named(seed, "tpop.order", round).uniform() < 0.5 {
            true => DuelOrder::ALeft,
            false => DuelOrder::BLeft,
        }
    }

    /// o of the position term: +1 if arm a is on the left.
    pub fn sign(self) -> f64 {
        match self {
            DuelOrder::ALeft => 1.0,
            DuelOrder::BLeft => -1.0,
        }
    }
}

/// What was said of a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PairLabel {
    /// Arm a is preferred.
    A,
    /// Arm b is preferred.
    B,
    /// Both are equally good.
    Tie,
    /// No answer.
    Skip,
    /// Neither is good.
    BothBad,
}

impl PairLabel {
    /// The judgement of a user that picked the answer on the left.
    pub fn left(order: DuelOrder) -> PairLabel {
        match order {
            DuelOrder::ALeft => PairLabel::A,
            DuelOrder::BLeft => PairLabel::B,
        }
    }

    /// The judgement of a user that picked the answer on the right.
    pub fn right(order: DuelOrder) -> PairLabel {
        match order {
            DuelOrder::ALeft => PairLabel::B,
            DuelOrder::BLeft => PairLabel::A,
        }
    }
}

/// A shown pair with its judgement. Texts are not part of it.
#[derive(Debug, Clone, PartialEq)]
pub struct DuelPair {
    /// The pair's name for the owner.
    pub id: u64,
    /// φ of arm a and of arm b.
    pub features: [Vec<f32>; 2],
    /// Digests of both answers' tokens.
    pub answers: [TpopDigest; 2],
    /// φ of a prefix of each answer, which counts half beside the whole: for the token level, whose reward is asked
    /// about prefixes.
    pub prefixes: Option<[Vec<f32>; 2]>,
    /// Which arm was on the left.
    pub order: DuelOrder,
    /// What was said.
    pub judgement: PairLabel,
    /// How much it counts; 0 for a choice too fast to be one.
    pub weight: f64,
    /// The probability with which arm b was chosen.
    pub propensity: f64,
    /// u of the most informative contrast with arm a at the time.
    pub contrast: f64,
    /// When it was judged, in milliseconds since 1970.
    pub time_ms: i64,
}

impl DuelPair {
    /// The display side that was picked, +1 left and −1 right; `None` where none was.
    pub fn picked_side(&self) -> Option<f64> {
        match self.judgement {
            PairLabel::A => Some(self.order.sign()),
            PairLabel::B => Some(-self.order.sign()),
            PairLabel::Tie | PairLabel::Skip | PairLabel::BothBad => None,
        }
    }

    /// Whether another delivery says the same; when it came and what it weighs are not part of that.
    pub(super) fn is_repeated_by(&self, other: &DuelPair) -> bool {
        let said = |pair: &DuelPair| (pair.answers, pair.order, pair.judgement);
        self.features == other.features && said(self) == said(other)
    }

    pub(super) fn check(&self, width: usize) -> Result<(), TpopError> {
        let vectors = self.features.iter().chain(self.prefixes.iter().flatten());
        for vector in vectors {
            let (what, found, expected) = ("feature vector", vector.len(), width);
            if found != expected {
                return Err(TpopError::Width { what, found, expected });
            }
            if vector.iter().any(|x| !x.is_finite()) {
                return Err(TpopError::NotFinite { what });
            }
        }
        let in_range = |key, value: f64, low, high| {
            if (low..=high).contains(&value) {
                return Ok(());
            }
            Err(TpopError::Range { key, value, low, high })
        };
        in_range("weight of a pair", self.weight, 0.0, 1.0)?;
        in_range("propensity of a pair", self.propensity, f64::MIN_POSITIVE, 1.0)?;
        in_range("contrast of a pair", self.contrast, 0.0, f64::MAX)
    }
}

/// A pair in the list, with what the state found out when it came.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Recorded {
    pub(super) pair: DuelPair,
    /// r(a) − r(b) before the pair was learnt.
    pub(super) margin: f64,
    /// Whether learning paused when it came: it is kept and does not count.
    pub(super) held: bool,
}

/// An append-only list of pairs that drops the oldest beyond its cap and keeps their ids. A clone shares the pairs.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct PairLog {
    pairs: Vec<Arc<Recorded>>,
    /// Ids of the pairs that are not in the list any more.
    dropped: BTreeSet<u64>,
}

impl PairLog {
    pub(super) fn of(pairs: Vec<Arc<Recorded>>, dropped: BTreeSet<u64>) -> PairLog {
        PairLog { pairs, dropped }
    }

    pub(super) fn pairs(&self) -> &[Arc<Recorded>] {
        &self.pairs
    }

    pub(super) fn dropped(&self) -> &BTreeSet<u64> {
        &self.dropped
    }

    pub(super) fn has_dropped(&self, id: u64) -> bool {
        self.dropped.contains(&id)
    }

    pub(super) fn find(&self, id: u64) -> Option<&Recorded> {
        self.pairs.iter().map(Arc::as_ref).find(|recorded| recorded.pair.id == id)
    }

    /// Whether a pair is held back.
    pub(super) fn has_held(&self) -> bool {
        self.pairs.iter().any(|recorded| recorded.held)
    }

    /// The list with a pair more, and how many old ones were dropped.
    pub(super) fn appended(&self, recorded: Recorded, cap: usize) -> (PairLog, usize) {
        let mut longer = self.clone();
        longer.pairs.push(Arc::new(recorded));
        longer.capped(cap)
    }

    /// The list without the oldest pairs beyond a cap, and how many those were.
    pub(super) fn capped(mut self, cap: usize) -> (PairLog, usize) {
        let surplus = self.pairs.len().saturating_sub(cap);
        self.dropped.extend(self.pairs.drain(..surplus).map(|recorded| recorded.pair.id));
        (self, surplus)
    }

    /// The list with no pair held back any more.
    pub(super) fn released(&self) -> PairLog {
        let release = |recorded: &Arc<Recorded>| match recorded.held {
            true => Arc::new(Recorded { held: false, ..recorded.as_ref().clone() }),
            false => recorded.clone(),
        };
        let pairs = self.pairs.iter().map(release).collect();
        PairLog { pairs, dropped: self.dropped.clone() }
    }
}
