//! What is kept of a duel until it is decided.

use super::duels::{DuelVote, ShownDuel};
use crate::tpop::{Duel, DuelOrder, DuelPair, PairLabel, SecondRule, TpopDigest};
use serde::{Deserialize, Serialize};

/// A duel as it was shown, with what a choice will teach.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct DuelDocument {
    pub(super) shown: ShownDuel,
    /// None where one answer was shown.
    pub(super) pair: Option<KeptPair>,
}

/// A pair that waits for its judgement.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct KeptPair {
    features: [Vec<f32>; 2],
    answers: [TpopDigest; 2],
    prefixes: Option<[Vec<f32>; 2]>,
    a_left: bool,
    pub(super) rule: SecondRule,
    propensity: f64,
    contrast: f64,
}

impl KeptPair {
    pub(super) fn of(duel: &Duel, order: DuelOrder, prefixes: Option<[Vec<f32>; 2]>) -> KeptPair {
        KeptPair {
            features: duel.features.clone(),
            answers: duel.answers,
            prefixes,
            a_left: order == DuelOrder::ALeft,
            rule: duel.rule,
            propensity: duel.propensity,
            contrast: duel.contrast,
        }
    }

    /// The pair with what was chosen.
    pub(super) fn judged(
        &self,
        id: u64,
        vote: DuelVote,
        (time_ms, weight): (i64, f64),
    ) -> DuelPair {
        let order = if self.a_left { DuelOrder::ALeft } else { DuelOrder::BLeft };
        DuelPair {
            id,
            features: self.features.clone(),
            answers: self.answers,
            prefixes: self.prefixes.clone(),
            order,
            judgement: match vote {
                DuelVote::Left => PairLabel::left(order),
                DuelVote::Right => PairLabel::right(order),
                DuelVote::Tie => PairLabel::Tie,
                DuelVote::Skip => PairLabel::Skip,
                DuelVote::BothBad => PairLabel::BothBad,
            },
            weight,
            propensity: self.propensity,
            contrast: self.contrast,
            time_ms,
        }
    }
}
