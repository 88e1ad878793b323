//! The JSON document of an evaluation.

use super::config::Eval;
use super::files::Vector;
use crate::document::Fields;
use trimtab_steering::eval::{Arm, Line, Report};

/// What the document says beside the report.
pub struct About<'a> {
    pub plan: &'a Eval,
    pub vector: &'a Vector,
    /// Whether the vector's file was changed.
    pub written: bool,
    /// What keyed draws, random order and bootstrap.
    pub seed: u64,
    pub warnings: Vec<String>,
}

/// The document of a report.
pub fn of(head: Fields, about: &About, report: &Report) -> Fields {
    let plain = report.plain();
    let instructed = report.lines.iter().find(|l| matches!(l.measured.arm, Arm::Instruction(_)));
    // Its divergence has no meaning: the prompt is another one.
    let baseline = instructed.map(|l| Fields::new("concept", l.gain.map(|gain| gain.mean)));
    let response = report.lines.iter().filter_map(|line| response(line, plain));
    head.with("file", &about.plan.args.file)
        .with("sha256", &about.vector.sha256)
        .with("set_sha256", &report.set_sha256)
        .with("n", report.n)
        .with("metric", report.metric.name())
        .with("rule", about.plan.rule())
        .with("seed", about.seed)
        .with("response", response.collect::<Vec<_>>())
        .with("random_p95", report.random_p95)
        .with("shuffled_p95", report.shuffled_p95)
        .with("prompt_baseline", baseline)
        .with("status", report.choice.status)
        .with("safe", report.choice.safe)
        .with("default", report.choice.default)
        .with("judged", report.judged)
        .with("passed", report.passed())
        .with("failed", report.failures())
        .with("written", about.written)
        .with("warnings", &about.warnings)
        .with("arms", report.lines.iter().map(entry).collect::<Vec<_>>())
}

fn response(line: &Line, plain: Option<&Line>) -> Option<Fields> {
    let Arm::Steered { scale } = line.measured.arm else { return None };
    let delta = |of: fn(&Line) -> Option<f64>| Some(of(line)? - plain.and_then(of)?);
    let response = Fields::new("scale", scale)
        .with("concept", line.gain.map(|gain| gain.mean))
        .with("concept_low", line.gain.map(|gain| gain.low))
        .with("concept_high", line.gain.map(|gain| gain.high))
        .with("kl", line.cost.map(|cost| cost.kl))
        .with("ppl_ratio", line.cost.map(|cost| cost.ppl_ratio))
        .with("ppl_low", line.cost.map(|cost| cost.ppl_low))
        .with("ppl_high", line.cost.map(|cost| cost.ppl_high))
        .with("dose_max", line.dose)
        .with("repetition", line.variety.map(|variety| variety.repetition))
        .with("refusal_delta", delta(|line| line.refusals))
        .with("json_valid_delta", delta(|line| line.json));
    Some(response)
}

fn entry(line: &Line) -> Fields {
    let (arm, variety) = (&line.measured.arm, line.variety);
    let text = if let Arm::Instruction(text) = arm { Some(text) } else { None };
    Fields::new("kind", arm.kind())
        .with("name", arm.label())
        .with("scale", arm.scale())
        .with("seed", arm.seed())
        .with("text", text)
        .with("score", line.score)
        .with("gain", line.gain)
        .with("margin", line.margin)
        .with("repetition", variety.map(|v| v.repetition))
        .with("distinct_1", variety.map(|v| v.distinct_1))
        .with("distinct_2", variety.map(|v| v.distinct_2))
        .with("words", variety.map(|v| v.words))
        .with("ended", variety.map(|v| v.ended))
        .with("refusals", line.refusals)
        .with("json_valid", line.json)
}
