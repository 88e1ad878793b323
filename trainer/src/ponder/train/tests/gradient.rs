//! Rows 6 and 8 of the mechanics: the gradient of an update's loss.

use super::super::batch::{Batch, BatchSetting};
use super::super::*;
use super::world::{ANSWERS, STEPS, States, flat_items, fresh, ponder, table, tables};
use crate::draw::Draws;
use crate::ponder::advantage::{AdvantageKind, AdvantageParams};
use crate::ponder::net::{Controller, PreparedController};
use crate::ponder::policy::HaltingPolicy;
use crate::ponder::table::{ActionAnswers, RewardRule, RewardTable};
use crate::testing::generator;

/// A controller whose policy differs between states.
fn moved(fit: &RewardTable, alpha0: f64, seed: u64) -> Controller {
    let mut uniform = generator(seed);
    let fresh = fresh(&ponder(alpha0), fit, &mut uniform);
    let weights = fresh.weights().iter().map(|w| w + uniform() as f32 - 0.5).collect();
    fresh.with_weights(weights).unwrap()
}

fn point(cost: f64, entropy: f64) -> CurriculumPoint {
    let stage = CurriculumStage::AllItems;
    CurriculumPoint { stage, cost, entropy, pool: ItemPool::All }
}

#[test]
fn m06_the_gradient_of_a_groups_loss_is_that_of_differences() {
    let tables = tables(States::Own, &mut generator(1));
    let (controller, old) =
        (moved(&tables.fit, 0.1, 2), HaltingPolicy::new(&[1.0, -1.2, 0.9, -0.3]).unwrap());
    let state = &tables.fit.items()[7].state;
    let policy =
        |controller: &Controller| HaltingPolicy::new(&controller.logits(state).unwrap()).unwrap();
    let reference = policy(&moved(&tables.fit, 0.1, 4));
    let advantages = [0.9, -0.7, 1.3, 0.2, -1.1, 0.4, -0.3];
    let samples = advantages.iter().enumerate().map(|(at, advantage)| {
        let n = at % (STEPS + 1);
        let old_log_probability = old.log_probability(n).unwrap();
        ActionSample { n, old_log_probability, advantage: *advantage }
    });
    let samples: Vec<ActionSample> = samples.collect();
    let terms = LossTerms { entropy: 0.3, reference: Some((0.2, &reference)) };
    let of = |controller: &Controller| group_loss(&policy(controller), &samples, terms).unwrap();
    let found = of(&controller);
    // Where the clip bends there is no slope, so no ratio may be near it.
    for sample in &samples {
        let log = policy(&controller).log_probability(sample.n).unwrap();
        let ratio = (log - sample.old_log_probability).exp();
        assert!([0.8, 1.2].iter().all(|bend| (ratio - bend).abs() > 0.05), "{ratio}");
    }
    assert!(found.clipped > 0 && found.clipped < samples.len(), "{}", found.clipped);
    let prepared = controller.prepare();
    let mut gradient = vec![0.0; controller.weights().len()];
    let pass = prepared.pass(state).unwrap();
    prepared.add_gradient(&pass, &found.slopes, &mut gradient).unwrap();
    let largest = gradient.iter().fold(0f64, |most, slope| most.max(slope.abs()));
    for (at, slope) in gradient.iter().enumerate() {
        let (mut up, mut down) = (controller.weights().to_vec(), controller.weights().to_vec());
        up[at] += 1e-3;
        down[at] -= 1e-3;
        let distance = f64::from(up[at]) - f64::from(down[at]);
        let loss = |weights| of(&controller.with_weights(weights).unwrap()).loss;
        let expected = (loss(up) - loss(down)) / distance;
        assert!((slope - expected).abs() <= 1e-4 * largest, "{at}: {slope} for {expected}");
    }
}

/// What one item's groups are played with.
struct Stage {
    tables: TrainTables,
    controller: PreparedController,
    rule: RewardRule,
    train: Train,
}

impl Stage {
    fn new(tables: TrainTables, alpha0: f64, params: TrainParams) -> Stage {
        let controller = moved(&tables.fit, alpha0, 2).prepare();
        let ladder = controller.controller().input().ladder().clone();
        let rule = RewardRule::new(&tables.fit, &ladder).unwrap();
        Stage { tables, controller, rule, train: params.check().unwrap() }
    }

    fn setting(&self, point: CurriculumPoint) -> BatchSetting<'_> {
        BatchSetting {
            controller: &self.controller,
            reference: None,
            table: &self.tables.fit,
            rule: &self.rule,
            train: &self.train,
            point,
        }
    }

    fn play(&self, at: usize, point: CurriculumPoint, draws: &mut Draws<'_>) -> Batch {
        self.setting(point).play(&[&self.tables.fit.items()[at]], draws).unwrap()
    }
}

/// `−Σ_n P(n) E[R|n] ∂ ln P(n)/∂w`: the gradient without sampling.
fn exact(stage: &Stage, at: usize, cost: f64) -> Vec<f64> {
    let item = &stage.tables.fit.items()[at];
    let pass = stage.controller.pass(&item.state).unwrap();
    let policy = HaltingPolicy::new(pass.logits()).unwrap();
    let weights = policy.probabilities().into_iter().enumerate().map(|(n, p)| {
        let answers = stage.tables.fit.answers(item, n).unwrap();
        -p * stage.rule.mean(ActionAnswers { n, answers }, cost).unwrap()
    });
    let slopes = policy.weighted_gradient(&weights.collect::<Vec<f64>>()).unwrap();
    let mut gradient = vec![0.0; stage.controller.controller().weights().len()];
    stage.controller.add_gradient(&pass, &slopes, &mut gradient).unwrap();
    gradient
}

/// The mean of sampled gradients less the exact one, in standard errors: the largest over weights.
fn farthest(kind: AdvantageKind, count: u32) -> f64 {
    let advantage = AdvantageParams { kind, ..AdvantageParams::default() };
    let params = TrainParams { advantage, group: 4, answers: 2, ..TrainParams::default() };
    let stage = Stage::new(tables(States::Own, &mut generator(1)), 0.1, params);
    let mut uniform = generator(21);
    let mut draws = Draws::of(&mut uniform);
    let exact = exact(&stage, 7, 0.1);
    let (mut sums, mut squares) = (vec![0.0; exact.len()], vec![0.0; exact.len()]);
    for _ in 0..count {
        let batch = stage.play(7, point(0.1, 0.0), &mut draws);
        for ((sum, square), slope) in sums.iter_mut().zip(&mut squares).zip(&batch.gradient) {
            *sum += slope;
            *square += slope * slope;
        }
    }
    let count = f64::from(count);
    let distance = |((sum, square), exact): ((f64, f64), f64)| {
        let mean = sum / count;
        let error = ((square / count - mean * mean) / count).sqrt();
        (mean - exact).abs() / error
    };
    sums.into_iter().zip(squares).zip(exact).map(distance).fold(0.0, f64::max)
}

#[test]
fn m08_sampled_loo_gradients_have_the_exact_mean() {
    let found = farthest(AdvantageKind::Loo, 100_000);
    assert!(found <= 3.0, "{found}");
}

#[test]
fn m08_a_mean_that_counts_its_own_action_is_biased() {
    // `dr_grpo` is shorter by 1/K_g, which fewer samples see.
    let found = farthest(AdvantageKind::DrGrpo, 30_000);
    assert!(found > 3.0, "{found}");
}

#[test]
fn dead_groups_are_skipped_and_ties_are_no_signal() {
    let params = TrainParams { answers: ANSWERS, ..TrainParams::default() };
    let flat = || {
        let mut uniform = generator(6);
        let fit = table(flat_items(20, &mut uniform));
        TrainTables { select: fit.clone(), fit }
    };
    let mut uniform = generator(7);
    let mut draws = Draws::of(&mut uniform);
    // Without steering nothing breaks the tie, and no term of the loss is left.
    let dead = Stage::new(flat(), 0.0, params).play(3, point(0.1, 0.02), &mut draws);
    let report = dead.report;
    assert_eq!((report.groups, report.dead, report.unsignalled), (1, 1, 1));
    assert!(report.loss == 0.0 && dead.gradient.iter().all(|slope| *slope == 0.0));
    assert!(report.entropy > 0.0 && report.reward < 0.5);
    // With it there is a gradient, and still nothing to be learnt about answers.
    let tied = Stage::new(flat(), 0.1, params).play(3, point(0.1, 0.02), &mut draws);
    let report = tied.report;
    assert_eq!((report.groups, report.dead, report.unsignalled), (1, 0, 1));
    assert!(tied.gradient.iter().any(|slope| *slope != 0.0));
}

#[test]
fn a_batch_is_the_mean_of_its_groups() {
    let params = TrainParams::default();
    let stage = Stage::new(tables(States::Own, &mut generator(1)), 0.1, params);
    let mut first = generator(9);
    let mut second = first.clone();
    let items = stage.tables.fit.items();
    let setting = stage.setting(point(0.1, 0.02));
    let both = setting.play(&[&items[3], &items[4]], &mut Draws::of(&mut first)).unwrap();
    let mut draws = Draws::of(&mut second);
    let apart = [3, 4].map(|at| stage.play(at, point(0.1, 0.02), &mut draws));
    assert_eq!(draws.taken(), 2 * 8 * (1 + 4));
    let mean = |f: fn(&Batch) -> f64| (f(&apart[0]) + f(&apart[1])) / 2.0;
    assert!((both.report.loss - mean(|batch| batch.report.loss)).abs() < 1e-12);
    assert!((both.report.reward - mean(|batch| batch.report.reward)).abs() < 1e-12);
    for (at, slope) in both.gradient.iter().enumerate() {
        assert!((slope - (apart[0].gradient[at] + apart[1].gradient[at]) / 2.0).abs() < 1e-12);
    }
}
