//! Controls: directions that know nothing of the labels, or of shuffled ones.
//!
//! Draws are keyed by seed and number, as the runtime's are, so that a control is the same on every machine and in any
//! order. A shuffled fit is compared at its natural norm (the gap it has on its own shuffled labels) or with r projected
//! out: rescaled to equal norm it is often ±r itself (median |cos| .3 to .9 in a feasibility run), which controls nothing.

use super::algebra::{dot, norm};
use super::classes::{Classes, Pairing};
use super::component::Sign;
use super::estimator::Estimator;
use super::mean::Estimate;
use super::moments::Means;
use crate::error::{Error, Result};
use trimtab_runtime::fingerprint::Fingerprint;

/// What a shuffled fit keeps of the true r.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Residue {
    /// Everything: the fit as it is.
    Kept,
    /// Nothing: r is projected out of the direction to steer with, and there is none to read with.
    ProjectedOut,
}

/// The same estimator on labels that say nothing: pairs of a group are turned round together or not at all, states
/// without partners are dealt into classes of the same sizes.
pub(crate) fn shuffled(
    estimator: &Estimator,
    classes: &Classes<'_>,
    (seed, residue): (u64, Residue),
) -> Result<Estimate> {
    let (positive, negative) = match classes.pairing {
        Pairing::Paired => turned(classes, seed),
        Pairing::Separate => dealt(classes, seed),
    };
    let shuffled = Classes { positive: &positive, negative: &negative, ..*classes };
    let fit = estimator.fit(&shuffled, Sign::AsFound)?;
    match residue {
        Residue::Kept => Ok(fit),
        Residue::ProjectedOut => without(&fit, &means(classes)?.distinct()?, &means(&shuffled)?),
    }
}

fn means(classes: &Classes<'_>) -> Result<Means> {
    let (positive, negative) = classes.moments()?;
    Means::of(&positive, &negative)
}

// [width], [width] -> [width]
fn without(fit: &Estimate, r: &[f64], means: &Means) -> Result<Estimate> {
    let share = dot(&fit.steer, r) / dot(r, r);
    let rest: Vec<f64> = fit.steer.iter().zip(r).map(|(u, r)| u - share * r).collect();
    if norm(&rest) < 1e-6 {
        return Err(Error::NoDifference { candidates: 1 });
    }
    // What is left may lie the other way on its own labels; a gap below 0 would be no length.
    let side = dot(&means.difference(), &rest).signum();
    Estimate::along(rest.iter().map(|u| side * u).collect(), None, means)
}

fn key(seed: u64, of: u64) -> u64 {
    Fingerprint::builder("trimtab.shuffle").number(seed).number(of).finish().to_u64()
}

// [n, width], [n, width] -> [n, width], [n, width]
fn turned(classes: &Classes<'_>, seed: u64) -> (Vec<f32>, Vec<f32>) {
    let (mut positive, mut negative) = (Vec::new(), Vec::new());
    let (p, n) = classes.rows();
    for (group, (p, n)) in classes.group_of_each().into_iter().zip(p.zip(n)) {
        let (p, n) = if key(seed, group) & 1 == 0 { (p, n) } else { (n, p) };
        positive.extend_from_slice(p);
        negative.extend_from_slice(n);
    }
    (positive, negative)
}

// [n, width], [m, width] -> [n, width], [m, width]
fn dealt(classes: &Classes<'_>, seed: u64) -> (Vec<f32>, Vec<f32>) {
    let (positive, negative) = classes.rows();
    let mut all: Vec<(u64, &[f32])> = positive
        .chain(negative)
        .enumerate()
        .map(|(i, state)| (key(seed, i as u64), state))
        .collect();
    all.sort_by_key(|(key, _)| *key);
    let flat = |part: &[(u64, &[f32])]| part.iter().flat_map(|(_, s)| s.iter().copied()).collect();
    let (positive, negative) = all.split_at(classes.positives());
    (flat(positive), flat(negative))
}
