//! Whole updates: what falls, what stays within its limit, and that a small support gives the same step.

use super::super::guards::GuardName;
use super::super::journal::JournalOutcome;
use super::super::params::StepDirection;
use super::super::product::dot64;
use super::super::refusal::{SkipReason, Stop};
use super::super::support::choose;
use super::super::trace::TraceReadout;
use super::super::trust::{Descent, Terms, confine};
use super::*;

#[test]
fn m05_the_distance_to_the_better_policy_falls_after_every_accepted_step() {
    let mut accepted = 0;
    for case in 0..200 {
        let peak = if case % 2 == 0 { DIFFUSE } else { PEAKED };
        let reward = if case % 4 < 2 { -1.0 } else { 1.0 };
        let [offset, lora] = both_blocks(1000 + case, (90, 8), peak);
        let scene = if case % 8 == 7 { lora } else { offset };
        let update = scene.update(&scene.trace, reward);
        if update.state.is_none() {
            continue;
        }
        accepted += 1;
        let step = update.entry.step.unwrap();
        assert!(step.distance[1] < step.distance[0], "case {case}: {step:?}");
    }
    assert!(accepted > 190, "{accepted} of 200");
}

#[test]
fn m05_a_step_the_wrong_way_is_not_accepted() {
    for scene in both_blocks(11, (90, 8), DIFFUSE) {
        scene.look(scene.all(), -1.0, |problem| {
            let solved = problem.solve(&scene.state.block).ok().unwrap();
            let back: Vec<f64> = solved.step.iter().map(|x| -x).collect();
            let fisher = problem.fisher(&scene.state.block).unwrap();
            let (tilts, curvature) = (problem.tilts(), dot64(&back, &fisher.curve(&back).unwrap()));
            let aim = problem.aim(&tilts, fisher.lambda);
            let terms = Terms { curvature, limit: 0.02, descent: Descent::Required };
            let refused = confine(&aim, &back, terms);
            assert!(matches!(refused, Err(Stop::Skip(SkipReason::NoDescent))));
            let control = Terms { descent: Descent::Free, ..terms };
            assert!(confine(&aim, &back, control).ok().unwrap().measured.rise > 0.0);
        });
    }
}

/// The likeliest tokens of each position, as an update takes them.
fn likeliest(scene: &Scene, count: usize) -> Vec<Vec<(u32, f32)>> {
    let all = scene.head.scores(&scene.trace.states).unwrap();
    let rows = all.chunks(scene.head.vocabulary());
    rows.map(|row| logits::likeliest(row, logits::facts(row).lse, count)).collect()
}

#[test]
fn m06_a_support_that_has_the_mass_gives_the_whole_vocabularys_step() {
    let mut compared = 0;
    for seed in 0..30 {
        let scene = Scene::new(2000 + seed, (2000, 12), 2.0 + (seed % 4) as f32);
        let reward = if seed % 2 == 0 { -1.0 } else { 1.0 };
        let ids = choose(&likeliest(&scene, 64), &scene.trace.tokens, 2048);
        let solve = |problem: &Problem| {
            let solved = problem.solve(&scene.state.block).ok().unwrap();
            (solved.step, problem.policy.rest_mass)
        };
        let (small, rest) = scene.look(scene.some(ids), reward, solve);
        let (full, none) = scene.look(SupportRows::Whole(&scene.head), reward, solve);
        assert_eq!(none, 0.0);
        if rest <= 0.25 {
            compared += 1;
            assert!(cosine(&small, &full) >= 0.99, "{seed}: {} at {rest}", cosine(&small, &full));
        }
    }
    assert!(compared >= 15, "{compared} of 30 had the mass");
}

#[test]
fn m06_a_support_of_all_tokens_gives_the_same_step() {
    for scene in both_blocks(21, (150, 8), DIFFUSE) {
        let solve = |problem: &Problem| problem.solve(&scene.state.block).ok().unwrap().step;
        let gathered = scene.look(scene.all(), -1.0, solve);
        let whole = scene.look(SupportRows::Whole(&scene.head), -1.0, solve);
        assert!(gap(&gathered, &whole) < 1e-5, "{}", gap(&gathered, &whole));
    }
}

#[test]
fn m06_too_little_mass_takes_the_whole_vocabulary() {
    let params = RosaParams { top_k: 8, support: 256, ..open_params() };
    for (peak, whole) in [(0.5, true), (8.0, false)] {
        let scene = Scene::with(22, (1500, 8), peak, params.clone());
        let step = scene.update(&scene.trace, -1.0).entry.step.unwrap();
        assert_eq!(step.support == 1500, whole, "{step:?}");
        assert!(whole || step.support <= 6 * 8 + 6 + 1);
    }
}

#[test]
fn what_was_read_while_decoding_gives_the_same_step_as_scoring_again() {
    let scene = Scene::new(23, (500, 8), 4.0);
    let again = scene.update(&scene.trace, -1.0);
    let all = scene.head.scores(&scene.trace.states).unwrap();
    let entropy = all.chunks(500).map(|row| logits::facts(row).entropy).collect();
    let readout = Some(TraceReadout { likeliest: likeliest(&scene, 64), entropy });
    let read = scene.update(&AnswerTrace { readout, ..scene.trace.clone() }, -1.0);
    assert_eq!(again, read);
}

#[test]
fn m11_a_thousand_random_steps_stay_within_the_limit() {
    let (mut applied, mut shortened) = (0, 0);
    for case in 0..1000 {
        let eps = [0.001, 0.02, 0.2][case % 3];
        let params = RosaParams {
            eps_neg: eps,
            eps_pos: eps,
            damping: [0.1, 1.0, 10.0][case / 3 % 3],
            beta_neg: 0.25,
            beta_pos: 0.25,
            ..open_params()
        };
        let peak = [0.5, DIFFUSE, 3.0, PEAKED][case % 4];
        let scene = Scene::with(5000 + case as u64, (60, 6), peak, params);
        let update = scene.update(&scene.trace, 2.0 * f64::from(case % 5 < 3) - 1.0);
        let Some(step) = update.entry.step else { continue };
        assert!(step.kl_measured <= eps, "case {case}: {step:?}");
        assert!(step.kl_predicted <= eps * (1.0 + 1e-9), "case {case}: {step:?}");
        applied += usize::from(update.state.is_some());
        shortened += usize::from(step.backtracks > 0);
    }
    assert!(applied > 900 && shortened > 10, "{applied} applied, {shortened} shortened");
}

#[test]
fn m11_the_canary_stops_a_run_of_equal_judgements() {
    let params = RosaParams { signs: Signs::Both, ..RosaParams::default() };
    let mut scene = Scene::with(31, (120, 8), 2.0, params);
    // The worst case: what must not change is what is judged.
    scene.canary = Canary::new(&scene.head, &scene.trace.states, None).unwrap();
    let mut stopped = None;
    for turn in 0..100 {
        let update = scene.update(&scene.served(), -1.0);
        let reading = update.entry.guards.iter().find(|g| g.name == GuardName::CanaryMean);
        let drift = reading.unwrap().value;
        match update.state {
            Some(state) => {
                assert!(drift <= 0.1, "turn {turn}: {drift}");
                scene.state = state;
            }
            None => {
                stopped = Some((turn, update.entry.outcome));
                break;
            }
        }
    }
    let (turn, outcome) = stopped.expect("the canary stops it");
    assert!(turn > 1, "{turn}");
    assert!(matches!(outcome, JournalOutcome::Rejected { .. }), "{outcome:?}");
}

#[test]
fn every_guard_refuses_by_name() {
    let scene = Scene::new(33, (60, 6), DIFFUSE);
    let names = |scene: &Scene, stream_norm: f64| {
        let model = FrozenModel { stream_norm, ..scene.model() };
        let judgement = Judgement::down();
        let update = scene.rosa.update(&model, &scene.state, &scene.trace, &judgement).unwrap();
        match update.entry.outcome {
            JournalOutcome::Rejected { reason } => {
                assert!(update.state.is_none() && update.entry.delta.is_empty());
                reason
            }
            JournalOutcome::Applied { .. } | JournalOutcome::Skipped { .. } => Vec::new(),
        }
    };
    assert_eq!(names(&scene, 100.0), []);
    assert_eq!(names(&scene, 1e-6), [GuardName::Norm]);
    let strict = |params: RosaParams| Scene::with(33, (60, 6), DIFFUSE, params);
    let step = strict(RosaParams { canary_step: 1e-9, ..open_params() });
    assert_eq!(names(&step, 100.0), [GuardName::CanaryStep]);
    let mean = strict(RosaParams { canary_mean: 1e-9, ..open_params() });
    assert_eq!(names(&mean, 100.0), [GuardName::CanaryMean, GuardName::CanaryBackMean]);
    let most = strict(RosaParams { canary_max: 1e-9, ..open_params() });
    assert_eq!(names(&most, 100.0), [GuardName::CanaryMax, GuardName::CanaryBackMax]);
}

#[test]
fn controls_are_no_longer_than_the_step_and_a_random_one_does_less() {
    let mut sums = [0.0; 3];
    for seed in 0..20 {
        let scene = Scene::new(3000 + seed, (90, 12), DIFFUSE);
        let directions =
            [StepDirection::Solved, StepDirection::Gradient, StepDirection::Random { seed }];
        let mut length = 0.0;
        for (direction, sum) in directions.into_iter().zip(&mut sums) {
            let rosa = scene.rosa.clone().with_direction(direction);
            let judgement = Judgement::down();
            let update = rosa.update(&scene.model(), &scene.state, &scene.trace, &judgement);
            let step = update.unwrap().entry.step.unwrap();
            length = if direction == StepDirection::Solved { step.kl_predicted } else { length };
            assert!(step.kl_predicted <= length * 1.000_001, "{step:?}");
            *sum += step.distance[1] - step.distance[0];
        }
    }
    assert!(sums[0] < 0.0 && sums[0] < sums[2], "{sums:?}");
}
