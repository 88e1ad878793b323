//! The candidates of an extraction as a heat map: blocks across, places down.

use std::path::Path;
use trimtab_steering::Result;
use trimtab_steering::extract::{Candidate, Place, Report, Rule};
use trimtab_steering::plot::HeatMap;

/// Writes what candidates were chosen by as SVG.
pub fn write(path: &Path, name: &str, report: &Report) -> Result<()> {
    let mut places: Vec<Place> = Vec::new();
    let mut sites: Vec<String> = Vec::new();
    for candidate in &report.grid {
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
        report.grid.iter().find(is_there).map_or(f64::NAN, |c| value(report.rule, c))
    };
    let values: Vec<f64> =
        places.iter().flat_map(|place| sites.iter().map(move |site| at(place, site))).collect();
    let rows: Vec<String> = places.iter().map(Place::to_string).collect();
    let title = format!("{name}: candidates");
    HeatMap {
        title: &title,
        rows: ("place", &rows),
        columns: ("site", &sites),
        measure: report.rule.name(),
        values: &values,
    }
    .write(path)
}

/// What the rule looks at.
fn value(rule: Rule, candidate: &Candidate) -> f64 {
    match rule {
        Rule::PaperCosine => candidate.score.cosine,
        Rule::HeldoutAuroc => candidate.score.auroc.unwrap_or(f64::NAN),
    }
}
