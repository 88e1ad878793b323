//! Several vectors at once: made to conflict less, held to a total dose, and merged into one.
//!
//! Two directions that work alone can spoil each other. [`compose`] orders the vectors of a plan by priority, removes
//! from each what would touch the ones above it ([`Mode`]), holds the pushes to their limits ([`dose`]), and merges
//! them into one addition per site ([`Composed`]). [`interference`] says what one vector does to another's behaviour:
//! that is the judge, and no cosine is.
//!
//! The idea of protected subspaces is that of OrthAlign (arXiv 2509.24610), which trains low-rank updates of weights.
//! Everything about activation vectors (subspaces of differences, the covariance metric, doses, the matrix) is our own
//! reconstruction. Its null space has an arbitrary basis; here directions are ordered by the singular values of the
//! differences, and those that the data does not determine are left out.
//!
//! What learns while serving is not here: the rules for learners, pondering and timed guidance come with them, and
//! nothing is projected across sites, where depth decides.

mod algebra;
mod commute;
pub mod dose;
mod error;
pub mod interference;
mod load;
mod merge;
mod metric;
mod note;
mod parts;
mod report;
mod separate;
mod timing;

pub use commute::Cancelling;
pub use error::Error;
pub use merge::Composed;
pub use metric::Covariance;
pub use parts::Part;
pub use report::{Finding, GroupReport, Report};

use crate::error::Result;
use crate::steer::NullVectors;
use dose::DoseLimit;
use separate::Separated;
use std::collections::BTreeMap;
use trimtab_runtime::site::Site;

/// How conflict is removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Mode {
    /// Not at all: the baseline.
    Sum,
    /// The parts along the directions above: `subspace` with m = 1.
    GramSchmidt,
    /// The parts in the leading difference directions of those above, not only along their means.
    #[default]
    Subspace,
    /// The same under the covariance metric, so that whitened read-outs of those above see nothing.
    Sigma,
}

impl Mode {
    /// Its name on the command line and in files.
    pub fn name(self) -> &'static str {
        match self {
            Mode::Sum => "sum",
            Mode::GramSchmidt => "gram_schmidt",
            Mode::Subspace => "subspace",
            Mode::Sigma => "sigma",
        }
    }
}

/// What becomes of the length that separation took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Lost {
    /// It is lost, and the report shows it.
    #[default]
    Shown,
    /// What is left is stretched to the old length: to compare modes at equal pushes.
    Renormalised,
}

/// How vectors are composed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// How conflict is removed.
    pub mode: Mode,
    /// Directions that are protected per vector.
    pub m: usize,
    /// What becomes of the length that is taken.
    pub lost: Lost,
    /// Below this share of its length a vector is told to be not separable.
    pub keep_warn: f64,
    /// Below this share it is refused.
    pub keep_least: f64,
    /// Limits of the pushes.
    pub dose: DoseLimit,
    /// What is done with vectors without effect.
    pub null: NullVectors,
    /// What is done with a projection that removes what another vector adds.
    pub cancelling: Cancelling,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            mode: Mode::default(),
            m: 4,
            lost: Lost::default(),
            keep_warn: 0.5,
            keep_least: 0.2,
            dose: DoseLimit::default(),
            null: NullVectors::default(),
            cancelling: Cancelling::default(),
        }
    }
}

/// The most directions that can be protected per vector.
pub const M_LIMIT: usize = 32;

impl Settings {
    fn check(&self) -> Result<(), Error> {
        const SHARE: &str = "a number from 0 to 1";
        if self.m > M_LIMIT {
            let (value, expected) = (self.m as f64, "at most 32");
            return Err(Error::Setting { field: "m", value, expected });
        }
        for (field, value) in [("keep_warn", self.keep_warn), ("keep_min", self.keep_least)] {
            if !(0.0..=1.0).contains(&value) {
                return Err(Error::Setting { field, value, expected: SHARE });
            }
        }
        Ok(())
    }
}

/// What is known of the model the vectors are for.
#[derive(Debug, Clone, Default)]
pub struct Stream {
    /// Median length of the stream, where it was measured; elsewhere the cards' counts.
    pub norms: BTreeMap<Site, f32>,
    /// Its covariance, for [`Mode::Sigma`].
    pub covariances: BTreeMap<Site, Covariance>,
}

/// Composes the vectors of a plan.
pub fn compose<'a>(
    parts: &[Part<'a>],
    settings: &Settings,
    stream: &Stream,
) -> Result<Composed<'a>> {
    settings.check()?;
    parts::check(parts, settings.null)?;
    let order = parts::by_priority(parts);
    let groups = parts::groups(parts, &order);
    let mut separated: Vec<Separated> = Vec::new();
    for group in &groups {
        parts::protected_agree(parts, group)?;
        let sigma = match settings.mode {
            Mode::Sum | Mode::GramSchmidt | Mode::Subspace => None,
            Mode::Sigma => Some(covariance(stream, group)?),
        };
        separated.push(separate::separate(parts, group, settings, sigma)?);
    }
    let findings = findings(parts, &groups, &separated, settings)?;
    merge::Merging { parts, settings, stream, order, groups, separated }.composed(findings)
}

fn covariance<'a>(stream: &'a Stream, group: &parts::Group<'_>) -> Result<&'a Covariance, Error> {
    let site = group.site;
    let sigma = stream.covariances.get(&site).ok_or(Error::NoCovariance { site })?;
    let (found, width) = (sigma.width(), group.members.first().map_or(0, |m| m.row.len()));
    if found != width {
        let problem = format!("at {site} is {found} wide, expected {width}");
        return Err(Error::Covariance { problem });
    }
    Ok(sigma)
}

/// What separation has to tell; an error if too little of a vector is left.
fn findings(
    parts: &[Part<'_>],
    groups: &[parts::Group<'_>],
    separated: &[Separated],
    settings: &Settings,
) -> Result<Vec<Finding>, Error> {
    let mut findings = Vec::new();
    let mean_only: std::collections::BTreeSet<usize> =
        separated.iter().flat_map(|s| s.mean_only.iter().copied()).collect();
    let named = |part: usize| parts.get(part).map_or_else(String::new, |p| p.name().to_owned());
    findings.extend(mean_only.into_iter().map(|part| Finding::MeanOnly { name: named(part) }));
    let rows = || {
        let pairs = groups.iter().zip(separated);
        pairs.flat_map(|(group, s)| s.rows.iter().map(move |row| (group.site, row)))
    };
    for (site, row) in rows() {
        let (name, kept, least) = (named(row.part), row.kept, settings.keep_least);
        let elsewhere = rows().filter(|(other, r)| r.part == row.part && *other != site);
        let neighbours = || nearest(site, elsewhere.clone().map(|(other, r)| (other, r.kept)));
        if separate::is_lost(row, least) {
            let neighbours = neighbours();
            return Err(Error::NotSeparable { name, site, kept, least, neighbours });
        }
        if row.kept < settings.keep_warn {
            findings.push(Finding::LittleKept { name, site, kept, neighbours: neighbours() });
        }
    }
    Ok(findings)
}

/// Sites with a number, the nearest blocks first.
fn nearest(site: Site, all: impl Iterator<Item = (Site, f64)>) -> Vec<(Site, f64)> {
    const SHOWN: usize = 6;
    let distance = |other: Site| match (site.block(), other.block()) {
        (Some(here), Some(there)) => here.abs_diff(there),
        (None, _) | (_, None) => usize::MAX,
    };
    let mut all: Vec<(Site, f64)> = all.collect();
    all.sort_by_key(|(other, _)| (distance(*other), *other));
    all.truncate(SHOWN);
    all
}

#[cfg(test)]
mod tests;
