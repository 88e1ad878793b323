//! Removing from each vector what would touch the ones above it.

use super::algebra::{Basis, cosine, leading, norm, stretched, wide};
use super::error::Error;
use super::metric::Covariance;
use super::parts::{Group, Part};
use super::{Lost, Mode, Settings};
use trimtab_runtime::site::Site;

/// Of the stream's width, the share that may be protected.
const PROTECTED_SHARE: usize = 4;
/// A rest this short is rounding, whatever is accepted.
const ROUNDING: f64 = 1e-6;

/// A vector at one site after separation.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) part: usize,
    /// `[width]`, of length `kept` unless renormalised.
    pub(super) row: Vec<f64>,
    pub(super) kept: f64,
    /// Whether `row` is still the file's.
    pub(super) state: State,
}

/// Whether a row is still the file's, to the bit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Same,
    Changed,
}

/// A group after separation.
#[derive(Debug, Clone)]
pub(super) struct Separated {
    pub(super) rows: Vec<Row>,
    /// Protected directions in the end.
    pub(super) rank: usize,
    /// Cosines of the members before and after.
    pub(super) before: Vec<Vec<f64>>,
    pub(super) after: Vec<Vec<f64>>,
    /// Vectors of which only the direction was protected, for want of differences.
    pub(super) mean_only: Vec<usize>,
}

/// Separates a group's members, the first untouched.
pub(super) fn separate(
    parts: &[Part<'_>],
    group: &Group<'_>,
    settings: &Settings,
    sigma: Option<&Covariance>,
) -> Result<Separated, Error> {
    let mut protected = Basis::default();
    let mut rows: Vec<Row> = Vec::new();
    let mut mean_only = Vec::new();
    let last = group.members.len().saturating_sub(1);
    for (at, member) in group.members.iter().enumerate() {
        let Some(part) = parts.get(member.part) else {
            continue;
        };
        let v = wide(member.row);
        let rest = if part.is_protected() || protected.rank() == 0 {
            None
        } else {
            Some(remaining(&protected, &v, group.site, sigma)?)
        };
        rows.push(kept(member.part, &v, rest, settings.lost));
        // Behind the last vector there is none that it must be protected from.
        if at < last && settings.mode != Mode::Sum {
            let m = if settings.mode == Mode::GramSchmidt { 1 } else { settings.m };
            if protect(&mut protected, part, group.site, &v, m)? == Known::MeanOnly {
                mean_only.push(member.part);
            }
        }
    }
    let before: Vec<Vec<f64>> = group.members.iter().map(|m| wide(m.row)).collect();
    let after: Vec<Vec<f64>> = rows.iter().map(|r| r.row.clone()).collect();
    let rank = protected.rank();
    Ok(Separated { rows, rank, before: cosines(&before), after: cosines(&after), mean_only })
}

/// `v′`, at right angles to the protected directions in the metric of the mode.
// [width] -> [width]
fn remaining(
    protected: &Basis,
    v: &[f64],
    site: Site,
    sigma: Option<&Covariance>,
) -> Result<Vec<f64>, Error> {
    let (rank, width) = (protected.rank(), v.len());
    if rank * PROTECTED_SHARE >= width {
        return Err(Error::TooMuchProtected { site, rank, width });
    }
    sigma.map_or_else(|| Ok(protected.outside(v)), |sigma| sigma.outside(protected, v))
}

fn kept(part: usize, v: &[f64], rest: Option<Vec<f64>>, lost: Lost) -> Row {
    let Some(rest) = rest else {
        return Row { part, row: v.to_vec(), kept: 1.0, state: State::Same };
    };
    let kept = norm(&rest) / norm(v);
    let row = match lost {
        Lost::Renormalised if kept > ROUNDING => stretched(&rest, norm(v)),
        Lost::Renormalised | Lost::Shown => rest,
    };
    Row { part, row, kept, state: State::Changed }
}

/// Whether the differences of a vector were there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    Enough,
    MeanOnly,
}

/// Takes `U = [v, top m − 1 right singular vectors of Δ(I − vvᵀ)]` into the protected directions.
// [width]
fn protect(
    protected: &mut Basis,
    part: &Part<'_>,
    site: Site,
    v: &[f64],
    m: usize,
) -> Result<Known, Error> {
    if m == 0 {
        return Ok(Known::Enough);
    }
    protected.extend(v);
    if m == 1 {
        return Ok(Known::Enough);
    }
    let Some(differences) = part.differences.get(&site) else {
        return Ok(Known::MeanOnly);
    };
    for direction in spread(v, differences, m - 1)? {
        protected.extend(&direction);
    }
    Ok(Known::Enough)
}

/// The leading directions of the differences beside their mean direction, not centred.
// [width], [n · width] -> [≤ most, width]
pub(super) fn spread(v: &[f64], differences: &[f32], most: usize) -> Result<Vec<Vec<f64>>, Error> {
    let mut own = Basis::default();
    own.extend(v);
    let rows: Vec<Vec<f64>> =
        differences.chunks_exact(v.len()).map(|row| own.outside(&wide(row))).collect();
    leading(&rows, most)
}

// [n, width] -> [n, n]
pub(super) fn cosines(rows: &[Vec<f64>]) -> Vec<Vec<f64>> {
    rows.iter().map(|a| rows.iter().map(|b| cosine(a, b)).collect()).collect()
}

/// Whether too little is left of a row to be used at all.
pub(super) fn is_lost(row: &Row, least: f64) -> bool {
    row.state == State::Changed && row.kept < least.max(ROUNDING)
}
