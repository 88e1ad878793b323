//! What a composition did, for people: what is kept, cosines, and the measured matrix.

use super::document::Outcome;
use crate::commands::table::markdown;
use trimtab_steering::compose::GroupReport;
use trimtab_steering::compose::interference::Interference;
use trimtab_steering::eval::Interval;

pub fn of(outcome: &Outcome<'_>) -> String {
    let mut text = vec![sites(outcome)];
    let pairs = pairs(outcome);
    if !pairs.is_empty() {
        text.push(markdown("site;vectors;>cosine;>after", pairs));
    }
    let all: Vec<&str> = outcome.files.iter().map(|file| file.card().name.as_str()).collect();
    if let Some(before) = &outcome.before {
        text.push(format!("response per unit dose, as given\n{}", matrix(before, &all)));
    }
    if let Some(after) = &outcome.after {
        let left: Vec<&str> = (0..outcome.kept.len()).map(|at| outcome.name(at)).collect();
        text.push(format!("response per unit dose, composed\n{}", matrix(after, &left)));
    }
    text.join("\n\n")
}

/// What is kept of every vector and how hard all push, site by site.
fn sites(outcome: &Outcome<'_>) -> String {
    let row = |group: &GroupReport| {
        let kept = group.members.iter().zip(&group.kept);
        let kept = kept.map(|(at, kept)| format!("{} {kept:.2}", outcome.name(*at)));
        let dose = outcome.report.doses.sites.iter().find(|dose| dose.site == group.site);
        [
            group.site.to_string(),
            kept.collect::<Vec<_>>().join(", "),
            format!("{:.3}", group.push),
            dose.map_or_else(String::new, |dose| format!("{:.3}", dose.dose)),
        ]
    };
    markdown("site;kept;>push;>dose", outcome.report.groups.iter().map(row))
}

/// Every pair of vectors at every site.
fn pairs(outcome: &Outcome<'_>) -> Vec<Vec<String>> {
    let of_group = |group: &GroupReport| {
        let count = group.members.len();
        let places = (0..count).flat_map(move |a| (a + 1..count).map(move |b| (a, b)));
        let cell = |table: &[Vec<f64>], (a, b): (usize, usize)| {
            let cosine = table.get(a).and_then(|row| row.get(b)).copied().unwrap_or(f64::NAN);
            format!("{:.2}", cosine + 0.0)
        };
        let name = |at: usize| group.members.get(at).map_or("", |at| outcome.name(*at));
        places
            .map(|(a, b)| {
                let pair = format!("{} × {}", name(a), name(b));
                let cosines = [cell(&group.before, (a, b)), cell(&group.after, (a, b))];
                [vec![group.site.to_string(), pair], cosines.to_vec()].concat()
            })
            .collect::<Vec<_>>()
    };
    outcome.report.groups.iter().flat_map(of_group).collect()
}

/// Rows are pairs, columns vectors.
fn matrix(found: &Interference, names: &[&str]) -> String {
    let bounds = |one: &Interval| format!("{:.3} [{:.3}, {:.3}]", one.mean, one.low, one.high);
    let rows = found.response.iter().zip(&found.noise).enumerate().map(|(at, (row, noise))| {
        let name = names.get(at).map_or_else(String::new, |name| format!("pairs of {name}"));
        let noise = noise.map_or_else(String::new, |noise| format!("{noise:.3}"));
        [vec![name], row.iter().map(bounds).collect(), vec![noise]].concat()
    });
    let mut rows: Vec<Vec<String>> = rows.collect();
    let head = [vec![String::new()], names.iter().map(|n| (*n).to_owned()).collect()].concat();
    rows.insert(0, [head, vec!["random, p95".to_owned()]].concat());
    markdown(&";>".repeat(names.len() + 1), rows)
}
