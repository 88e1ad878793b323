//! Measures the vector and its controls stage by stage, then prints the table and writes the scale if it was chosen.

use super::config::{CardChange, Eval, Purpose, Strengths, Verdict};
use super::document;
use super::files;
use super::neutral;
use super::stages::Stages;
use super::table;
use crate::commands::answer::{SeedIn, seed};
use crate::commands::opened::{Opened, open};
use crate::console::Console;
use crate::error::{Error, Result, read_data, read_text};
use trimtab_steering::eval::{
    Answering, Limits, Norms, Question, RANDOM_DIRECTIONS, Report, Setup, Subject, Task,
    calibrated, costs, evaluate, evaluated,
};
use trimtab_steering::neutral::covers;
use trimtab_steering::steer::NullVectors;
use trimtab_steering::{Steer, SteerOptions, VectorFile};

/// Doses of a calibration, for a vector at one site and for each site of a vector at several.
const ONE_SITE: [f64; 14] =
    [0.02, 0.04, 0.06, 0.08, 0.10, 0.12, 0.14, 0.16, 0.18, 0.20, 0.25, 0.30, -0.05, -0.10];
const MANY_SITES: [f64; 12] =
    [0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.08, 0.10, 0.12, 0.15, -0.02, -0.05];

/// Evaluates.
pub fn run(plan: &Eval, console: &Console) -> Result<()> {
    files::outputs(plan, console)?;
    let text = read_data(&plan.data)?;
    let task = Task::parse(&text)
        .map_err(|source| Error::Data { path: plan.data.clone(), source: Box::new(source) })?;
    let task = task.first(plan.items.unwrap_or(usize::MAX));
    let given = plan.neutral.as_deref().map(read_text).transpose()?;
    let neutral = given.as_deref().unwrap_or_else(|| neutral::prose(plan.purpose));
    let vector = files::vector(&plan.file)?;
    let shuffled = plan.shuffled.iter().map(|path| files::shuffled(path, &vector.file));
    let shuffled = shuffled.collect::<Result<Vec<_>>>()?;
    let beside = plan.beside.iter().map(files::beside).collect::<Result<Vec<_>>>()?;
    usable(plan, &vector.file, &beside)?;

    let opened = open(&plan.opening, console)?;
    let mut all = std::iter::once(&vector.file).chain(beside.iter().map(|(file, _)| file));
    all.try_for_each(|file| files::admit(plan, &opened, file, console))?;
    files::pinned(plan, &opened, &vector.file)?;
    covers(&opened.model, neutral)?;
    let norms = neutral::norms(&opened, &vector.file, console)?;
    let setup = Setup {
        scales: scales(plan, &vector.file, &norms)?,
        instruction: plan.instruction.clone(),
        random: match plan.purpose {
            Purpose::Compare { random } => random,
            Purpose::Calibrate => 0,
        },
        shuffled,
        random_items: plan.random_items,
        others: beside,
        limits: Limits::default(),
        seed: seed(plan.sampling.seed, place(console), console),
    };
    let report =
        measure((plan, console), &opened, (&task, neutral), (&vector.file, &setup, &norms))?;
    let warnings = warnings(plan, &report);
    warnings.iter().for_each(|warning| console.warn(warning));
    files::write(plan, &task, &report)?;
    let written = write(plan, &vector.file, &report)?;
    if console.is_json() {
        let about = document::About {
            opened: &opened,
            plan,
            vector: &vector,
            written,
            seed: setup.seed,
            warnings,
        };
        console.print(&document::of(&about, &report))?;
    } else {
        console.say_line(table::of(&report))?;
        console.say_line(table::summary(plan, &report))?;
    }
    match (plan.verdict, report.passed(), plan.purpose) {
        (Verdict::Tell, _, _) | (Verdict::Check, true, Purpose::Compare { .. }) => Ok(()),
        (Verdict::Check, _, Purpose::Calibrate) if report.choice.default > 0.0 => Ok(()),
        (Verdict::Check, _, _) => {
            let names: Vec<&str> = report.failed.iter().map(|check| check.name()).collect();
            Err(Error::Check { failed: names.join(", ") })
        }
    }
}

/// Where a seed that was drawn is found.
fn place(console: &Console) -> SeedIn {
    if console.is_json() { SeedIn::Document } else { SeedIn::Stderr }
}

/// Refuses what no model could be steered with, before one is opened.
fn usable(plan: &Eval, file: &VectorFile, beside: &[(VectorFile, f32)]) -> Result<()> {
    let tried = |(file, scale): (&VectorFile, f32)| {
        // Whether a vector has an effect is what is measured here.
        let (scale, null) = (Some(scale), NullVectors::Allow);
        Steer::new(file, &SteerOptions { scale, null, ..SteerOptions::default() }).map(drop)
    };
    let own = match &plan.strengths {
        Strengths::Scales(scales) => scales.clone(),
        Strengths::OfFile => vec![file.card().scale.default],
        Strengths::Doses(_) => Vec::new(),
    };
    let by_dose = match (&plan.strengths, plan.purpose) {
        (Strengths::Scales(_), _) | (Strengths::OfFile, Purpose::Compare { .. }) => false,
        (Strengths::Doses(_), _) | (Strengths::OfFile, Purpose::Calibrate) => true,
    };
    if by_dose && !Norms::are_known(file) {
        return Err(no_doses());
    }
    let own = own.into_iter().map(|scale| (file, scale));
    let others = beside.iter().map(|(file, scale)| (file, *scale));
    Ok(own.chain(others).try_for_each(tried)?)
}

fn no_doses() -> Error {
    let problem = "are not to be had of this vector: only add and rotate have doses beforehand, \
                   and a rotation at most 2; give --scales";
    Error::usage("--doses", problem)
}

fn measure(
    (plan, console): (&Eval, &Console),
    opened: &Opened,
    (task, neutral): (&Task, &str),
    (file, setup, norms): (&VectorFile, &Setup, &Norms),
) -> Result<Report> {
    let request = plan.sampling.request(opened.model.sampling(), setup.seed)?;
    let question = Question { task, rule: plan.rule.as_ref(), answering: Answering { request } };
    let subject = Subject::of(&opened.model)?;
    let stages = Stages::begin(console);
    let report = evaluate(
        (&subject, file),
        (&question, setup),
        norms,
        &mut |plans, progress| costs(&opened.model, neutral, plans, progress),
        &mut |event| stages.tell(event),
    );
    stages.end();
    Ok(report?)
}

/// The scales to measure.
fn scales(plan: &Eval, file: &VectorFile, norms: &Norms) -> Result<Vec<f32>> {
    let doses = match (&plan.strengths, plan.purpose) {
        (Strengths::Scales(scales), _) => return Ok(scales.clone()),
        (Strengths::Doses(doses), _) => doses.as_slice(),
        (Strengths::OfFile, Purpose::Calibrate) if file.directions().len() == 1 => &ONE_SITE[..],
        (Strengths::OfFile, Purpose::Calibrate) => &MANY_SITES,
        (Strengths::OfFile, Purpose::Compare { .. }) => return Ok(vec![file.card().scale.default]),
    };
    let scales: Option<Vec<f32>> = doses.iter().map(|dose| norms.scale(*dose)).collect();
    scales.ok_or_else(no_doses)
}

fn warnings(plan: &Eval, report: &Report) -> Vec<String> {
    let mut warnings = Vec::new();
    if report.choice.safe.is_none() {
        let never =
            "the vector never acts on the neutral text: its harm is not known (--neutral FILE)";
        warnings.push(never.to_owned());
    }
    let Purpose::Compare { random } = plan.purpose else { return warnings };
    if plan.instruction.is_none() {
        warnings.push("no --instruction: plain words in the prompt were not measured".to_owned());
    }
    if random < RANDOM_DIRECTIONS {
        warnings.push(format!("{random} random directions are too few for a 95th percentile"));
    }
    let shuffled = plan.shuffled.len();
    if (1..RANDOM_DIRECTIONS as usize).contains(&shuffled) {
        warnings.push(format!(
            "{shuffled} shuffled labels are too few for a 95th percentile: the largest effect counts, and no card has it"
        ));
    }
    if report.n < 50 {
        warnings.push(format!("{} items give wide intervals", report.n));
    }
    warnings
}

/// Puts what was measured into the file, whole or not at all.
fn write(plan: &Eval, file: &VectorFile, report: &Report) -> Result<bool> {
    if plan.card == CardChange::Leave {
        return Ok(false);
    }
    let changed = match plan.purpose {
        Purpose::Calibrate => calibrated(file, &report.choice)?,
        Purpose::Compare { .. } => {
            evaluated(file, report, plan.rule.as_ref().map(ToString::to_string))?
        }
    };
    changed.save(&plan.file).map_err(Error::writing(&plan.file))?;
    Ok(true)
}
