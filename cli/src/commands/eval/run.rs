//! Measures the vector and its controls stage by stage, then prints the table and writes the scale if it was chosen.

use super::config::{Eval, Purpose, Strengths};
use super::{document, files, table};
use crate::commands::answer::{SeedIn, seed};
use crate::commands::opened::{Opened, open};
use crate::commands::vectors;
use crate::console::Console;
use crate::error::{Error, Result, read_data, read_text};
use crate::progress::Work;
use trimtab_runtime::site::Site;
use trimtab_steering::eval::{
    Answering, Event, Limits, Norms, Question, RANDOM_DIRECTIONS, Report, Setup, Subject, Task,
    calibrated, costs, evaluate, evaluated,
};
use trimtab_steering::neutral::{Text, covers};
use trimtab_steering::steer::NullVectors;
use trimtab_steering::{Steer, SteerOptions, VectorFile};

/// Doses of a calibration, for a vector at one site and for each site of a vector at several.
const ONE_SITE: [f64; 14] =
    [0.02, 0.04, 0.06, 0.08, 0.10, 0.12, 0.14, 0.16, 0.18, 0.20, 0.25, 0.30, -0.05, -0.10];
const MANY_SITES: [f64; 12] =
    [0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.08, 0.10, 0.12, 0.15, -0.02, -0.05];

pub fn run(plan: &Eval, console: &Console) -> Result<()> {
    files::outputs(plan, console)?;
    let args = &plan.args;
    let text = read_data(&plan.data)?;
    let task = Task::parse(&text)
        .map_err(|source| Error::Data { path: plan.data.clone(), source: Box::new(source) })?;
    let task = task.first(args.items.unwrap_or(usize::MAX));
    let given = args.neutral.as_deref().map(read_text).transpose()?;
    let neutral = given.as_deref().unwrap_or_else(|| prose(plan.purpose));
    let vector = files::vector(&args.file)?;
    let shuffled = args.shuffled.iter().map(|path| files::shuffled(path, &vector.file));
    let shuffled = shuffled.collect::<Result<Vec<_>>>()?;
    let beside = args.beside.iter().map(files::beside).collect::<Result<Vec<_>>>()?;
    usable(plan, &vector.file, &beside)?;

    let opened = open(&plan.opening, console)?;
    let mut all = std::iter::once(&vector.file).chain(beside.iter().map(|(file, _)| file));
    all.try_for_each(|file| files::admit(plan, &opened, file, console))?;
    files::pinned(plan, &opened, &vector.file)?;
    covers(&opened.model, neutral)?;
    let sites = vector.file.directions().iter().map(|direction| direction.site());
    let lengths = vectors::norms(&opened, &sites.collect::<Vec<Site>>(), console)?;
    let norms = Norms::of(&vector.file, &lengths);
    let setup = Setup {
        scales: scales(plan, &vector.file, &norms)?,
        instruction: args.instruction.clone(),
        random: match plan.purpose {
            Purpose::Compare { random } => random,
            Purpose::Calibrate => 0,
        },
        shuffled,
        random_items: args.random_items,
        others: beside,
        limits: Limits::default(),
        seed: seed(&args.sampling, place(console), console),
    };
    let report =
        measure((plan, console), &opened, (&task, neutral), (&vector.file, &setup, &norms))?;
    let warnings = warnings(plan, &report);
    warnings.iter().for_each(|warning| console.warn(warning));
    files::write(plan, &task, &report)?;
    let written = write(plan, &vector.file, &report)?;
    if console.is_json() {
        let (seed, vector) = (setup.seed, &vector);
        let about = document::About { plan, vector, written, seed, warnings };
        console.print(&document::of(opened.head("eval"), &about, &report))?;
    } else {
        console.say_line(table::of(&report))?;
        console.say_line(table::summary(plan, &report))?;
    }
    let holds = match plan.purpose {
        Purpose::Compare { .. } => report.passed(),
        Purpose::Calibrate => report.choice.default > 0.0,
    };
    match holds || !args.check {
        true => Ok(()),
        false => Err(Error::Check { failed: report.failures().join(", ") }),
    }
}

/// The prose that a purpose is measured on: what a scale was chosen on must not judge it.
fn prose(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::Compare { .. } => Text::test(),
        Purpose::Calibrate => Text::tune(),
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
    let own = match plan.strengths() {
        Strengths::Scales(scales) => scales.to_vec(),
        Strengths::OfFile => vec![file.card().scale.default],
        Strengths::Doses(_) => Vec::new(),
    };
    let by_dose = match (plan.strengths(), plan.purpose) {
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
    let request = plan.args.sampling.request(opened.model.sampling(), setup.seed)?;
    let question =
        Question { task, rule: plan.args.rule.as_ref(), answering: Answering { request } };
    let subject = Subject::of(&opened.model)?;
    let work = Work::new(console);
    let report = evaluate(
        (&subject, file),
        (&question, setup),
        norms,
        &mut |plans, progress| costs(&opened.model, neutral, plans, progress),
        &mut |event| match event {
            Event::Begun { what, items } => {
                work.stage(what, items);
                work.done(0)
            }
            Event::Done { items } => work.done(items),
        },
    );
    Ok(report?)
}

/// The scales to measure.
fn scales(plan: &Eval, file: &VectorFile, norms: &Norms) -> Result<Vec<f32>> {
    let doses = match (plan.strengths(), plan.purpose) {
        (Strengths::Scales(scales), _) => return Ok(scales.to_vec()),
        (Strengths::Doses(doses), _) => doses,
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
    if plan.args.instruction.is_none() {
        warnings.push("no --instruction: plain words in the prompt were not measured".to_owned());
    }
    if random < RANDOM_DIRECTIONS {
        warnings.push(format!("{random} random directions are too few for a 95th percentile"));
    }
    let shuffled = plan.args.shuffled.len();
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
    if !plan.args.write {
        return Ok(false);
    }
    let changed = match plan.purpose {
        Purpose::Calibrate => calibrated(file, &report.choice)?,
        Purpose::Compare { .. } => evaluated(file, report, plan.rule())?,
    };
    changed.save(&plan.args.file).map_err(Error::writing(&plan.args.file))?;
    Ok(true)
}
