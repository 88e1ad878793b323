//! The JSON document of a composition.

use super::config::Compose;
use crate::document::Fields;
use crate::error::Result;
use trimtab_steering::VectorFile;
use trimtab_steering::compose::dose::Standing;
use trimtab_steering::compose::interference::Interference;
use trimtab_steering::compose::{GroupReport, Lost, Report};
use trimtab_steering::file::sha256;

/// What came of a composition.
pub struct Outcome<'a> {
    pub plan: &'a Compose,
    /// All vectors that were given.
    pub files: &'a [VectorFile],
    /// The places of those that were composed.
    pub kept: &'a [usize],
    /// What was told of the others.
    pub left_out: Vec<String>,
    pub report: &'a Report,
    pub file: &'a VectorFile,
    pub before: Option<Interference>,
    pub after: Option<Interference>,
}

impl Outcome<'_> {
    /// The name of a composed vector, by its place among those.
    pub fn name(&self, composed: usize) -> &str {
        let file = self.kept.get(composed).and_then(|at| self.files.get(*at));
        file.map_or("", |file| &file.card().name)
    }
}

pub fn of(head: Fields, outcome: &Outcome<'_>) -> Result<Fields> {
    let (plan, report) = (outcome.plan, outcome.report);
    let notes = report.doses.notes.iter().map(ToString::to_string);
    let told = outcome.left_out.iter().cloned().chain(notes);
    let told = told.chain(report.findings.iter().map(ToString::to_string));
    let lost = match plan.settings.lost {
        Lost::Shown => "shown",
        Lost::Renormalised => "renormalised",
    };
    Ok(head
        .with("output", plan.args.out.display().to_string())
        .with("sha256", sha256(&outcome.file.to_bytes()?))
        .with("content_sha256", outcome.file.content_sha256())
        .with("mode", plan.settings.mode.name())
        .with("m", plan.settings.m)
        .with("lost", lost)
        .with("vectors", vectors(outcome)?)
        .with("factor", report.doses.factor)
        .with("total_dose", report.doses.total)
        .with("sites", sites(outcome))
        .with("before", &outcome.before)
        .with("after", &outcome.after)
        .with("warnings", told.collect::<Vec<_>>()))
}

fn vectors(outcome: &Outcome<'_>) -> Result<Vec<Fields>> {
    let scales = outcome.report.doses.scales();
    let scale = |at: usize| {
        let place = outcome.kept.iter().position(|kept| *kept == at);
        place.and_then(|place| scales.get(place)).copied()
    };
    let all = outcome.plan.args.files.iter().zip(outcome.files).enumerate();
    all.map(|(at, (asked, file))| {
        let standing = match outcome.plan.standing(at) {
            Standing::Protected => "protected",
            Standing::Free => "free",
        };
        Ok(Fields::new("file", asked.path.display().to_string())
            .with("name", &file.card().name)
            .with("sha256", sha256(&file.to_bytes()?))
            .with("standing", standing)
            // A vector that was left out has none.
            .with("scale", scale(at)))
    })
    .collect()
}

fn sites(outcome: &Outcome<'_>) -> Vec<Fields> {
    let site = |group: &GroupReport| {
        let dose = outcome.report.doses.sites.iter().find(|dose| dose.site == group.site);
        let names: Vec<&str> = group.members.iter().map(|at| outcome.name(*at)).collect();
        Fields::new("site", group.site.to_string())
            .with("vectors", names)
            .with("protected_directions", group.rank)
            .with("kept", &group.kept)
            .with("cosines_before", &group.before)
            .with("cosines_after", &group.after)
            .with("push", group.push)
            .with("stream_norm", dose.map(|dose| dose.norm))
            .with("dose", dose.map(|dose| dose.dose))
    };
    outcome.report.groups.iter().map(site).collect()
}
