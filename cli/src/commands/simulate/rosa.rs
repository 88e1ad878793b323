//! `simulate rosa`: the plan of its flags.

use super::args::RosaArgs;
use super::grid::{Grid, Setting};
use super::plan::{CurveAxis, Line, Measure, Outcome, SimulationPlan};
use super::refusal::refused;
use crate::document::Fields;
use crate::error::Result;
use std::sync::Arc;
use trimtab_adapters::rosa::simulate::{ToyArm, ToyFeatures, ToyParams, ToyRun, ToyTurn};

/// Judgements where nothing else is asked for.
const ROUNDS: usize = 30;

/// What learns first, what it is held against behind it.
const ARMS: [ToyArm; 7] = [
    ToyArm::Rosa,
    ToyArm::Still,
    ToyArm::Ban,
    ToyArm::Gradient,
    ToyArm::Random,
    ToyArm::Shuffled,
    ToyArm::Inverted,
];

pub fn plan(args: RosaArgs) -> Result<SimulationPlan> {
    let rounds = args.runs.rounds.unwrap_or(ROUNDS);
    let arms = if args.only.is_empty() { ARMS.to_vec() } else { args.only.clone() };
    let mut lines = Vec::new();
    for Setting { value, varied } in grid(&args, rounds).0 {
        let toy = Arc::new(value.check().map_err(refused)?);
        lines.extend(arms.iter().map(|arm| {
            let (toy, arm, varied) = (Arc::clone(&toy), *arm, varied.clone());
            let simulate = move |seed: u64| Ok(outcome(&toy.run_one(arm, seed).map_err(refused)?));
            Line { arm: arm.name(), varied, simulate: Arc::new(simulate) }
        }));
    }
    Ok(SimulationPlan {
        command: "simulate rosa",
        subject: subject(&args),
        round: "judgement",
        rounds,
        seeds: args.runs.seeds,
        asked: asked(&args),
        arms: arms.len(),
        lines,
        measures: measures(rounds),
        compared: 2,
        axes: axes(rounds),
        svg: args.runs.svg,
    })
}

fn subject(args: &RosaArgs) -> String {
    let features = match args.features.as_slice() {
        [ToyFeatures::Telling] => ", telling features",
        [ToyFeatures::Blind] => ", blind features",
        _ => "",
    };
    format!("judgements{features}, {} of {} answers right", args.preferred, args.candidates)
}

fn grid(args: &RosaArgs, rounds: usize) -> Grid<ToyParams> {
    let base = ToyParams {
        answers: args.candidates,
        preferred: args.preferred,
        turns: rounds,
        optimum_beta: args.optimum_beta,
        ..ToyParams::default()
    };
    Grid::of(base)
        .by("features", &args.features, |s, value| s.features = value)
        .by("flips", &args.flips, |s, value| s.flipped = value)
        .by("signs", &args.signs, |s, value| s.rosa.signs = value)
        .by("beta", &args.beta, |s, value| (s.rosa.beta_neg, s.rosa.beta_pos) = (value, value))
        .by("eps", &args.eps, |s, value| (s.rosa.eps_neg, s.rosa.eps_pos) = (value, value))
        .by("damping", &args.damping, |s, value| s.rosa.damping = value)
        .by("mask", &args.mask, |s, value| s.rosa.mask = value)
}

fn measures(rounds: usize) -> Vec<Measure> {
    [
        ("distance", "KL to the optimum".to_owned(), 3),
        ("right", format!("right of {rounds}"), 1),
        ("repeated", "repeated".to_owned(), 1),
        ("drift", "KL from untaught".to_owned(), 3),
        ("applied", "applied".to_owned(), 1),
    ]
    .map(|(key, name, digits)| Measure { key, name, digits })
    .into()
}

fn axes(rounds: usize) -> Vec<CurveAxis> {
    let at = || (1..=rounds).map(|at| at as f64).collect::<Vec<_>>();
    vec![
        CurveAxis { key: "distance", name: "KL to the optimum (nats)".to_owned(), at: at() },
        CurveAxis { key: "right", name: "right answers so far".to_owned(), at: at() },
    ]
}

fn outcome(run: &ToyRun) -> Outcome {
    let count = |is: fn(&ToyTurn) -> bool| run.turns.iter().filter(|turn| is(turn)).count() as f64;
    let last = |of: fn(&ToyTurn) -> f64| run.turns.last().map_or(f64::NAN, of);
    let mut right = 0.0;
    let so_far = |turn: &ToyTurn| {
        right += f64::from(turn.right);
        right
    };
    Outcome {
        numbers: vec![
            last(|turn| turn.distance),
            count(|turn| turn.right),
            count(|turn| turn.repeated),
            last(|turn| turn.drift),
            count(|turn| turn.applied),
        ],
        curves: vec![
            run.turns.iter().map(|turn| turn.distance).collect(),
            run.turns.iter().map(so_far).collect(),
        ],
    }
}

fn asked(args: &RosaArgs) -> Fields {
    Fields::new("features", &args.features)
        .with("candidates", args.candidates)
        .with("preferred", args.preferred)
        .with("flips", &args.flips)
        .with("signs", &args.signs)
        .with("beta", &args.beta)
        .with("eps", &args.eps)
        .with("damping", &args.damping)
        .with("mask", &args.mask)
        .with("optimum_beta", args.optimum_beta)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_arm_is_run() {
        assert!(ToyArm::ALL.iter().all(|arm| ARMS.contains(arm)));
    }

    #[test]
    fn a_run_becomes_numbers_and_curves() {
        let turn = |distance: f64, right: bool| ToyTurn {
            distance,
            preferred: 0.5,
            drift: distance / 2.0,
            right,
            repeated: !right,
            applied: true,
        };
        let turns = vec![turn(1.0, true), turn(0.5, false), turn(0.25, true)];
        let found = outcome(&ToyRun { arm: ToyArm::Rosa, seed: 0, turns });
        assert_eq!(found.numbers, [0.25, 2.0, 1.0, 0.125, 3.0]);
        assert_eq!(found.curves, [vec![1.0, 0.5, 0.25], vec![1.0, 1.0, 2.0]]);
    }
}
