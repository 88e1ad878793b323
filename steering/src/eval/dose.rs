//! Scales and doses: the same strength, as the file counts it and as a share of the stream's length.

use crate::file::VectorFile;
use crate::file::card::{Operation, SiteCard};
use std::collections::BTreeMap;
use std::f64::consts::FRAC_PI_2;
use trimtab_runtime::site::Site;

/// How long what a vector does is beside the stream, at the site where it is the most.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Norms(Law);

/// How a dose follows from a scale.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Law {
    /// It depends on the token, or on a length that is not known.
    Unknown,
    /// An addition: so much per unit of scale.
    PerUnit(f64),
    /// A turn: half its angle in radians per unit of scale.
    HalfAngle(f64),
}

impl Norms {
    /// Of a file. `measured` is the stream's median length by site, which goes before the card's own.
    ///
    /// Unknown of operations other than add and rotate, whatever the card says of magnitudes, and of an addition as long
    /// as one site's length is unknown.
    pub fn of(file: &VectorFile, measured: &BTreeMap<Site, f32>) -> Norms {
        Norms(match file.card().operation {
            Operation::Add => per_unit(file, measured).map_or(Law::Unknown, Law::PerUnit),
            Operation::Rotate { degrees } => {
                Law::HalfAngle(f64::from(degrees).abs().to_radians() / 2.0)
            }
            Operation::Project | Operation::Clamp { .. } => Law::Unknown,
        })
    }

    /// Whether doses can be had of a file, once the stream is measured.
    pub fn are_known(file: &VectorFile) -> bool {
        match file.card().operation {
            Operation::Add | Operation::Rotate { .. } => true,
            Operation::Project | Operation::Clamp { .. } => false,
        }
    }

    /// The dose of a scale.
    pub fn dose(&self, scale: f32) -> Option<f64> {
        let scale = f64::from(scale.abs());
        match self.0 {
            Law::Unknown => None,
            Law::PerUnit(unit) => Some(scale * unit),
            // Beyond half a turn the way back is shorter, and the largest change is a whole diameter.
            Law::HalfAngle(half) => Some(2.0 * (scale * half).min(FRAC_PI_2).sin()),
        }
    }

    /// The scale of a dose; a negative dose is that of a negative scale.
    pub fn scale(&self, dose: f64) -> Option<f32> {
        let scale = match self.0 {
            Law::Unknown => None,
            Law::PerUnit(unit) => (unit > 0.0).then(|| dose / unit),
            Law::HalfAngle(half) => {
                (half > 0.0 && dose.abs() <= 2.0).then(|| (dose / 2.0).asin() / half)
            }
        };
        scale.map(|scale| scale as f32)
    }
}

fn per_unit(file: &VectorFile, measured: &BTreeMap<Site, f32>) -> Option<f64> {
    let ratio = |(site, entry): (&Site, &SiteCard)| {
        let norm = measured.get(site).copied().or(entry.stream_norm)?;
        let magnitude = entry.magnitude?;
        (norm > 0.0).then(|| f64::from(magnitude) / f64::from(norm))
    };
    let ratios: Option<Vec<f64>> = file.card().sites.iter().map(ratio).collect();
    ratios.and_then(|all| all.into_iter().max_by(f64::total_cmp))
}
