//! The JSON document of a composition.

use super::config::Compose;
use crate::commands::opened::Opened;
use crate::document::Head;
use crate::error::Result;
use serde::Serialize;
use trimtab_steering::VectorFile;
use trimtab_steering::compose::dose::Standing;
use trimtab_steering::compose::interference::Interference;
use trimtab_steering::compose::{Lost, Report};
use trimtab_steering::eval::Interval;
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

#[derive(Serialize)]
pub struct Document {
    #[serde(flatten)]
    head: Head,
    output: String,
    sha256: String,
    content_sha256: String,
    mode: &'static str,
    m: usize,
    lost: &'static str,
    vectors: Vec<Vector>,
    factor: f32,
    total_dose: f64,
    sites: Vec<AtSite>,
    before: Option<Matrix>,
    after: Option<Matrix>,
    warnings: Vec<String>,
}

#[derive(Serialize)]
struct Vector {
    file: String,
    name: String,
    sha256: String,
    standing: &'static str,
    /// `None` for one that was left out.
    scale: Option<f32>,
}

#[derive(Serialize)]
struct AtSite {
    site: String,
    vectors: Vec<String>,
    protected_directions: usize,
    kept: Vec<f64>,
    cosines_before: Vec<Vec<f64>>,
    cosines_after: Vec<Vec<f64>>,
    push: f64,
    stream_norm: Option<f64>,
    dose: Option<f64>,
}

#[derive(Serialize)]
struct Matrix {
    response: Vec<Vec<Bounds>>,
    together: Vec<Vec<Option<Bounds>>>,
    own: Vec<Bounds>,
    noise_p95: Vec<Option<f64>>,
}

#[derive(Serialize)]
struct Bounds {
    mean: f64,
    low: f64,
    high: f64,
}

impl From<Interval> for Bounds {
    fn from(interval: Interval) -> Bounds {
        Bounds { mean: interval.mean, low: interval.low, high: interval.high }
    }
}

/// The document.
pub fn of(outcome: &Outcome<'_>, opened: Option<&Opened>) -> Result<Document> {
    let (plan, report) = (outcome.plan, outcome.report);
    let notes = report.doses.notes.iter().map(ToString::to_string);
    let warnings = outcome.left_out.iter().cloned().chain(notes);
    Ok(Document {
        head: opened.map_or_else(|| Head::bare("compose"), |opened| opened.head("compose")),
        output: plan.out.display().to_string(),
        sha256: sha256(&outcome.file.to_bytes()?),
        content_sha256: outcome.file.content_sha256().to_owned(),
        mode: plan.settings.mode.name(),
        m: plan.settings.m,
        lost: match plan.settings.lost {
            Lost::Shown => "shown",
            Lost::Renormalised => "renormalised",
        },
        vectors: vectors(outcome)?,
        factor: report.doses.factor,
        total_dose: report.doses.total,
        sites: sites(outcome),
        before: outcome.before.as_ref().map(matrix),
        after: outcome.after.as_ref().map(matrix),
        warnings: warnings.chain(report.findings.iter().map(ToString::to_string)).collect(),
    })
}

fn vectors(outcome: &Outcome<'_>) -> Result<Vec<Vector>> {
    let scales = outcome.report.doses.scales();
    let scale = |at: usize| {
        let place = outcome.kept.iter().position(|kept| *kept == at);
        place.and_then(|place| scales.get(place)).copied()
    };
    let all = outcome.plan.vectors.iter().zip(outcome.files).enumerate();
    all.map(|(at, (ranked, file))| {
        Ok(Vector {
            file: ranked.path.display().to_string(),
            name: file.card().name.clone(),
            sha256: sha256(&file.to_bytes()?),
            standing: match ranked.standing {
                Standing::Protected => "protected",
                Standing::Free => "free",
            },
            scale: scale(at),
        })
    })
    .collect()
}

fn sites(outcome: &Outcome<'_>) -> Vec<AtSite> {
    let groups = outcome.report.groups.iter();
    groups
        .map(|group| {
            let dose = outcome.report.doses.sites.iter().find(|dose| dose.site == group.site);
            AtSite {
                site: group.site.to_string(),
                vectors: group.members.iter().map(|at| outcome.name(*at).to_owned()).collect(),
                protected_directions: group.rank,
                kept: group.kept.clone(),
                cosines_before: group.before.clone(),
                cosines_after: group.after.clone(),
                push: group.push,
                stream_norm: dose.map(|dose| dose.norm),
                dose: dose.map(|dose| dose.dose),
            }
        })
        .collect()
}

fn matrix(found: &Interference) -> Matrix {
    let row = |row: &Vec<Interval>| row.iter().map(|one| Bounds::from(*one)).collect();
    let gaps = |row: &Vec<Option<Interval>>| row.iter().map(|one| one.map(Bounds::from)).collect();
    Matrix {
        response: found.response.iter().map(row).collect(),
        together: found.together.iter().map(gaps).collect(),
        own: row(&found.own),
        noise_p95: found.noise.clone(),
    }
}
