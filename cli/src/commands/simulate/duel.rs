//! `simulate duel`: the plan of its flags.

use super::args::DuelArgs;
use super::grid::{Grid, Setting};
use super::plan::{CurveAxis, Line, Measure, Outcome, SimulationPlan};
use super::refusal::refused;
use crate::document::Fields;
use crate::error::Result;
use std::sync::Arc;
use trimtab_adapters::tpop::{
    ArmContexts, DuelRun, DuelSimulation, SimulatedArm, SimulatedUser, TpopParams, TrueUtility,
    simulate_duels,
};

/// Rounds where nothing else is asked for.
const ROUNDS: usize = 400;
/// Points of a curve of sums, and windows that a curve of means has.
const POINTS: usize = 50;
const WINDOWS: usize = 20;
/// The last of so many parts of a run is called late.
const PARTS: usize = 8;

pub fn plan(args: DuelArgs) -> Result<SimulationPlan> {
    let rounds = args.runs.rounds.unwrap_or(ROUNDS);
    let arms = if args.only.is_empty() { SimulatedArm::ALL.to_vec() } else { args.only.clone() };
    let grid = grid(&args, rounds);
    grid.0.iter().try_for_each(|setting| setting.value.check()).map_err(refused)?;
    let (axes, late) = (axes(rounds), rounds.div_ceil(PARTS));
    let steps: Arc<[Vec<usize>]> =
        axes.iter().map(|axis| axis.at.iter().map(|at| *at as usize).collect()).collect();
    let line = |setting: &Setting<DuelSimulation>, arm: &SimulatedArm| {
        let (simulation, steps) = (arm.of(setting.value), Arc::clone(&steps));
        let simulate = move |seed: u64| {
            let run = simulate_duels(&simulation, seed).map_err(refused)?;
            Ok(outcome(&run, late, &steps))
        };
        Line { arm: arm.name(), varied: setting.varied.clone(), simulate: Arc::new(simulate) }
    };
    let of_setting = |setting| arms.iter().map(move |arm| line(setting, arm));
    Ok(SimulationPlan {
        command: "simulate duel",
        subject: subject(&args),
        round: "duel",
        rounds,
        seeds: args.runs.seeds,
        asked: asked(&args),
        arms: arms.len(),
        lines: grid.0.iter().flat_map(of_setting).collect(),
        measures: measures(late),
        compared: 2,
        axes,
        svg: args.runs.svg,
    })
}

fn grid(args: &DuelArgs, rounds: usize) -> Grid<DuelSimulation> {
    let user = SimulatedUser {
        utility: args.truth,
        strength: args.strength,
        changes_at: args.changing.then_some(rounds / 2),
        ..SimulatedUser::default()
    };
    let base = DuelSimulation {
        rounds,
        width: args.width,
        arms: args.candidates,
        contexts: args.contexts,
        user,
        params: TpopParams { lambda: args.lambda, ..TpopParams::default() },
        ..DuelSimulation::default()
    };
    Grid::of(base)
        .by("temperature", &args.choice_temperature, |s, value| s.user.temperature = value)
        .by("flips", &args.flips, |s, value| s.user.flips = value)
        .by("left", &args.left, |s, value| s.user.left_bias = value)
        .by("head", &args.head, |s, value| s.params.head = value)
        .by("confidence", &args.confidence, |s, value| s.params.confidence = value)
        .by("nu", &args.nu, |s, value| s.params.nu = value)
        .by("half-life", &args.half_life, |s, value| {
            s.params.half_life = (value > 0).then_some(value);
        })
}

fn measures(late: usize) -> Vec<Measure> {
    let late = format!("arm 1, last {late}");
    [
        ("regret", "regret".to_owned(), 1),
        ("late_first_regret", late, 2),
        ("exponent", "exponent".to_owned(), 2),
        ("kappa", "left habit".to_owned(), 2),
    ]
    .map(|(key, name, digits)| Measure { key, name, digits })
    .into()
}

/// The sums of regret, every few rounds; the regret of arm 1, as the means of windows, each at its end.
fn axes(rounds: usize) -> Vec<CurveAxis> {
    let every = |points: usize| {
        let step = rounds.div_ceil(points).max(1);
        // The last point is the last round, whether or not the steps fit.
        (1..=rounds).rev().step_by(step).map(|at| at as f64).collect::<Vec<_>>()
    };
    let axis = |key, name: String, points| {
        let mut at = every(points);
        at.reverse();
        CurveAxis { key, name, at }
    };
    let window = rounds.div_ceil(WINDOWS).max(1);
    let first = format!("regret of arm 1 (mean of {window})");
    vec![
        axis("regret", "regret so far, both arms".to_owned(), POINTS),
        axis("first_regret", first, WINDOWS),
    ]
}

fn outcome(run: &DuelRun, late: usize, steps: &[Vec<usize>]) -> Outcome {
    let growth = run.growth();
    let [sums, windows] = [0, 1].map(|at| steps.get(at).map_or(&[][..], Vec::as_slice));
    let at_step = |at: &usize| growth.get(at.saturating_sub(1)).copied().unwrap_or(f64::NAN);
    let begins = std::iter::once(&0).chain(windows);
    let mean = |(from, to): (&usize, &usize)| {
        let values = run.first_regret.get(*from..*to).unwrap_or_default();
        values.iter().sum::<f64>() / values.len() as f64
    };
    Outcome {
        numbers: vec![run.total(), run.late_first(late), run.exponent(), run.kappa],
        curves: vec![sums.iter().map(at_step).collect(), begins.zip(windows).map(mean).collect()],
    }
}

fn subject(args: &DuelArgs) -> String {
    let changing = if args.changing { " that changes at half time" } else { "" };
    let [truth, contexts] = words(args);
    format!("duels, {truth} taste{changing}, {} {contexts} answers", args.candidates)
}

/// The kinds of taste and of answers.
fn words(args: &DuelArgs) -> [&'static str; 2] {
    let truth = match args.truth {
        TrueUtility::Linear => "linear",
        TrueUtility::Squared => "squared",
    };
    let contexts = match args.contexts {
        ArmContexts::Fixed => "fixed",
        ArmContexts::Fresh => "fresh",
    };
    [truth, contexts]
}

fn asked(args: &DuelArgs) -> Fields {
    let [truth, contexts] = words(args);
    Fields::new("truth", truth)
        .with("contexts", contexts)
        .with("candidates", args.candidates)
        .with("width", args.width)
        .with("strength", args.strength)
        .with("temperature", &args.choice_temperature)
        .with("flips", &args.flips)
        .with("left", &args.left)
        .with("changing", args.changing)
        .with("head", &args.head)
        .with("confidence", &args.confidence)
        .with("nu", &args.nu)
        .with("lambda", args.lambda)
        .with("half_life", &args.half_life)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn curves_end_with_the_last_round() {
        for rounds in [1, 7, 60, 400, 999] {
            for axis in axes(rounds) {
                assert!(axis.at.len() <= POINTS && axis.at.windows(2).all(|p| p[0] < p[1]));
                assert_eq!(axis.at.last().copied(), Some(rounds as f64));
            }
        }
    }

    #[test]
    fn a_run_becomes_numbers_and_curves() {
        let run = DuelRun {
            average_regret: vec![4.0, 2.0, 1.0, 1.0],
            first_regret: vec![3.0, 1.0, 0.5, 0.1],
            kappa: 0.25,
        };
        let found = outcome(&run, 2, &[vec![2, 4], vec![1, 4]]);
        assert_eq!(found.numbers, [8.0, 0.3, (8.0f64 / 6.0).log2(), 0.25]);
        assert_eq!(found.curves, [vec![6.0, 8.0], vec![3.0, 1.6 / 3.0]]);
    }
}
