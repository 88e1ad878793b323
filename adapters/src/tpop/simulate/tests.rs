//! Small simulations: what must hold of any of them, and controls that must fail.

use super::*;
use crate::tpop::params::{ConfidenceKind, HeadKind, SecondRule};

fn small() -> DuelSimulation {
    DuelSimulation { rounds: 120, width: 8, arms: 20, ..DuelSimulation::default() }
}

/// Mean over seeds of what a number says of a run.
fn mean(simulation: &DuelSimulation, seeds: u64, of: impl Fn(&DuelRun) -> f64) -> f64 {
    let runs = (0..seeds).map(|seed| of(&simulate_duels(simulation, seed).unwrap()));
    runs.sum::<f64>() / seeds as f64
}

fn late(simulation: &DuelSimulation) -> f64 {
    mean(simulation, 5, |run| run.late_first(30))
}

#[test]
fn runs_are_functions_of_their_seed() {
    let once = simulate_duels(&small(), 3).unwrap();
    assert_eq!(once, simulate_duels(&small(), 3).unwrap());
    assert_ne!(once, simulate_duels(&small(), 4).unwrap());
    assert_eq!(once.average_regret.len(), 120);
    assert!(once.average_regret.iter().chain(&once.first_regret).all(|r| *r >= 0.0));
}

#[test]
fn every_rule_learns_and_the_controls_do_not() {
    let blind = DuelSimulation { rule: SimulatedRule::BothRandom, ..small() };
    let blind = mean(&blind, 40, |run| run.late_first(30));
    for second in [SecondRule::Ucb, SecondRule::Random, SecondRule::RunnerUp, SecondRule::Thompson]
    {
        let params = TpopParams { second, ..TpopParams::default() };
        let learnt = late(&DuelSimulation { params, ..small() });
        assert!(learnt < 0.6 * blind, "{second:?}: {learnt} of {blind}");
    }
    let of = |labels| {
        let user = SimulatedUser { labels, ..SimulatedUser::default() };
        mean(&DuelSimulation { user, ..small() }, 40, |run| run.late_first(30))
    };
    let (inverted, coin) = (of(LabelControl::Inverted), of(LabelControl::Random));
    assert!(inverted > 1.5 * blind, "inverted labels do not hurt: {inverted} of {blind}");
    assert!(coin > 0.75 * blind, "random labels teach: {coin} of {blind}");
}

#[test]
fn the_growing_matrix_is_worse_than_its_inverse() {
    let total = |rule| mean(&DuelSimulation { rule, ..small() }, 5, DuelRun::total);
    let (grows, falls) = (total(SimulatedRule::Growing), total(SimulatedRule::Served));
    assert!(grows > 1.1 * falls, "{grows} {falls}");
}

#[test]
fn noise_bias_and_change_are_survived() {
    let usual = SimulatedUser::default();
    let fresh = late(&DuelSimulation { contexts: ArmContexts::Fresh, ..small() });
    let blind = late(&DuelSimulation { rule: SimulatedRule::BothRandom, ..small() });
    assert!(fresh < 0.7 * blind, "{fresh} of {blind}");
    let flips = SimulatedUser { flips: 0.2, temperature: 0.5, ..usual };
    assert!(late(&DuelSimulation { user: flips, ..small() }) < 0.7 * blind);
    let left = DuelSimulation { user: SimulatedUser { left_bias: 2.0, ..usual }, ..small() };
    assert!(late(&left) < 0.7 * blind);
    assert!(mean(&left, 5, |run| run.kappa) > 0.8);
    assert!(mean(&small(), 5, |run| run.kappa).abs() < 0.5);
    let user = SimulatedUser { changes_at: Some(60), ..usual };
    let changing = |half_life| {
        let params = TpopParams { half_life, ..TpopParams::default() };
        mean(&DuelSimulation { user, params, ..small() }, 10, |run| run.late_first(30))
    };
    let (forgets, keeps) = (changing(Some(15)), changing(None));
    assert!(forgets < keeps, "{forgets} {keeps}");
}

#[test]
fn the_net_learns_what_no_line_can() {
    let user = SimulatedUser { utility: TrueUtility::Squared, ..SimulatedUser::default() };
    let of = |head, confidence| {
        let params = TpopParams { head, confidence, lambda: 0.1, ..TpopParams::default() };
        let bent = DuelSimulation { rounds: 80, width: 2, arms: 12, user, params, ..small() };
        mean(&bent, 3, |run| run.late_first(20))
    };
    let line = of(HeadKind::Linear, ConfidenceKind::Exact);
    for confidence in [ConfidenceKind::Exact, ConfidenceKind::Diag] {
        let net = of(HeadKind::Mlp, confidence);
        println!("late regret on a squared utility: net {confidence:?} {net:.2}, line {line:.2}");
        assert!(net < line, "{confidence:?}: {net} {line}");
    }
}

#[test]
fn simulations_without_a_choice_are_refused() {
    let user = SimulatedUser::default;
    let of = |user| DuelSimulation { user, ..small() };
    let params = TpopParams { nu: -1.0, ..TpopParams::default() };
    for bad in [
        DuelSimulation { arms: 1, ..small() },
        DuelSimulation { rounds: 0, ..small() },
        DuelSimulation { rounds: 1001, ..small() },
        DuelSimulation { width: 0, ..small() },
        DuelSimulation { params, ..small() },
        of(SimulatedUser { flips: 1.1, ..user() }),
        of(SimulatedUser { temperature: 0.0, ..user() }),
        of(SimulatedUser { strength: f64::NAN, ..user() }),
        of(SimulatedUser { left_bias: f64::INFINITY, ..user() }),
    ] {
        let refusal = simulate_duels(&bad, 0).unwrap_err();
        assert!(matches!(refusal, TpopError::Range { .. }), "{bad:?}: {refusal}");
    }
}

#[test]
fn an_arm_changes_what_it_is_named_for_and_nothing_else() {
    let base = small();
    assert_eq!(SimulatedArm::Ucb.of(base), base);
    let arms = SimulatedArm::ALL.map(|arm| arm.of(base));
    for (at, arm) in arms.iter().enumerate() {
        assert!(!arms[..at].contains(arm), "{arm:?}");
        let user = SimulatedUser { labels: base.user.labels, ..arm.user };
        let params = TpopParams { second: base.params.second, ..arm.params };
        assert_eq!(DuelSimulation { rule: base.rule, user, params, ..*arm }, base);
    }
    assert_eq!(SimulatedArm::BothRandom.of(base).rule, SimulatedRule::BothRandom);
    assert_eq!(SimulatedArm::Inverted.of(base).user.labels, LabelControl::Inverted);
}

#[test]
fn regret_grows_to_its_total() {
    let run = simulate_duels(&small(), 1).unwrap();
    let growth = run.growth();
    assert_eq!((growth.len(), growth.last().copied()), (120, Some(run.total())));
    assert!(growth.windows(2).all(|pair| pair[0] <= pair[1]));
}
