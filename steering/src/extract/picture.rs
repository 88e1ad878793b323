//! The candidates of an extraction as a heat map: blocks across, places down.

use super::{Candidate, Place, Report, Rule};
use crate::error::Result;
use crate::plot::HeatMap;
use std::path::Path;

impl Report {
    /// Writes what candidates were chosen by as SVG.
    pub fn draw(&self, path: &Path, title: &str) -> Result<()> {
        let mut places: Vec<Place> = Vec::new();
        let mut sites: Vec<String> = Vec::new();
        for candidate in &self.grid {
            if !places.contains(&candidate.place) {
                places.push(candidate.place);
            }
            let site = candidate.site.to_string();
            if !sites.contains(&site) {
                sites.push(site);
            }
        }
        let at = |place: &Place, site: &String| {
            let is_there = |c: &&Candidate| c.place == *place && c.site.to_string() == *site;
            self.grid.iter().find(is_there).map_or(f64::NAN, |c| value(self.rule, c))
        };
        let values: Vec<f64> =
            places.iter().flat_map(|place| sites.iter().map(move |site| at(place, site))).collect();
        let rows: Vec<String> = places.iter().map(Place::to_string).collect();
        HeatMap {
            title,
            rows: ("place", &rows),
            columns: ("site", &sites),
            measure: self.rule.name(),
            values: &values,
        }
        .write(path)
    }
}

/// What the rule looks at.
fn value(rule: Rule, candidate: &Candidate) -> f64 {
    match rule {
        Rule::PaperCosine => candidate.score.cosine,
        Rule::HeldoutAuroc => candidate.score.auroc.unwrap_or(f64::NAN),
    }
}
