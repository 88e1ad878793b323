//! A direction and its numbers at every candidate, and which of them is used.

use super::recipe::Rule;
use super::states::States;
use super::Result;
use crate::error::Error;
use crate::estimate::{self, Classes, Estimate, Score};
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
pub(super) fn grid(states: &States) -> Result<Vec<Tried>> {
    let candidates = states.about.candidates();
    (0..candidates).map(|index| one(states, index)).collect()
}

fn one(states: &States, index: usize) -> Result<Tried> {
    let places = &states.about.places;
    let position = places.get(index % places.len()).map_or(0, |place| place.index);
    let position = if position == 0 { POOLED } else { position };
    let place = estimate::Place { depth: index / places.len(), position };
    let positive = states.moments(index, Class::Positive, Part::Fit)?;
    let negative = states.moments(index, Class::Negative, Part::Fit)?;
    let mut score = Score::of(place, &positive, &negative)?;
    score.split_half = split_half(states, index);
    let estimate = match states.about.recipe.method {
        MethodName::Palrs => estimate::palrs(&positive, &negative),
        MethodName::MeanDifference => estimate::mean_difference(&positive, &negative),
        method => from_states(states, index, method),
    };
    if let Ok(found) = &estimate {
        let (positive, negative) = projections(states, index, Part::Select, found);
        if !positive.is_empty() && !negative.is_empty() {
            score = score.with_held_out(&positive, &negative);
        }
    }
    Ok(Tried { index, score, estimate })
}

/// The estimators that need more than sums.
fn from_states(states: &States, index: usize, method: MethodName) -> Result<Estimate> {
    let positive = states.of(index, Class::Positive, Part::Fit);
    let negative = states.of(index, Class::Negative, Part::Fit);
    let (width, groups) = (states.about.width, states.groups(Part::Fit));
    let _classes = match states.are_paired() {
        true => Classes::paired(width, &positive, &negative, &groups)?,
        false => Classes::separate(width, &positive, &negative)?,
    };
    Err(Error::estimate("method", format!("{method:?} is not built in")))
}

/// Projections of a part's states on the direction that detects.
// [n, width], [m, width] -> [n], [m]
pub(super) fn projections(
    states: &States,
    index: usize,
    part: Part,
    estimate: &Estimate,
) -> (Vec<f64>, Vec<f64>) {
    let direction = estimate.read.as_ref().unwrap_or(&estimate.steer);
    let on = |class| {
        let rows = states.of(index, class, part);
        let rows = rows.chunks_exact(states.about.width);
        rows.map(|state| estimate::project(state, direction)).collect()
    };
    (on(Class::Positive), on(Class::Negative))
}

/// Cosine of the mean differences of two halves of what is fitted on, groups kept together.
fn split_half(states: &States, index: usize) -> Option<f64> {
    let width = states.about.width;
    let halves = [0, 1].map(|half| {
        let mut difference = vec![0.0; width];
        for (class, sign) in [(Class::Positive, 1.0), (Class::Negative, -1.0)] {
            let rows = states.of_half(index, class, half);
            let n = (rows.len() / width) as f64;
            for state in rows.chunks_exact(width) {
                difference.iter_mut().zip(state).for_each(|(d, x)| *d += sign * f64::from(*x) / n);
            }
        }
        difference
    });
    let [first, second] = &halves;
    Some(estimate::cosine(first, second)).filter(|cosine| cosine.is_finite())
}

/// The candidate that is used: the rule's choice, or, if it leaves none, the best of those it passed over.
pub(super) enum Choice<'a> {
    Found(&'a Tried, &'a Estimate),
    /// Nothing is left by the rule: the file says so and does nothing unless told to.
    Null(&'a Tried, &'a Estimate),
}

/// Chooses among candidates.
pub(super) fn choose(grid: &[Tried], rule: Rule) -> Result<Choice<'_>> {
    let scores: Vec<Score> = grid.iter().map(|tried| tried.score).collect();
    estimate::require_difference(&scores)?;
    let with: Vec<(&Tried, &Estimate)> =
        grid.iter().filter_map(|t| Some((t, t.estimate.as_ref().ok()?))).collect();
    let scores: Vec<Score> = with.iter().map(|(tried, _)| tried.score).collect();
    if let Some((tried, found)) = estimate::select(rule.selection(), &scores).and_then(|i| with.get(i)) {
        return Ok(Choice::Found(tried, found));
    }
    let by = |t: &Tried| t.score.auroc.filter(|a| a.is_finite()).unwrap_or(t.score.cosine);
    let best = with.iter().max_by(|a, b| by(a.0).total_cmp(&by(b.0)));
    match best {
        Some((tried, found)) => Ok(Choice::Null(tried, found)),
        None => Err(first_problem(grid)),
    }
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
        Some(Error::Estimate { what, problem }) => {
            Error::Estimate { what, problem: problem.clone() }
        }
        Some(_) | None => Error::NoDifference { candidates: grid.len() },
    }
}
