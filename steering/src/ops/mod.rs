//! Operations: what is done with one token's vector `x`, a unit row `v`, magnitude `m`, anchor `a` and scale `s`.
//!
//! | operation | effect | `s` is |
//! | --- | --- | --- |
//! | add | `x + s·m·v` | class gaps |
//! | add, relative | `x + s·‖x‖·v` | share of the token's length |
//! | project | `x − s·Σ_j row_scale_j·(x·v_j)·v_j` | share removed; 2 reflects |
//! | clamp | `c = (x·v − a)/m` into `[min, max]`: `x + s·(c′ − c)·m·v` | share of the correction |
//! | rotate | turned toward `v` by `s·degrees`, length kept | multiplier |
//!
//! Activations are f32, products and lengths are f64. An operation knows one token: which tokens, when and how much is
//! the business of scope, gate and schedule, which hand it a `Force`. A constant addition on all tokens of a scope
//! never comes here: it is lowered to the runtime's fused addition.

mod add;
mod clamp;
mod project;
mod rotate;
pub(crate) mod rows;
pub(crate) mod running;

use crate::direction::{Direction, finite};
use crate::error::{Error, Result};
use crate::file::card::{Operation, SiteCard};
use serde::{Deserialize, Serialize};
use std::ops::RangeInclusive;
use trimtab_runtime::fingerprint::FingerprintBuilder;
use trimtab_runtime::site::Site;

/// What a scale counts in, for additions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Unit {
    /// Class gaps: 1 moves by the magnitude of the card.
    #[default]
    ClassGaps,
    /// The token's own length: 0.1 adds a tenth of it.
    StreamNorm,
}

/// What happens to a token's length.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Rescale {
    /// It is what the operation makes it.
    #[default]
    None,
    /// It is put back to what it was.
    KeepNorm,
}

/// How much of an operation a token gets: 1 is all of it. Never 0: such a token is not touched at all.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Force(pub(crate) f64);

/// Whether a token came out with other bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Edited {
    Kept,
    Changed,
}

/// An operation with the numbers of one site.
#[derive(Debug, Clone)]
pub(crate) enum Act {
    Add(add::Add),
    AddRelative(add::AddRelative),
    Project(project::Project),
    Clamp(clamp::Clamp),
    Rotate(rotate::Rotate),
}

/// What a request says about an operation, site by site the same.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Order {
    pub(crate) operation: Operation,
    pub(crate) scale: f32,
    pub(crate) unit: Unit,
}

impl Order {
    /// Refuses numbers the operation has no use for.
    pub(crate) fn check(&self) -> Result<()> {
        let scale = self.scale;
        if !scale.is_finite() {
            return Err(Error::setting("scale", format!("is {scale}, expected a finite number")));
        }
        if self.unit == Unit::StreamNorm && self.operation != Operation::Add {
            let kind = self.operation.kind();
            let problem = format!("is the stream's norm, which only add has; {kind} has its own");
            return Err(Error::setting("unit", problem));
        }
        if let Some(problem) = strays(self.operation, scale) {
            return Err(Error::setting("scale", problem));
        }
        match self.operation {
            Operation::Add | Operation::Project => Ok(()),
            Operation::Clamp { min, max } => range(min, max),
            Operation::Rotate { degrees } if degrees.abs() <= 180.0 && degrees != 0.0 => Ok(()),
            Operation::Rotate { degrees } => {
                let problem = format!("is {degrees}, expected -180 to 180 and not 0");
                Err(Error::setting("degrees", problem))
            }
        }
    }

    /// The operation at one site of a vector named `name`.
    // direction [rank, d_model]
    pub(crate) fn at(&self, name: &str, direction: &Direction, card: &SiteCard) -> Result<Act> {
        let site = direction.site();
        let known = |field, value: Option<f32>| {
            value.map(f64::from).ok_or_else(|| Error::AnchorMissing {
                name: name.to_owned(),
                site,
                field,
            })
        };
        let row = || direction.values().to_vec();
        let scale = f64::from(self.scale);
        Ok(match (self.operation, self.unit) {
            (Operation::Add, Unit::ClassGaps) => {
                let magnitude = known("magnitude", card.magnitude)? as f32;
                let scaled = direction.values().iter().map(|v| v * magnitude * self.scale);
                let offset: Vec<f32> = scaled.collect();
                finite(&format!("{site} at scale {}", self.scale), &offset)?;
                Act::Add(add::Add { offset })
            }
            (Operation::Add, Unit::StreamNorm) => {
                Act::AddRelative(add::AddRelative { row: row(), scale })
            }
            (Operation::Project, _) => {
                let given = card.row_scale.iter().copied().chain(std::iter::repeat(1.0));
                let shares = given.take(direction.rank()).map(|row| scale * f64::from(row));
                let shares: Vec<f64> = shares.collect();
                if let Some(share) = shares.iter().find(|share| !SHARES.contains(*share)) {
                    let problem = format!("removes {share} of a row at {site}, expected 0 to 2");
                    return Err(Error::setting("scale", problem));
                }
                Act::Project(project::Project { rows: row(), shares })
            }
            (Operation::Clamp { min, max }, _) => Act::Clamp(clamp::Clamp {
                row: row(),
                magnitude: known("magnitude", card.magnitude)?,
                anchor: known("anchor", card.anchor)?,
                min: min.map_or(f64::NEG_INFINITY, f64::from),
                max: max.map_or(f64::INFINITY, f64::from),
                share: scale,
            }),
            (Operation::Rotate { degrees }, _) => Act::Rotate(rotate::Rotate {
                row: row(),
                angle: scale * f64::from(degrees).to_radians(),
            }),
        })
    }
}

/// What of a row's part a projection may remove: none of it up to its reflection. More, or less, makes the part longer.
pub(crate) const SHARES: RangeInclusive<f64> = 0.0..=2.0;

/// What is wrong with a scale of an operation whose scale is a share, if anything is.
pub(crate) fn strays(operation: Operation, scale: f32) -> Option<String> {
    let (most, share) = match operation {
        Operation::Add | Operation::Rotate { .. } => return None,
        Operation::Project => (*SHARES.end() as f32, "for project it is the share removed"),
        Operation::Clamp { .. } => (1.0, "for clamp it is the share of the correction"),
    };
    let within = (0.0..=most).contains(&scale);
    (!within).then(|| format!("is {scale}, expected 0 to {most}: {share}"))
}

fn range(min: Option<f32>, max: Option<f32>) -> Result<()> {
    for (field, value) in [("min", min), ("max", max)] {
        if let Some(value) = value.filter(|value| !value.is_finite()) {
            return Err(Error::setting(field, format!("is {value}, expected a finite number")));
        }
    }
    match (min, max) {
        (None, None) => Err(Error::setting("min", "and max are both missing; clamp needs one")),
        (Some(min), Some(max)) if min > max => {
            Err(Error::setting("min", format!("is {min}, which is above max, {max}")))
        }
        _ => Ok(()),
    }
}

impl Act {
    /// Changes one token; says whether its bits did.
    // x [d_model], changed in place
    pub(crate) fn apply(&self, x: &mut [f32], force: Force, rescale: Rescale) -> Edited {
        let before = match rescale {
            Rescale::None => None,
            Rescale::KeepNorm => Some(rows::norm(x)),
        };
        let edited = match self {
            Act::Add(act) => act.apply(x, force),
            Act::AddRelative(act) => act.apply(x, force),
            Act::Project(act) => act.apply(x, force),
            Act::Clamp(act) => act.apply(x, force),
            Act::Rotate(act) => act.apply(x, force),
        };
        if let (Some(before), Edited::Changed) = (before, edited) {
            lengthen(x, before);
        }
        edited
    }

    /// Width of the stream it is for.
    pub(crate) fn width(&self) -> usize {
        match self {
            Act::Add(act) => act.offset.len(),
            Act::AddRelative(act) => act.row.len(),
            Act::Project(act) => act.rows.len() / act.shares.len().max(1),
            Act::Clamp(act) => act.row.len(),
            Act::Rotate(act) => act.row.len(),
        }
    }

    /// Hashes everything that changes what it does at a site.
    pub(crate) fn digest(&self, site: Site, digest: FingerprintBuilder) -> FingerprintBuilder {
        let bits = |digest: FingerprintBuilder, numbers: &[f64]| {
            numbers.iter().fold(digest, |digest, number| digest.number(number.to_bits()))
        };
        let digest = digest.text(&site.to_string());
        match self {
            Act::Add(act) => digest.text("add").floats(&act.offset),
            Act::AddRelative(act) => bits(digest.text("relative").floats(&act.row), &[act.scale]),
            Act::Project(act) => bits(digest.text("project").floats(&act.rows), &act.shares),
            Act::Clamp(act) => {
                let numbers = [act.magnitude, act.anchor, act.min, act.max, act.share];
                bits(digest.text("clamp").floats(&act.row), &numbers)
            }
            Act::Rotate(act) => bits(digest.text("rotate").floats(&act.row), &[act.angle]),
        }
    }
}

/// Gives a token this length again, unless nothing is left of it.
// x [d_model], changed in place
fn lengthen(x: &mut [f32], length: f64) {
    let found = rows::norm(x);
    if found > 0.0 && found != length {
        x.iter_mut().for_each(|x| *x = (f64::from(*x) * (length / found)) as f32);
    }
}

#[cfg(test)]
mod tests;
