//! Weights for pairs whose labels may be turned round, after RE-PO (arXiv 2509.24159); the recipe is ours.
//!
//! A pair is judged by directions that have not seen its fold: a direction that has seen a pair is sure of its label.
//! That holds in the second round, too, so the weights a fold is judged by are made without it, from the other four.
//!
//! η is a setting and not an estimate, and below 200 pairs the weights are refused: with 50 pairs and 20 % turned
//! labels they change the direction by nothing, and a mean difference survives turned labels anyway.

use super::algebra::sigmoid;
use super::algebra::unit;
use super::classes::Classes;
use super::component::spread;
use super::folds::{FOLDS, folds};
use super::mean::Estimate;
use super::moments::Means;
use crate::error::{Error, Result};
use ndarray::{Array2, ArrayView1};
use std::ops::RangeInclusive;
use std::slice::ChunksExact;

/// The fewest pairs that robust weights are made of.
pub const LEAST_PAIRS: usize = 200;
/// The least Σω/n.
pub const LEAST_WEIGHT: f64 = 0.2;
/// What may be believed of labels.
pub const ETA_RANGE: RangeInclusive<f64> = 0.55..=0.99;
/// How likely a label is right, unless another value is asked for.
pub const ETA: f64 = 0.9;

/// What is believed of each pair.
#[derive(Debug, Clone, PartialEq)]
pub struct PairWeights {
    /// s_i: projection on a direction that has not seen the pair.
    pub projections: Vec<f64>,
    /// w_i: probability that the label is right.
    pub reliability: Vec<f64>,
    /// ω_i = max(0, 2w_i − 1): a pair that looks turned round is dropped, not turned back.
    pub weights: Vec<f64>,
}

/// r = Σωδ/Σω with ω after two rounds. `eta` is how likely a label is right.
// [n, width], [n, width] -> [width], [n]
pub fn robust(classes: &Classes<'_>, eta: f64) -> Result<(Estimate, PairWeights)> {
    if !ETA_RANGE.contains(&eta) {
        let (least, most) = (ETA_RANGE.start(), ETA_RANGE.end());
        return Err(Error::estimate("eta", format!("is {eta}, expected {least} to {most}")));
    }
    let differences = classes.differences()?;
    let n = differences.nrows();
    enough(n)?;
    let fold_of = folds(&classes.group_of_each(), FOLDS)?;
    let weights = PairWeights::of(two_rounds(&differences, &fold_of, eta)?, eta);
    let total: f64 = weights.weights.iter().sum();
    if total < LEAST_WEIGHT * n as f64 {
        return Err(unidentified(format!(
            "weights sum to {total:.1}, at least {LEAST_WEIGHT} of {n} pairs are needed"
        )));
    }
    let (positive, negative) = classes.rows();
    let means = Means {
        positive: weighted_mean(positive, &weights.weights, total),
        negative: weighted_mean(negative, &weights.weights, total),
    };
    Ok((Estimate::along(means.distinct()?, None, &means)?, weights))
}

/// Whether robust weights can be made of so many pairs.
pub(crate) fn enough(pairs: usize) -> Result<()> {
    if pairs < LEAST_PAIRS {
        let reason = format!("{pairs} pairs to fit on, at least {LEAST_PAIRS} are needed");
        return Err(unidentified(reason));
    }
    Ok(())
}

fn unidentified(reason: String) -> Error {
    Error::WeightsUnidentified { reason }
}

impl PairWeights {
    fn of(projections: Vec<f64>, eta: f64) -> PairWeights {
        let agree = agreement(&projections);
        let reliability: Vec<f64> = agree.iter().map(|p| posterior(*p, eta)).collect();
        let weights = reliability.iter().map(|w| (2.0 * w - 1.0).max(0.0)).collect();
        PairWeights { projections, reliability, weights }
    }
}

/// p_i = σ(2s_i·max(mean s, 0)/var s): how likely a pair with this projection has the common sign.
// [n] -> [n]
pub(crate) fn agreement(projections: &[f64]) -> Vec<f64> {
    let (mean, variance) = spread(projections);
    let slope = if variance > 0.0 { 2.0 * mean.max(0.0) / variance } else { 0.0 };
    projections.iter().map(|s| sigmoid(slope * s)).collect()
}

/// How likely an observed label is right, w = pη/(pη + (1 − p)(1 − η)): `p` is how likely a model takes it to be, `eta` how
/// reliable labels are (RE-PO, arXiv 2509.24159).
pub fn posterior(p: f64, eta: f64) -> f64 {
    p * eta / (p * eta + (1.0 - p) * (1.0 - eta))
}

/// Projections of every fold on a direction that no item of the fold has touched, weights included.
// [n, width], [n] -> [n]
pub(crate) fn two_rounds(
    differences: &Array2<f64>,
    fold_of: &[usize],
    eta: f64,
) -> Result<Vec<f64>> {
    out_of_fold(differences, fold_of, |fold| without_fold(differences, fold_of, (fold, eta)))
}

/// The first round without a fold: weights of the other four, and 0 for the fold.
// [n, width], [n] -> [n]
fn without_fold(
    differences: &Array2<f64>,
    fold_of: &[usize],
    (fold, eta): (usize, f64),
) -> Result<Vec<f64>> {
    let first = out_of_fold(differences, fold_of, |inner| {
        let outside = |f: &usize| if *f == fold || *f == inner { 0.0 } else { 1.0 };
        Ok(fold_of.iter().map(outside).collect())
    })?;
    let others = first.into_iter().zip(fold_of).filter(|(_, f)| **f != fold).map(|(s, _)| s);
    let mut judged = PairWeights::of(others.collect(), eta).weights.into_iter();
    let next = |f: &usize| if *f == fold { 0.0 } else { judged.next().unwrap_or_default() };
    Ok(fold_of.iter().map(next).collect())
}

/// Projections of every fold on the direction with these weights for the fold.
// [n, width], [n] -> [n]
fn out_of_fold(
    differences: &Array2<f64>,
    fold_of: &[usize],
    weights: impl Fn(usize) -> Result<Vec<f64>>,
) -> Result<Vec<f64>> {
    let direction = |fold| weighted(differences, &weights(fold)?);
    let directions: Vec<Vec<f64>> = (0..FOLDS).map(direction).collect::<Result<_>>()?;
    let each = differences.rows().into_iter().zip(fold_of);
    let on = |row: ArrayView1<'_, f64>, u: &Vec<f64>| row.iter().zip(u).map(|(x, u)| x * u).sum();
    Ok(each.filter_map(|(row, fold)| directions.get(*fold).map(|u| on(row, u))).collect())
}

/// The unit direction of Σωδ.
// [n, width], [n] -> [width]
fn weighted(differences: &Array2<f64>, weights: &[f64]) -> Result<Vec<f64>> {
    let mut sum = vec![0.0; differences.ncols()];
    for (row, weight) in differences.rows().into_iter().zip(weights).filter(|(_, w)| **w > 0.0) {
        sum.iter_mut().zip(row).for_each(|(sum, x)| *sum += weight * x);
    }
    unit(sum).ok_or(Error::NoDifference { candidates: 1 })
}

// [n, width], [n] -> [width]
fn weighted_mean(states: ChunksExact<'_, f32>, weights: &[f64], total: f64) -> Vec<f64> {
    let mut mean: Vec<f64> = Vec::new();
    for (state, weight) in states.zip(weights) {
        mean.resize(state.len(), 0.0);
        mean.iter_mut().zip(state).for_each(|(m, x)| *m += weight / total * f64::from(*x));
    }
    mean
}
