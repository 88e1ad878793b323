//! From judged pairs to what the fits see: a soft label and a weight each.

use super::pair::{PairLabel, Recorded};
use super::params::{TieRule, TpopParams};
use std::sync::Arc;

/// A prefix counts so much beside the whole answer.
const PREFIX_WEIGHT: f64 = 0.5;

/// Two feature vectors that are compared.
#[derive(Debug, Clone)]
pub(super) struct Example<'a> {
    pub(super) a: &'a [f32],
    pub(super) b: &'a [f32],
    /// o: +1 if arm a was on the left.
    pub(super) side: f64,
    /// How likely arm a is the better one.
    pub(super) label: f64,
    pub(super) weight: f64,
    /// Which of the teaching pairs it comes from.
    pub(super) pair: usize,
    /// Whether it is about whole answers; V is about those only.
    pub(super) is_whole: bool,
}

/// What a judgement says of arm a, before softening; `None` where it teaches nothing.
pub(super) fn label(judgement: PairLabel, ties: TieRule) -> Option<f64> {
    match (judgement, ties) {
        (PairLabel::A, _) => Some(1.0),
        (PairLabel::B, _) => Some(0.0),
        (PairLabel::Tie, TieRule::Half) => Some(0.5),
        (PairLabel::Tie, TieRule::Ignore) | (PairLabel::Skip | PairLabel::BothBad, _) => None,
    }
}

/// Whether a pair counts in the fit.
pub(super) fn teaches(recorded: &Recorded, params: &TpopParams) -> bool {
    let pair = &recorded.pair;
    !recorded.held && pair.weight > 0.0 && label(pair.judgement, params.ties).is_some()
}

/// `l ← ηl + (1 − η)(1 − l)`.
pub(super) fn soften(label: f64, eta: f64) -> f64 {
    eta * label + (1.0 - eta) * (1.0 - label)
}

/// ω = 2^(−age / half life), where age counts the teaching pairs that came later.
fn remembered(age: usize, half_life: Option<usize>) -> f64 {
    half_life.map_or(1.0, |half_life| (-(age as f64) / half_life as f64).exp2())
}

/// The teaching pairs, oldest first.
pub(super) fn teaching<'a>(pairs: &'a [Arc<Recorded>], params: &TpopParams) -> Vec<&'a Recorded> {
    pairs.iter().map(Arc::as_ref).filter(|recorded| teaches(recorded, params)).collect()
}

/// Examples of teaching pairs with softened labels.
pub(super) fn examples<'a>(teaching: &[&'a Recorded], params: &TpopParams) -> Vec<Example<'a>> {
    let mut examples = Vec::with_capacity(teaching.len());
    for (at, recorded) in teaching.iter().enumerate() {
        let pair = &recorded.pair;
        let Some(label) = label(pair.judgement, params.ties) else { continue };
        let [a, b] = &pair.features;
        let whole = Example {
            a,
            b,
            side: pair.order.sign(),
            label: soften(label, params.eta),
            weight: pair.weight * remembered(teaching.len() - 1 - at, params.half_life),
            pair: at,
            is_whole: true,
        };
        let prefix = pair.prefixes.as_ref().map(|[a, b]| Example {
            a,
            b,
            weight: PREFIX_WEIGHT * whole.weight,
            is_whole: false,
            ..whole.clone()
        });
        examples.push(whole);
        examples.extend(prefix);
    }
    examples
}
