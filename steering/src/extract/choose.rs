//! A direction and its numbers at every candidate, and which of them is used.

use super::Result;
use super::source::{Asked, Source};
use super::states::{About, States};
use super::sums::Fitted;
use crate::error::Error;
use crate::estimate::{self, Classes, Estimate, Estimator, Residue, SHRINKAGE, Score, Selection};
use crate::file::card::MethodName;
use crate::pairs::{Class, Part};

/// The position number of a mean, behind every token where candidates are equally good.
const POOLED: i32 = -1_000_000;

/// A candidate with what was found there.
pub(super) struct Tried {
    pub index: usize,
    pub score: Score,
    /// Why there is no direction here, if there is none.
    pub estimate: Result<Estimate>,
}

/// Tries every candidate.
pub(super) fn grid(source: &mut dyn Source) -> Result<Vec<Tried>> {
    let about = source.about().clone();
    let groups = about.groups(Part::Fit);
    let mut grid = Vec::with_capacity(about.candidates());
    source.fit(&mut |index, fitted| {
        grid.push(one(&about, index, (&fitted, &groups))?);
        Ok(())
    })?;
    held_out(source, &mut grid)?;
    Ok(grid)
}

fn one(about: &About, index: usize, (fitted, groups): (&Fitted, &[u64])) -> Result<Tried> {
    let places = &about.places;
    let position = places.get(index % places.len()).map_or(0, |place| place.index);
    let position = if position == 0 { POOLED } else { position };
    let place = estimate::Place { depth: index / places.len(), position };
    let [positive, negative] = &fitted.sums;
    let mut score = Score::of(place, positive, negative)?;
    score.split_half = fitted.split_half;
    let recipe = &about.recipe;
    let classes = || classes(about, &fitted.states, groups);
    let estimate = match (recipe.method, recipe.eta) {
        (MethodName::Palrs | MethodName::MeanDifference, Some(eta)) => {
            estimate::robust(&classes()?, eta).map(|(estimate, _)| estimate)
        }
        (MethodName::Palrs, None) => estimate::palrs(positive, negative),
        (MethodName::MeanDifference, None) => estimate::mean_difference(positive, negative),
        (method, _) => {
            let classes = classes()?;
            estimator(method).and_then(|estimator| estimator.estimate(&classes))
        }
    };
    if let Ok(found) = &estimate {
        score = described(score, found, about, index);
    }
    Ok(Tried { index, score, estimate })
}

/// The control of a candidate: the same estimator on shuffled labels, with r projected out.
pub(super) fn shuffled(states: &States, tried: &Tried, seed: u64) -> Result<Tried> {
    let (index, about) = (tried.index, &states.about);
    let fit = [Class::Positive, Class::Negative].map(|class| states.of(index, class, Part::Fit));
    let groups = about.groups(Part::Fit);
    let classes = classes(about, &fit, &groups)?;
    let estimator = estimator(about.recipe.method)?;
    let found = estimator.shuffled(&classes, seed, Residue::ProjectedOut)?;
    let score = described(tried.score, &found, about, index);
    let score = Score { split_half: None, auroc: None, cohens_d: None, ..score };
    Ok(Tried { index, score, estimate: Ok(found) })
}

/// Puts what items that were not fitted on say into the scores, if there are any.
pub(super) fn held_out(source: &mut dyn Source, tried: &mut [Tried]) -> Result<()> {
    if source.about().count(Part::Select) == 0 {
        return Ok(());
    }
    let asked = |tried: &Tried| {
        let found = tried.estimate.as_ref().ok()?;
        let row = found.read.as_ref().unwrap_or(&found.steer).clone();
        Some(Asked { candidate: tried.index, row })
    };
    let asked: Vec<Asked> = tried.iter().filter_map(asked).collect();
    let found = source.project(Part::Select, &asked)?;
    let estimated = tried.iter_mut().filter(|tried| tried.estimate.is_ok());
    for (tried, [positive, negative]) in estimated.zip(found) {
        if !positive.is_empty() && !negative.is_empty() {
            tried.score = tried.score.with_held_out(&positive, &negative);
        }
    }
    Ok(())
}

/// The score with what is known of the direction itself.
fn described(score: Score, found: &Estimate, about: &About, index: usize) -> Score {
    let norm = about.sites.get(index / about.places.len()).and_then(|site| about.norms.get(site));
    let dose = norm.map(|[median, _]| found.gap / f64::from(*median)).filter(|d| d.is_finite());
    let score = Score { dose, top_share: estimate::top_share(&found.steer), ..score };
    match about.recipe.eta {
        // The difference that is used is the weighted one: û·μ⁺ is gap and anchor, and the gap its length.
        Some(_) => Score {
            cosine: (found.gap + found.anchor) / found.positive_norm,
            relative_length: found.gap / found.positive_norm,
            ..score
        },
        None => score,
    }
}

// [n, width], [m, width], [n] -> classes
fn classes<'a>(about: &About, fit: &'a [Vec<f32>; 2], groups: &'a [u64]) -> Result<Classes<'a>> {
    let (width, [positive, negative]) = (about.width, fit);
    match about.are_paired() {
        true => Classes::paired(width, positive, negative, groups),
        false => Classes::separate(width, positive, negative),
    }
}

/// The estimator of a name.
pub(super) fn estimator(method: MethodName) -> Result<Estimator> {
    match method {
        MethodName::Palrs => Ok(Estimator::Palrs),
        MethodName::MeanDifference => Ok(Estimator::MeanDifference),
        MethodName::PcaDifference => Ok(Estimator::PcaDifference),
        MethodName::PcaCentred => Ok(Estimator::PcaCentred),
        MethodName::LinearProbe => Ok(Estimator::LinearProbe { shrinkage: SHRINKAGE }),
        MethodName::LogisticProbe => Ok(Estimator::LogisticProbe),
        MethodName::Composed
        | MethodName::Trained
        | MethodName::Imported
        | MethodName::Merged
        | MethodName::Random
        | MethodName::Shuffled => {
            Err(Error::estimate("method", format!("{method:?} is not made of examples")))
        }
    }
}

/// The candidate that is used.
pub(super) enum Choice<'a> {
    /// By the rule.
    Found(&'a Tried),
    /// The rule leaves none; this is the best of those it passed over.
    Null(&'a Tried),
}

/// Chooses among candidates.
pub(super) fn choose(grid: &[Tried], rule: Selection) -> Result<Choice<'_>> {
    let scores: Vec<Score> = grid.iter().map(|tried| tried.score).collect();
    estimate::require_difference(&scores)?;
    let with: Vec<&Tried> = grid.iter().filter(|tried| tried.estimate.is_ok()).collect();
    let scores: Vec<Score> = with.iter().map(|tried| tried.score).collect();
    let found = estimate::select(rule, &scores).and_then(|index| with.get(index));
    if let Some(tried) = found {
        return Ok(Choice::Found(tried));
    }
    let merit = |t: &Tried| t.score.auroc.filter(|a| a.is_finite()).unwrap_or(t.score.cosine);
    let best = with.iter().max_by(|a, b| merit(a).total_cmp(&merit(b)));
    best.map(|tried| Choice::Null(tried)).ok_or_else(|| first_problem(grid))
}

/// The reason of the first candidate that has one. It is said again, because errors cannot be cloned.
fn first_problem(grid: &[Tried]) -> Error {
    let problem = grid.iter().find_map(|tried| tried.estimate.as_ref().err());
    match problem {
        Some(Error::SignNotIdentified { mean, error }) => {
            Error::SignNotIdentified { mean: *mean, error: *error }
        }
        Some(Error::TooFewPairs { what, found, least }) => {
            Error::TooFewPairs { what, found: *found, least: *least }
        }
        Some(Error::WeightsUnidentified { reason }) => {
            Error::WeightsUnidentified { reason: reason.clone() }
        }
        Some(Error::NotSolved { what, reason }) => {
            Error::NotSolved { what, reason: reason.clone() }
        }
        Some(Error::Estimate { what, problem }) => {
            Error::Estimate { what, problem: problem.clone() }
        }
        Some(_) | None => Error::NoDifference { candidates: grid.len() },
    }
}
