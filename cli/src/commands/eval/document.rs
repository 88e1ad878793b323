//! The JSON document of an evaluation.

use super::config::Eval;
use super::files::Vector;
use crate::commands::opened::Opened;
use crate::document::Head;
use serde::Serialize;
use std::path::Path;
use trimtab_steering::eval::{Arm, Interval, Line, Report};
use trimtab_steering::file::card::Status;

/// What the document says beside the report.
pub struct About<'a> {
    /// The model.
    pub opened: &'a Opened,
    /// What was asked for.
    pub plan: &'a Eval,
    /// The vector.
    pub vector: &'a Vector,
    /// Whether it was changed.
    pub written: bool,
    /// What keyed draws, random order and bootstrap.
    pub seed: u64,
    /// What was warned of.
    pub warnings: Vec<String>,
}

/// An evaluation.
#[derive(Serialize)]
pub struct Document<'a> {
    #[serde(flatten)]
    head: Head,
    file: &'a Path,
    sha256: &'a str,
    set_sha256: &'a str,
    n: usize,
    metric: &'static str,
    rule: Option<String>,
    seed: u64,
    response: Vec<Response>,
    random_p95: Option<f64>,
    shuffled_p95: Option<f64>,
    prompt_baseline: Option<Baseline>,
    status: Status,
    safe: Option<[f32; 2]>,
    default: f32,
    judged: f32,
    passed: bool,
    failed: Vec<&'static str>,
    written: bool,
    warnings: Vec<String>,
    arms: Vec<ArmEntry<'a>>,
}

#[derive(Serialize)]
struct Response {
    scale: f32,
    concept: Option<f64>,
    concept_low: Option<f64>,
    concept_high: Option<f64>,
    kl: Option<f64>,
    ppl_ratio: Option<f64>,
    ppl_low: Option<f64>,
    ppl_high: Option<f64>,
    dose_max: Option<f64>,
    repetition: Option<f64>,
    refusal_delta: Option<f64>,
    json_valid_delta: Option<f64>,
}

/// The same goal in plain words. Its divergence has no meaning: the prompt is another one.
#[derive(Serialize)]
struct Baseline {
    concept: Option<f64>,
    kl: Option<f64>,
}

#[derive(Serialize)]
struct Bounds {
    mean: f64,
    low: f64,
    high: f64,
}

#[derive(Serialize)]
struct ArmEntry<'a> {
    kind: &'static str,
    name: String,
    scale: Option<f32>,
    seed: Option<u64>,
    text: Option<&'a str>,
    score: Bounds,
    gain: Option<Bounds>,
    margin: Option<Bounds>,
    repetition: Option<f64>,
    distinct_1: Option<f64>,
    distinct_2: Option<f64>,
    words: Option<f64>,
    ended: Option<f64>,
    refusals: Option<f64>,
    json_valid: Option<f64>,
}

/// The document of a report.
pub fn of<'a>(about: &About<'a>, report: &'a Report) -> Document<'a> {
    let plain = report.plain();
    let instructed = report.lines.iter().find(|l| matches!(l.measured.arm, Arm::Instruction(_)));
    Document {
        head: about.opened.head("eval"),
        file: &about.plan.file,
        sha256: &about.vector.sha256,
        set_sha256: &report.set_sha256,
        n: report.n,
        metric: report.metric.name(),
        rule: about.plan.rule.as_ref().map(ToString::to_string),
        seed: about.seed,
        response: report.lines.iter().filter_map(|line| response(line, plain)).collect(),
        random_p95: report.random_p95,
        shuffled_p95: report.shuffled_p95,
        prompt_baseline: instructed
            .map(|line| Baseline { concept: line.gain.map(|gain| gain.mean), kl: None }),
        status: report.choice.status,
        safe: report.choice.safe,
        default: report.choice.default,
        judged: report.judged,
        passed: report.passed(),
        failed: report.failed.iter().map(|check| check.name()).collect(),
        written: about.written,
        warnings: about.warnings.clone(),
        arms: report.lines.iter().map(entry).collect(),
    }
}

fn response(line: &Line, plain: Option<&Line>) -> Option<Response> {
    let Arm::Steered { scale } = line.measured.arm else { return None };
    let delta = |of: fn(&Line) -> Option<f64>| Some(of(line)? - plain.and_then(of)?);
    Some(Response {
        scale,
        concept: line.gain.map(|gain| gain.mean),
        concept_low: line.gain.map(|gain| gain.low),
        concept_high: line.gain.map(|gain| gain.high),
        kl: line.cost.map(|cost| cost.kl),
        ppl_ratio: line.cost.map(|cost| cost.ppl_ratio),
        ppl_low: line.cost.map(|cost| cost.ppl_low),
        ppl_high: line.cost.map(|cost| cost.ppl_high),
        dose_max: line.dose,
        repetition: line.variety.map(|variety| variety.repetition),
        refusal_delta: delta(|line| line.refusals),
        json_valid_delta: delta(|line| line.json),
    })
}

fn entry(line: &Line) -> ArmEntry<'_> {
    let arm = &line.measured.arm;
    let variety = line.variety;
    ArmEntry {
        kind: arm.kind(),
        name: arm.label(),
        scale: arm.scale(),
        seed: arm.seed(),
        text: match arm {
            Arm::Instruction(text) => Some(text),
            Arm::Base
            | Arm::Steered { .. }
            | Arm::Random { .. }
            | Arm::Shuffled { .. }
            | Arm::Other { .. } => None,
        },
        score: bounds(line.score),
        gain: line.gain.map(bounds),
        margin: line.margin.map(bounds),
        repetition: variety.map(|v| v.repetition),
        distinct_1: variety.map(|v| v.distinct_1),
        distinct_2: variety.map(|v| v.distinct_2),
        words: variety.map(|v| v.words),
        ended: variety.map(|v| v.ended),
        refusals: line.refusals,
        json_valid: line.json,
    }
}

fn bounds(interval: Interval) -> Bounds {
    Bounds { mean: interval.mean, low: interval.low, high: interval.high }
}
