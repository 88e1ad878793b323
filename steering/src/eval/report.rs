//! A whole evaluation: arms in their order, what each did beside no steering, and whether it counts.

use super::Progress;
use super::arm::Arm;
use super::choice::{Choice, Cost, Limits, Point, choose, differences};
use super::control::shuffled;
use super::dose::Norms;
use super::interval::{DRAWS, Interval, bootstrap};
use super::measure::{Measured, Metric, Question};
use super::rule::Rule;
use super::subject::Subject;
use super::variety::Variety;
use crate::error::{Error, Result};
use crate::file::VectorFile;
use crate::file::card::Operation;
use std::collections::BTreeSet;
use trimtab_runtime::perplexity::quantile;
use trimtab_runtime::plan::Plan;

/// The fewest random directions, or fits to shuffled labels, whose 95th percentile is one.
pub const RANDOM_DIRECTIONS: u64 = 20;

/// What the cost of plans on neutral text is, in their order; `None` of a plan that never acts on it.
pub type Neutral<'a> = &'a mut dyn FnMut(&[Plan], Progress) -> Result<Vec<Option<Cost>>>;

/// What a vector is compared with.
#[derive(Debug, Clone, PartialEq)]
pub struct Setup {
    /// Scales of the vector, without 0.
    pub scales: Vec<f32>,
    /// The goal in plain words.
    pub instruction: Option<String>,
    /// How many random directions.
    pub random: u64,
    /// Fits to shuffled labels, which [`shuffled`] takes.
    pub shuffled: Vec<VectorFile>,
    /// Controls see only so many of the items, the first ones; `None` for all.
    pub random_items: Option<usize>,
    /// Other vectors, at scales of their own.
    pub others: Vec<(VectorFile, f32)>,
    /// What is allowed.
    pub limits: Limits,
    /// Keys the bootstrap.
    pub seed: u64,
}

/// What one arm did.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// Item by item.
    pub measured: Measured,
    /// Mean score.
    pub score: Interval,
    /// Mean score less that of no steering, paired over items; `None` for no steering itself.
    pub gain: Option<Interval>,
    /// Mean margin, where items are pairs.
    pub margin: Option<Interval>,
    /// How varied its answers are.
    pub variety: Option<Variety>,
    /// What it costs on neutral text, of arms of which that was measured.
    pub cost: Option<Cost>,
    /// Length of what it adds over that of the stream, at the site where it is the most.
    pub dose: Option<f64>,
    /// Share of answers that begin as refusals do.
    pub refusals: Option<f64>,
    /// Share of answers that are JSON.
    pub json: Option<f64>,
}

/// What an evaluation asks of a vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// Some allowed scale is better than no steering.
    Gain,
    /// It is better than random directions are, and than fits to shuffled labels where there are any.
    ConceptOverRandom,
    /// Neutral text stays as likely as it was.
    Perplexity,
}

impl Check {
    /// Its name in results.
    pub fn name(self) -> &'static str {
        match self {
            Check::Gain => "gain",
            Check::ConceptOverRandom => "concept_over_random",
            Check::Perplexity => "perplexity",
        }
    }
}

/// A whole evaluation.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// What a score is.
    pub metric: Metric,
    /// Hash of the task file.
    pub set_sha256: String,
    /// Items.
    pub n: usize,
    /// The arms in order: instruction, no steering, scales, negative scales, random, shuffled, others.
    pub lines: Vec<Line>,
    /// What the measurements say about scales.
    pub choice: Choice,
    /// The scale that controls were held against.
    pub judged: f32,
    /// 95th percentile of what random directions of equal length change, whatever its sign; `None` without any.
    pub random_p95: Option<f64>,
    /// The same of fits to shuffled labels; of fewer than [`RANDOM_DIRECTIONS`] it is the largest change.
    pub shuffled_p95: Option<f64>,
    /// What did not hold.
    pub failed: Vec<Check>,
}

impl Report {
    /// The line of the vector at a scale.
    pub fn at(&self, scale: f32) -> Option<&Line> {
        self.lines.iter().find(|line| line.measured.arm == Arm::Steered { scale })
    }

    /// The line of no steering.
    pub fn plain(&self) -> Option<&Line> {
        self.lines.iter().find(|line| line.measured.arm == Arm::Base)
    }

    /// What an effect must exceed: the larger of what random directions and fits to shuffled labels change. `None`
    /// without random directions.
    pub fn chance(&self) -> Option<f64> {
        let random = self.random_p95?;
        Some(self.shuffled_p95.map_or(random, |shuffled| shuffled.max(random)))
    }

    /// The names of what did not hold.
    pub fn failures(&self) -> Vec<&'static str> {
        self.failed.iter().map(|check| check.name()).collect()
    }

    /// Whether everything held.
    pub fn passed(&self) -> bool {
        self.failed.is_empty()
    }
}

/// Measures a vector beside its controls.
///
/// Scales come first, then controls as long as the vector at the scale that is chosen, or at the best one where none is.
pub fn evaluate(
    (subject, file): (&Subject, &VectorFile),
    (question, setup): (&Question, &Setup),
    norms: &Norms,
    neutral: Neutral,
    progress: Progress,
) -> Result<Report> {
    let metric = question.metric()?;
    let arms = first_arms(file, setup)?;
    controls(file, &setup.shuffled)?;
    let measured = question.measure(subject, file, &arms, progress)?;
    let costs = costs(file, &arms, neutral, progress)?;
    let unsteered = measured.iter().find(|m| m.arm == Arm::Base).cloned();
    let Some(plain) = unsteered else { return Err(Error::NoScale) };
    let draft = Draft { plain, setup, norms };
    let mut lines: Vec<Line> =
        measured.into_iter().zip(costs).map(|(m, cost)| draft.line(m, cost)).collect();
    let points: Vec<Point> = lines.iter().filter_map(|line| draft.point(line)).collect();
    let choice = choose(&draft.plain.scores, &points, &setup.limits, setup.seed);
    let judged = judged(&choice, setup);
    let first = question.task.clone().first(setup.random_items.unwrap_or(usize::MAX));
    let sampled = Question { task: &first, ..question.clone() };
    let groups = [
        (&sampled, random_arms(setup, judged)),
        (&sampled, shuffled_arms(setup, judged)),
        (question, others(setup)),
    ];
    for (question, arms) in groups {
        for measured in question.measure(subject, file, &arms, progress)? {
            lines.push(draft.line(measured, None));
        }
    }
    let random = changes(&lines, |arm| matches!(arm, Arm::Random { .. }));
    let shuffled = changes(&lines, |arm| matches!(arm, Arm::Shuffled { .. }));
    let is_percentile = shuffled.len() as u64 >= RANDOM_DIRECTIONS;
    let mut report = Report {
        metric,
        set_sha256: question.task.sha256().to_owned(),
        n: question.task.items().len(),
        lines,
        choice,
        judged,
        random_p95: quantile_of(&random, 0.95),
        shuffled_p95: quantile_of(&shuffled, if is_percentile { 0.95 } else { 1.0 }),
        failed: Vec::new(),
    };
    report.failed = failed(&report, &setup.limits);
    Ok(report)
}

/// Instruction, no steering, the scales, and a negative one if none is asked for; what has a share for a scale has none.
fn first_arms(file: &VectorFile, setup: &Setup) -> Result<Vec<Arm>> {
    let positive: Vec<f32> = setup.scales.iter().copied().filter(|s| *s > 0.0).collect();
    let mut negative: Vec<f32> = setup.scales.iter().copied().filter(|s| *s < 0.0).collect();
    let Some(first) = positive.first() else { return Err(Error::NoScale) };
    let turns = match file.card().operation {
        Operation::Add | Operation::Rotate { .. } => true,
        Operation::Project | Operation::Clamp { .. } => false,
    };
    if negative.is_empty() && turns {
        negative.push(-first);
    }
    let scaled = positive.into_iter().chain(negative).map(|scale| Arm::Steered { scale });
    let instruction = setup.instruction.iter().cloned().map(Arm::Instruction);
    Ok(instruction.chain([Arm::Base]).chain(scaled).collect())
}

fn random_arms(setup: &Setup, judged: f32) -> Vec<Arm> {
    (1..=setup.random).map(|seed| Arm::Random { seed, scale: judged }).collect()
}

fn shuffled_arms(setup: &Setup, judged: f32) -> Vec<Arm> {
    let arm = |file: &VectorFile| Arm::Shuffled {
        seed: file.card().method.seed.unwrap_or_default(),
        control: Box::new(file.clone()),
        scale: judged,
    };
    setup.shuffled.iter().map(arm).collect()
}

/// Whether fits to shuffled labels are controls of this vector, each another one.
fn controls(file: &VectorFile, controls: &[VectorFile]) -> Result<()> {
    let mut seen = BTreeSet::new();
    for control in controls {
        shuffled(file, control)?;
        if !seen.insert(control.content_sha256()) {
            let reason = "the same directions are given twice".to_owned();
            return Err(Error::Refused { what: "a control by shuffled labels", reason });
        }
    }
    Ok(())
}

fn others(setup: &Setup) -> Vec<Arm> {
    let other = |(file, scale): &(VectorFile, f32)| Arm::Other {
        file: Box::new(file.clone()),
        scale: *scale,
    };
    setup.others.iter().map(other).collect()
}

/// What steered arms cost; nothing is asked about the others.
fn costs(
    file: &VectorFile,
    arms: &[Arm],
    neutral: Neutral,
    progress: Progress,
) -> Result<Vec<Option<Cost>>> {
    let is_steered = |arm: &&Arm| matches!(arm, Arm::Steered { .. });
    let plans = arms.iter().filter(is_steered).map(|arm| arm.plan(file));
    let plans = plans.collect::<Result<Vec<Plan>>>()?;
    let mut found = neutral(&plans, progress)?.into_iter();
    Ok(arms
        .iter()
        .map(|arm| if is_steered(&arm) { found.next().flatten() } else { None })
        .collect())
}

/// The chosen scale, else the best that does no harm, else the smallest.
fn judged(choice: &Choice, setup: &Setup) -> f32 {
    let positive = setup.scales.iter().copied().filter(|scale| *scale > 0.0);
    let chosen = Some(choice.default).filter(|scale| *scale > 0.0);
    chosen.or(choice.best).or(positive.min_by(f32::total_cmp)).unwrap_or(1.0)
}

/// What lines are held against.
struct Draft<'a> {
    plain: Measured,
    setup: &'a Setup,
    norms: &'a Norms,
}

impl Draft<'_> {
    fn line(&self, measured: Measured, cost: Option<Cost>) -> Line {
        let seed = self.setup.seed;
        let gain = (measured.arm != Arm::Base)
            .then(|| bootstrap(&differences(&measured.scores, &self.plain.scores), DRAWS, seed));
        let dose = match &measured.arm {
            Arm::Steered { scale } | Arm::Random { scale, .. } | Arm::Shuffled { scale, .. } => {
                self.norms.dose(*scale)
            }
            Arm::Instruction(_) | Arm::Base | Arm::Other { .. } => None,
        };
        Line {
            score: bootstrap(&measured.scores, DRAWS, seed),
            gain,
            margin: measured.margins.as_ref().map(|margins| bootstrap(margins, DRAWS, seed)),
            variety: measured.variety(),
            cost,
            dose,
            refusals: measured.share(&Rule::Refusal),
            json: measured.share(&Rule::Json),
            measured,
        }
    }

    fn point(&self, line: &Line) -> Option<Point> {
        let Arm::Steered { scale } = line.measured.arm else { return None };
        let plain = self.plain.variety();
        let rise = line.variety.zip(plain).map(|(own, plain)| own.repetition - plain.repetition);
        Some(Point {
            scale,
            dose: line.dose,
            scores: line.measured.scores.clone(),
            repetition: rise,
            cost: line.cost,
        })
    }
}

/// How much the arms of a kind change, whatever its sign, the least first.
fn changes(lines: &[Line], is_kind: fn(&Arm) -> bool) -> Vec<f64> {
    let of_kind = lines.iter().filter(|line| is_kind(&line.measured.arm));
    let mut changes: Vec<f64> =
        of_kind.filter_map(|line| line.gain).map(|gain| gain.mean.abs()).collect();
    changes.sort_unstable_by(f64::total_cmp);
    changes
}

fn quantile_of(sorted: &[f64], share: f64) -> Option<f64> {
    (!sorted.is_empty()).then(|| quantile(sorted, share))
}

/// What does not hold at the scale that is judged.
fn failed(report: &Report, limits: &Limits) -> Vec<Check> {
    let line = report.at(report.judged);
    let gain = line.and_then(|line| line.gain);
    let cost = line.and_then(|line| line.cost);
    let better = gain.is_some_and(|gain| gain.low > 0.0);
    // Without controls there is nothing to hold it against, and nothing that it could fail.
    let beyond = report.chance().is_none_or(|chance| gain.is_some_and(|gain| gain.low > chance));
    let fluent = cost.is_some_and(|cost| cost.ppl_high <= limits.ppl_ratio);
    let checks =
        [(better, Check::Gain), (beyond, Check::ConceptOverRandom), (fluent, Check::Perplexity)];
    checks.into_iter().filter(|(holds, _)| !holds).map(|(_, check)| check).collect()
}
