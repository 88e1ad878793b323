//! Row 9 of the mechanics: every advantage function finds the best depth, and cost lowers it.
//!
//! A policy is judged by true expectations on fresh states, never by the sampled answers it learnt from.

use super::super::*;
use super::world::{STEPS, Situation, States, expected, fresh, ponder, situations, start, tables};
use crate::ponder::advantage::{AdvantageKind, AdvantageParams};
use crate::ponder::net::PreparedController;
use crate::testing::generator;

const SEEDS: u64 = 20;
/// The default cost weight, and a larger one.
const COSTS: [f64; 2] = [0.1, 0.3];
const FRESH: usize = 300;

/// The best controller of a run. The run is shorter than the default, and its controller smaller, so that the learning rate
/// is larger.
fn trained(kind: AdvantageKind, cost: f64, states: States, seed: u64) -> PreparedController {
    let advantage = AdvantageParams { kind, ..AdvantageParams::default() };
    let params = TrainParams { updates: 400, items: 8, lr: 1e-2, ..TrainParams::default() };
    let params = TrainParams { advantage, cost, ..params };
    let mut uniform = generator(seed);
    let tables = tables(states, &mut uniform);
    let mut training = start(params, 0.1, tables, &mut uniform);
    assert_eq!(training.run(usize::MAX, &mut uniform), Ok(&TrainStanding::Finished));
    training.kept()[0].controller.prepare()
}

/// A policy on fresh states.
struct Judgement {
    /// Its part of the optimal reward.
    part: f64,
    /// The best fixed depth's part of the optimal reward.
    fixed: f64,
    depth: f64,
}

fn judge(controller: &PreparedController, cost: f64) -> Judgement {
    let (mut own, mut most, mut depth) = (0.0, 0.0, 0.0);
    let mut fixed = [0.0; STEPS + 1];
    for Situation { state, best } in situations(FRESH, &mut generator(999)) {
        let n = controller.decide(&state, 0.5).unwrap().n;
        let rewards = expected(best, cost);
        own += rewards[n];
        most += rewards.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        fixed.iter_mut().zip(&rewards).for_each(|(sum, reward)| *sum += reward);
        depth += n as f64 / FRESH as f64;
    }
    let best = fixed.into_iter().fold(f64::NEG_INFINITY, f64::max);
    Judgement { part: own / most, fixed: best / most, depth }
}

/// At the default cost weight the policy has 95 % of the optimal reward, and larger weights never raise its mean depth.
fn check(kind: AdvantageKind) {
    for seed in 0..SEEDS {
        let of = |cost| judge(&trained(kind, cost, States::Own, seed), cost);
        let found = COSTS.map(of);
        assert!(found[0].part >= 0.95, "{kind}, seed {seed}: {}", found[0].part);
        // A fixed depth is not enough.
        assert!(found[0].fixed < 0.85, "{}", found[0].fixed);
        let depths = found.map(|judgement| judgement.depth);
        assert!(depths.windows(2).all(|pair| pair[1] <= pair[0]), "{kind}, {seed}: {depths:?}");
    }
}

#[test]
fn m09_grpo_finds_the_best_depth() {
    check(AdvantageKind::Grpo);
}

#[test]
fn m09_dr_grpo_finds_the_best_depth() {
    check(AdvantageKind::DrGrpo);
}

#[test]
fn m09_loo_finds_the_best_depth() {
    check(AdvantageKind::Loo);
}

#[test]
fn m09_grpo_ma_finds_the_best_depth() {
    check(AdvantageKind::GrpoMa);
}

#[test]
fn m09_rs_grpo_finds_the_best_depth() {
    check(AdvantageKind::RsGrpo);
}

#[test]
fn m09_canon_finds_the_best_depth() {
    check(AdvantageKind::Canon);
}

#[test]
fn m09_without_training_or_with_exchanged_states_there_is_no_gain() {
    let mut uniform = generator(1);
    let untrained = fresh(&ponder(0.1), &tables(States::Own, &mut uniform).fit, &mut uniform);
    assert!(judge(&untrained.prepare(), 0.1).part < 0.85);
    for kind in AdvantageKind::ALL {
        let found = judge(&trained(kind, 0.1, States::Exchanged, 5), 0.1);
        assert!(found.part <= found.fixed + 0.02, "{kind}: {} {}", found.part, found.fixed);
    }
}
