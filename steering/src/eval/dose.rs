//! Scales and doses: the same strength, as the file counts it and as a share of the stream's length.

use crate::file::VectorFile;
use std::collections::BTreeMap;
use trimtab_runtime::site::Site;

/// How long the addition of a vector at scale 1 is beside the stream, at the site where it is the most.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Norms {
    per_unit: Option<f64>,
}

impl Norms {
    /// Of a file. `measured` is the stream's median length by site, which goes before the card's own.
    ///
    /// Unknown as long as one site's length is unknown, and where an operation has no magnitude.
    pub fn of(file: &VectorFile, measured: &BTreeMap<Site, f32>) -> Norms {
        let ratio = |(site, entry): (&Site, &crate::file::card::SiteCard)| {
            let norm = measured.get(site).copied().or(entry.stream_norm)?;
            let magnitude = entry.magnitude?;
            (norm > 0.0).then(|| f64::from(magnitude) / f64::from(norm))
        };
        let ratios: Option<Vec<f64>> = file.card().sites.iter().map(ratio).collect();
        Norms { per_unit: ratios.and_then(|all| all.into_iter().max_by(f64::total_cmp)) }
    }

    /// The dose of a scale.
    pub fn dose(&self, scale: f32) -> Option<f64> {
        self.per_unit.map(|unit| f64::from(scale.abs()) * unit)
    }

    /// The scale of a dose; a negative dose is that of a negative scale.
    pub fn scale(&self, dose: f64) -> Option<f32> {
        self.per_unit.filter(|unit| *unit > 0.0).map(|unit| (dose / unit) as f32)
    }
}
