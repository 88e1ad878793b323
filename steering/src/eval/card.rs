//! What an evaluation leaves in a vector's card.

use super::arm::Arm;
use super::choice::Choice;
use super::report::{Line, RANDOM_DIRECTIONS, Report};
use crate::error::{Error, Result};
use crate::file::VectorFile;
use crate::file::card::{Evaluation, Response, Scale, Status, WRITER};

/// The private note that says what `concept` is where it is no margin.
const METRIC_NOTE: &str = "evaluation.metric";

/// The same vector with the chosen scale, as `--calibrate` leaves it.
///
/// A file of which nothing but the scale is known stays unmeasured: the scale was chosen on these very items.
pub fn calibrated(file: &VectorFile, choice: &Choice) -> Result<VectorFile> {
    harm_is_known(choice)?;
    let mut card = file.card().clone();
    card.scale = Scale { default: choice.default, safe: choice.safe };
    card.evaluation = None;
    card.status = match choice.status {
        Status::Null => Status::Null,
        Status::Measured | Status::Unmeasured => Status::Unmeasured,
    };
    VectorFile::new(card, file.directions().to_vec())
}

/// Refuses a choice without any cost: neither a safe range nor that there is no safe scale was found.
fn harm_is_known(choice: &Choice) -> Result<()> {
    match choice.safe {
        Some(_) => Ok(()),
        None => {
            let reason = "its harm was not measured on the neutral text";
            Err(Error::Refused { what: "writing the scale", reason: reason.to_owned() })
        }
    }
}

/// The same vector with what was measured. Fewer random directions than a percentile needs are refused; of fewer fits to
/// shuffled labels nothing is written.
pub fn evaluated(file: &VectorFile, report: &Report, rule: Option<String>) -> Result<VectorFile> {
    let random = report.lines.iter().filter(|l| matches!(l.measured.arm, Arm::Random { .. }));
    let (Some(p95), true) = (report.random_p95, random.count() as u64 >= RANDOM_DIRECTIONS) else {
        let reason =
            format!("a card needs {RANDOM_DIRECTIONS} random directions beside the vector");
        return Err(Error::Refused { what: "writing the evaluation", reason });
    };
    let shuffled = report.lines.iter().filter(|l| matches!(l.measured.arm, Arm::Shuffled { .. }));
    let enough = shuffled.count() as u64 >= RANDOM_DIRECTIONS;
    harm_is_known(&report.choice)?;
    let mut card = file.card().clone();
    let judged = report.at(report.judged);
    let delta = |of: fn(&Line) -> Option<f64>| {
        let (own, plain) = (judged.and_then(of)?, report.plain().and_then(of)?);
        Some((own - plain) as f32)
    };
    card.evaluation = Some(Evaluation {
        build: WRITER.to_owned(),
        json_valid_delta: delta(|line| line.json),
        n: report.n,
        random_p95: p95 as f32,
        refusal_delta: delta(|line| line.refusals),
        response: report.lines.iter().filter_map(response).collect(),
        set_sha256: report.set_sha256.clone(),
        shuffled_p95: report.shuffled_p95.filter(|_| enough).map(|p95| p95 as f32),
    });
    card.scale = Scale { default: report.choice.default, safe: safe(card.scale.safe, report) };
    card.status = report.choice.status;
    let metric = match rule {
        Some(rule) => format!("{} {rule}", report.metric.name()),
        None => report.metric.name().to_owned(),
    };
    card.extra.insert(METRIC_NOTE.to_owned(), metric);
    VectorFile::new(card, file.directions().to_vec())
}

fn response(line: &Line) -> Option<Response> {
    let Arm::Steered { scale } = line.measured.arm else { return None };
    let (gain, cost) = (line.gain?, line.cost?);
    let (concept, kl) = (gain.mean as f32, cost.kl as f32);
    Some(Response { concept, kl, ppl_ratio: cost.ppl_ratio as f32, scale })
}

/// What is safe by this measurement and an earlier one: fewer scales tested do not narrow it, harm does.
fn safe(earlier: Option<[f32; 2]>, report: &Report) -> Option<[f32; 2]> {
    let (Some([low, high]), Some([new_low, new_high])) = (earlier, report.choice.safe) else {
        return report.choice.safe.or(earlier);
    };
    let tested = report.lines.iter().filter_map(|line| match line.measured.arm {
        Arm::Steered { scale } => Some(scale),
        _ => None,
    });
    let tested: Vec<f32> = tested.collect();
    // A tested scale beyond the new end did harm.
    let harmed = |from: f32, to: f32| tested.iter().any(|scale| *scale > from && *scale <= to);
    let harmed_low = tested.iter().any(|scale| *scale < new_low && *scale >= low);
    Some([
        if harmed_low { new_low } else { low.min(new_low) },
        if harmed(new_high, high) { new_high } else { high.max(new_high) },
    ])
}
