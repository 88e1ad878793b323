//! How far each label is to be believed, after RE-PO (arXiv 2509.24159); the recipe is ours.
//!
//! `w = pη/(pη + (1 − p)(1 − η))` with p the probability that a fit gives the observed winner which has not seen the
//! pair. There are two rounds: the second fits on the first round's w. What judges a fold has not seen it in either, so
//! the w of the other folds are made without it, too: 15 fits in all. η is a setting; from one user's pairs it cannot be
//! estimated.

use super::error::TpopError;
use super::example::{Example, label, soften};
use super::linear::Logistic;
use super::matrix::sigmoid;
use super::pair::Recorded;
use super::params::TpopParams;
use ndarray::Array1;
use trimtab_runtime::fingerprint::Fingerprint;
use trimtab_steering::estimate::posterior;

/// The fewest pairs whose labels are judged one by one.
pub const LEAST_REPO_PAIRS: usize = 200;
const FOLDS: usize = 5;

/// The fold of each pair. Pairs of the same two answers are in one fold, and the order of pairs does not count.
// [pairs] -> [pairs] of 0..5
pub(super) fn folds(teaching: &[&Recorded]) -> Vec<usize> {
    let key = |recorded: &Recorded| {
        let mut answers = recorded.pair.answers;
        answers.sort_unstable();
        let digest = Fingerprint::builder("trimtab.tpop.fold");
        *answers.iter().fold(digest, |digest, answer| digest.bytes(answer)).finish().as_bytes()
    };
    let keys: Vec<_> = teaching.iter().map(|recorded| key(recorded)).collect();
    let mut order = keys.clone();
    order.sort_unstable();
    order.dedup();
    keys.iter().map(|key| order.binary_search(key).unwrap_or_default() % FOLDS).collect()
}

/// How many folds have pairs: five unless there are fewer different pairs of answers.
fn filled(folds: &[usize]) -> usize {
    folds.iter().max().map_or(0, |most| most + 1)
}

/// Whether there are enough pairs, and enough different ones, for labels to be judged one by one.
pub(super) fn can_judge(teaching: &[&Recorded]) -> bool {
    teaching.len() >= LEAST_REPO_PAIRS && filled(&folds(teaching)) == FOLDS
}

/// The judged pairs, what was observed and the folds.
struct Panel {
    problem: Logistic,
    folds: Vec<usize>,
    /// Labels before softening: 1, 0 or ½.
    observed: Vec<f64>,
    weights: Vec<f64>,
    eta: f64,
}

/// For every teaching pair, how likely arm a is the better one after both rounds. A tie stays at ½.
///
/// # Errors
///
/// Fewer than 200 pairs, or fewer than five different ones.
// examples of [width] -> [pairs]
pub(super) fn labels(
    teaching: &[&Recorded],
    examples: &[Example<'_>],
    width: usize,
    params: &TpopParams,
) -> Result<Vec<f64>, TpopError> {
    let (found, least) = (teaching.len(), LEAST_REPO_PAIRS);
    if found < least {
        return Err(TpopError::TooFew { what: "pairs for noise = repo", found, least });
    }
    let folds = folds(teaching);
    let distinct = filled(&folds);
    if distinct < FOLDS {
        let what = "different pairs for noise = repo";
        return Err(TpopError::TooFew { what, found: distinct, least: FOLDS });
    }
    let whole: Vec<Example<'_>> = examples.iter().filter(|e| e.is_whole).cloned().collect();
    let observed = teaching.iter().filter_map(|r| label(r.pair.judgement, params.ties)).collect();
    let panel = Panel {
        problem: Logistic::of(&whole, width, params.lambda)?,
        folds,
        observed,
        weights: whole.iter().map(|example| example.weight).collect(),
        eta: params.eta,
    };
    let second = panel.second_round()?;
    Ok(panel.believed(&second))
}

impl Panel {
    /// Log-odds of every pair by the second round's fits.
    // [] -> [pairs]
    fn second_round(&self) -> Result<Vec<f64>, TpopError> {
        let mut second = vec![0.0; self.folds.len()];
        for fold in 0..FOLDS {
            let first = self.first_round_without(fold)?;
            let fit = self.fit(&self.believed(&first), &[fold])?;
            self.keep(&mut second, &fit, fold);
        }
        Ok(second)
    }

    /// Log-odds of every pair but those of a fold, by fits that have seen neither that fold nor the pair's own.
    // [] -> [pairs]
    fn first_round_without(&self, fold: usize) -> Result<Vec<f64>, TpopError> {
        let soft: Vec<f64> = self.observed.iter().map(|l| soften(*l, self.eta)).collect();
        let mut first = vec![0.0; self.folds.len()];
        for inner in (0..FOLDS).filter(|inner| *inner != fold) {
            let fit = self.fit(&soft, &[fold, inner])?;
            self.keep(&mut first, &fit, inner);
        }
        Ok(first)
    }

    /// A fit on these labels without some folds.
    // [pairs] -> [width + 1]
    fn fit(&self, labels: &[f64], without: &[usize]) -> Result<Array1<f64>, TpopError> {
        let mut problem = self.problem.clone();
        problem.labelled(labels.iter().copied());
        let seen = |fold: &usize| if without.contains(fold) { 0.0 } else { 1.0 };
        problem.weighted(self.weights.iter().zip(&self.folds).map(|(w, fold)| w * seen(fold)));
        problem.solve()
    }

    /// Takes over a fit's log-odds of one fold's pairs.
    // [width + 1] -> [pairs]
    fn keep(&self, kept: &mut [f64], fit: &Array1<f64>, fold: usize) {
        let found = self.problem.log_odds(fit);
        let own = kept.iter_mut().zip(&found).zip(&self.folds).filter(|(_, f)| **f == fold);
        own.for_each(|((kept, h), _)| *kept = *h);
    }

    /// Labels whose winner is believed as far as these log-odds go.
    // [pairs] -> [pairs]
    fn believed(&self, log_odds: &[f64]) -> Vec<f64> {
        let each = self.observed.iter().zip(log_odds);
        each.map(|(observed, h)| {
            if *observed > 0.5 {
                posterior(sigmoid(*h), self.eta)
            } else if *observed < 0.5 {
                1.0 - posterior(sigmoid(-h), self.eta)
            } else {
                0.5
            }
        })
        .collect()
    }
}
