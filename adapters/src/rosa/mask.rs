//! Which tokens of an answer a judgement is about: weights of at least 0 that sum to 1.
//!
//! A judgement of a whole answer acts most on tokens the model was sure of, and most of these are innocent wording. The
//! entropy of a position says where the answer was decided.

use super::params::CreditMask;
use std::ops::Range;

/// Most weight of one token under the entropy mask, in answers of at least four tokens.
const MOST_CREDIT: f64 = 0.25;

/// The mask that is in force: a span goes before entropy, and entropy stands in for a span that is not there.
pub(super) fn effective(mask: CreditMask, span: Option<&[Range<usize>]>) -> CreditMask {
    match (mask, span) {
        (CreditMask::Uniform, _) => CreditMask::Uniform,
        (CreditMask::AnswerSpan | CreditMask::Entropy, Some(_)) => CreditMask::AnswerSpan,
        (CreditMask::AnswerSpan | CreditMask::Entropy, None) => CreditMask::Entropy,
    }
}

/// The weights of the tokens; `None` if no token gets credit.
// entropy [T] -> [T]
pub(super) fn credit(
    mask: CreditMask,
    entropy: &[f64],
    span: Option<&[Range<usize>]>,
) -> Option<Vec<f64>> {
    match effective(mask, span) {
        CreditMask::Uniform => normalised(vec![1.0; entropy.len()]),
        CreditMask::Entropy => capped(entropy),
        CreditMask::AnswerSpan => {
            let inside =
                |at: usize| span.iter().copied().flatten().any(|range| range.contains(&at));
            normalised((0..entropy.len()).map(|at| f64::from(inside(at))).collect())
        }
    }
}

/// The same proportions with a sum of 1; `None` if all are 0.
// [T] -> [T]
pub(super) fn normalised(mut weights: Vec<f64>) -> Option<Vec<f64>> {
    let total: f64 = weights.iter().sum();
    if total <= 0.0 || !total.is_finite() {
        return None;
    }
    weights.iter_mut().for_each(|w| *w /= total);
    Some(weights)
}

/// In proportion to the entropy, no weight above the cap; what the cap takes goes to the others in proportion, and
/// evenly where the others have no entropy.
// [T] -> [T]
fn capped(entropy: &[f64]) -> Option<Vec<f64>> {
    let cap = MOST_CREDIT.max(1.0 / entropy.len().max(1) as f64);
    let mut weights = normalised(entropy.iter().map(|h| h.max(0.0)).collect())?;
    let mut full = vec![false; weights.len()];
    loop {
        let over = weights.iter().zip(&full).any(|(w, full)| !full && *w > cap);
        if !over {
            return Some(weights);
        }
        for (w, full) in weights.iter_mut().zip(&mut full).filter(|(w, _)| **w >= cap) {
            (*w, *full) = (cap, true);
        }
        spread(&mut weights, &full, cap);
    }
}

/// Gives the tokens that are not full what is left.
// weights [T], full [T] -> weights [T]
fn spread(weights: &mut [f64], full: &[bool], cap: f64) {
    let taken = cap * full.iter().filter(|full| **full).count() as f64;
    let others = || full.iter().filter(|full| !**full).count().max(1) as f64;
    let rest: f64 = weights.iter().zip(full).filter(|(_, full)| !**full).map(|(w, _)| w).sum();
    for (w, _) in weights.iter_mut().zip(full).filter(|(_, full)| !**full) {
        let share = if rest > 0.0 { *w / rest } else { 1.0 / others() };
        *w = share * (1.0 - taken).max(0.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(weights: &[f64]) -> f64 {
        weights.iter().sum()
    }

    #[test]
    fn entropy_is_capped_and_the_rest_shared() {
        let weights = credit(CreditMask::Entropy, &[8.0, 1.0, 1.0, 0.0, 2.0, 1.0], None).unwrap();
        assert!((sum(&weights) - 1.0).abs() < 1e-12);
        assert!(weights.iter().all(|w| *w <= 0.25 + 1e-12));
        // The first is cut to the cap; its rest lifts the fifth over it, whose rest the other three share.
        let expected = [0.25, 1.0 / 6.0, 1.0 / 6.0, 0.0, 0.25, 1.0 / 6.0];
        assert!(weights.iter().zip(expected).all(|(w, e)| (w - e).abs() < 1e-12), "{weights:?}");
    }

    #[test]
    fn one_uncertain_token_leaves_the_rest_even() {
        let weights = credit(CreditMask::Entropy, &[0.0, 3.0, 0.0, 0.0, 0.0, 0.0], None).unwrap();
        assert!((sum(&weights) - 1.0).abs() < 1e-12);
        assert_eq!(weights[1], 0.25);
        assert!((weights[0] - 0.15).abs() < 1e-12);
        let two = credit(CreditMask::Entropy, &[1.0, 3.0], None).unwrap();
        assert_eq!(two, [0.5, 0.5]);
    }

    #[test]
    fn a_span_goes_before_entropy_but_not_before_uniform() {
        let (entropy, span) = ([1.0; 5], vec![1..2, 4..5]);
        let weights = |mask, span| credit(mask, &entropy, span).unwrap();
        let named = [0.0, 0.5, 0.0, 0.0, 0.5];
        assert_eq!(weights(CreditMask::Entropy, Some(&span)), named);
        assert_eq!(weights(CreditMask::AnswerSpan, Some(&span)), named);
        assert_eq!(weights(CreditMask::Uniform, Some(&span)), [0.2; 5]);
        assert_eq!(weights(CreditMask::AnswerSpan, None), [0.2; 5]);
    }

    #[test]
    fn without_uncertainty_there_is_no_credit() {
        assert!(credit(CreditMask::Entropy, &[0.0; 4], None).is_none());
        assert!(credit(CreditMask::Entropy, &[f64::NAN; 4], None).is_none());
        assert!(credit(CreditMask::Uniform, &[], None).is_none());
    }
}
