//! The order of different operations at one site, and where it matters.
//!
//! Projections act first, then the merged additions, then rotations, then clamps, which hold the result. Additions
//! commute with each other; nothing else does in general, so every pair whose order matters is told.

use super::algebra::{dot, norm, wide};
use super::error::Error;
use super::parts::Part;
use super::report::Finding;
use crate::file::card::Operation;
use trimtab_runtime::site::Site;

/// Share of an addition that a projection may remove.
const MOST_REMOVED: f64 = 0.25;
/// Below this share two operations do not touch each other.
const APART: f64 = 1e-12;

/// What is done with a projection that removes much of what another vector adds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Cancelling {
    /// An error: one of the two is a mistake.
    #[default]
    Refuse,
    /// It is told.
    Allow,
}

/// When an operation acts at a site: a smaller number earlier.
pub(super) fn stage(operation: Operation) -> usize {
    match operation {
        Operation::Project => 0,
        Operation::Add => 1,
        Operation::Rotate { .. } => 2,
        Operation::Clamp { .. } => 3,
    }
}

/// Every pair of operations whose order matters.
pub(super) fn findings(parts: &[Part<'_>], cancelling: Cancelling) -> Result<Vec<Finding>, Error> {
    let mut findings = Vec::new();
    for (at, one) in parts.iter().enumerate() {
        for other in parts.iter().skip(at + 1) {
            let by_stage =
                stage(one.dosed.file.card().operation) <= stage(other.dosed.file.card().operation);
            let (first, second) = if by_stage { (one, other) } else { (other, one) };
            findings.extend(pair(first, second, cancelling)?);
        }
    }
    Ok(findings)
}

fn pair(
    first: &Part<'_>,
    second: &Part<'_>,
    cancelling: Cancelling,
) -> Result<Vec<Finding>, Error> {
    let mut findings = Vec::new();
    if first.adds() && second.adds() {
        return Ok(findings);
    }
    let projects = first.dosed.file.card().operation == Operation::Project;
    for (site, share) in shared(first, second) {
        let named = |part: &Part<'_>| {
            format!("{} ({})", part.name(), part.dosed.file.card().operation.kind())
        };
        if projects && second.adds() && share > MOST_REMOVED && cancelling == Cancelling::Refuse {
            let (projecting, adding) = (first.name().to_owned(), second.name().to_owned());
            return Err(Error::Cancels { projecting, adding, site, share });
        }
        findings.push(Finding::Ordered { first: named(first), second: named(second), site });
    }
    Ok(findings)
}

/// The sites where two vectors touch each other, with the squared cosine of the second's first row and the span of the
/// first's rows. A rotation turns the whole stream, so it touches everything.
fn shared<'a>(first: &'a Part<'_>, second: &'a Part<'_>) -> impl Iterator<Item = (Site, f64)> + 'a {
    let turns =
        |part: &Part<'_>| matches!(part.dosed.file.card().operation, Operation::Rotate { .. });
    let touching = turns(first) || turns(second);
    first
        .dosed
        .entries()
        .flat_map(move |(site, rows, _)| {
            let there = second.dosed.entries().filter(move |(other, ..)| *other == site);
            there.map(move |(_, others, _)| (site, share(rows, others, second.dosed.file.width())))
        })
        .filter(move |(_, share)| touching || *share > APART)
}

/// The largest squared cosine of one of the second rows with the span of the first, which are at right angles.
// [rank · width], [rank · width] -> []
fn share(rows: &[f32], others: &[f32], width: usize) -> f64 {
    let along = |v: &[f64]| {
        let parts = rows.chunks_exact(width).map(|row| dot(&wide(row), v).powi(2));
        parts.sum::<f64>() / norm(v).powi(2)
    };
    others.chunks_exact(width).map(|row| along(&wide(row))).fold(0.0, f64::max)
}
