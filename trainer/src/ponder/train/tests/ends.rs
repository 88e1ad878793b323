//! What stops a run or warns in it, without a model.

use super::super::*;
use super::world::{
    ANSWERS, STEPS, States, WIDTH, answer, flat_items, fresh, ponder, start, table, tables,
};
use crate::error::TrainerError;
use crate::ponder::strength::{Backbone, PonderParams};
use crate::ponder::table::{AnswerGrade, TableItem};
use crate::testing::generator;

fn params() -> TrainParams {
    TrainParams { items: 4, updates: 200, lr: 1e-2, ..TrainParams::default() }
}

/// Tables whose actions are equally good.
fn flat() -> TrainTables {
    let mut uniform = generator(6);
    TrainTables {
        fit: table(flat_items(20, &mut uniform)),
        select: table(flat_items(10, &mut uniform)),
    }
}

#[test]
fn a_run_without_a_signal_stops_after_50_updates() {
    for alpha0 in [0.0, 0.1] {
        let params = TrainParams { answers: ANSWERS, ..params() };
        let mut uniform = generator(1);
        let mut training = start(params, alpha0, flat(), &mut uniform);
        let TrainStanding::Stopped(stop) = training.run(usize::MAX, &mut uniform).unwrap() else {
            panic!("it went on")
        };
        assert_eq!(stop.as_str(), "no_signal");
        let TrainStop::NoSignal { unsignalled, groups, single, statistics } = stop else {
            panic!("{stop:?}")
        };
        assert_eq!((*unsignalled, *groups, statistics.items), (200, 200, 20));
        assert!(*single < 100, "{single}");
        assert_eq!(training.updates(), SIGNAL_WINDOW);
    }
}

#[test]
fn a_settled_policy_on_answers_without_noise_is_told_from_no_signal() {
    let mut uniform = generator(6);
    let mut items = flat_items(20, &mut uniform);
    for item in &mut items {
        // Half of the items are right at n = 0 alone, the others at n = 4 alone.
        let right = if item.state[0] > 0.0 { STEPS } else { 0 };
        for (n, answers) in item.answers.chunks_mut(ANSWERS).enumerate() {
            let grade = if n == right { AnswerGrade::Correct } else { AnswerGrade::Wrong };
            answers.fill(answer(grade, 4));
        }
    }
    let tables = TrainTables { fit: table(items), select: flat().select };
    let params = TrainParams { lr: 0.1, updates: 600, entropy: 0.0, ..params() };
    let mut training = start(params, 0.1, tables, &mut uniform);
    training.run(usize::MAX, &mut uniform).unwrap();
    let TrainStanding::Stopped(TrainStop::NoSignal { unsignalled, single, .. }) =
        training.standing()
    else {
        panic!("{:?}", training.standing())
    };
    assert!(10 * single > 9 * unsignalled, "{single} of {unsignalled}");
}

#[test]
fn a_run_with_a_signal_goes_on() {
    let mut uniform = generator(1);
    let tables = tables(States::Own, &mut uniform);
    let mut training = start(params(), 0.1, tables, &mut uniform);
    assert_eq!(training.run(usize::MAX, &mut uniform), Ok(&TrainStanding::Finished));
    assert_eq!(training.updates(), 200);
}

#[test]
fn without_a_live_group_no_weight_moves() {
    let params = TrainParams { answers: ANSWERS, ..params() };
    let mut uniform = generator(1);
    let mut training = start(params, 0.0, flat(), &mut uniform);
    let before = training.controller().clone();
    let report = training.step(&mut uniform).unwrap().unwrap();
    assert_eq!((report.batch.dead, report.gradient_norm), (4, None));
    assert_eq!((training.controller(), training.updates()), (&before, 1));
}

#[test]
fn a_number_that_is_not_finite_stops_the_run_before_the_update() {
    // A step of 1e40 is infinite in f32.
    let params = TrainParams { lr: 1e40, ..params() };
    let mut uniform = generator(1);
    let tables = tables(States::Own, &mut uniform);
    let mut training = start(params, 0.1, tables, &mut uniform);
    let before = training.controller().clone();
    assert_eq!(training.step(&mut uniform), Ok(None));
    let TrainStanding::Stopped(stop) = training.standing() else { panic!("it goes on") };
    assert_eq!(stop.as_str(), "not_finite");
    let TrainStop::NotFinite { what, items } = stop else { panic!("{stop:?}") };
    assert_eq!((*what, items.len()), ("weight", 4));
    assert_eq!((training.controller(), training.updates()), (&before, 0));
    assert!(matches!(training.step(&mut uniform), Err(TrainerError::Ended { updates: 0 })));
}

#[test]
fn errors_of_one_item_name_it_and_others_are_passed_on() {
    let infinite = TrainerError::NotFinite { what: "loss" };
    let items = || vec!["a".to_owned(), "b".to_owned()];
    let of_one = TrainStop::of(infinite.clone().of_item("b"), items());
    assert_eq!(of_one, Ok(TrainStop::NotFinite { what: "loss", items: vec!["b".to_owned()] }));
    assert_eq!(
        TrainStop::of(infinite, items()),
        Ok(TrainStop::NotFinite { what: "loss", items: items() })
    );
    let other = TrainerError::NotUniform { value: 2.0 }.of_item("b");
    assert_eq!(TrainStop::of(other.clone(), items()), Err(other));
}

#[test]
fn a_bad_random_number_is_an_error_and_changes_nothing() {
    let mut uniform = generator(1);
    let tables = tables(States::Own, &mut uniform);
    let mut training = start(params(), 0.1, tables, &mut uniform);
    let before = training.controller().clone();
    // Four numbers choose the items, the fifth an action.
    for good in [0, 4] {
        let mut left = good;
        let mut broken = || {
            left -= 1;
            if left < 0 { 1.5 } else { 0.5 }
        };
        assert!(
            training.step(&mut broken).unwrap_err().to_string().contains("random number is 1.5")
        );
        assert_eq!((training.controller(), training.updates()), (&before, 0));
        assert_eq!(training.standing(), &TrainStanding::Running);
    }
}

#[test]
fn a_policy_of_one_strength_is_a_warning_before_stage_3() {
    // So small a rate leaves every probability at ½, which stops at once.
    let params = TrainParams { lr: 1e-30, ..params() };
    let mut uniform = generator(1);
    let tables = tables(States::Own, &mut uniform);
    let mut training = start(params, 0.1, tables, &mut uniform);
    assert_eq!(training.run(usize::MAX, &mut uniform), Ok(&TrainStanding::Finished));
    // Of 200 updates stage 3 has the last 60, and with them the scores after 150 and 200.
    let collapses = training.collapses();
    assert_eq!(collapses.iter().map(|c| c.update).collect::<Vec<_>>(), [50, 100]);
    for collapse in collapses {
        assert_eq!((collapse.n, collapse.share), (0, 1.0));
        assert_eq!(collapse.reward, collapse.fixed_reward);
        assert_eq!(collapse.reward, training.scoring().fixed(0).unwrap().reward);
    }
    let best = training.scoring().best_fixed().unwrap();
    let fixed = (0..=STEPS).map(|n| training.scoring().fixed(n).unwrap().reward);
    assert_eq!(best.1.reward, fixed.fold(f64::NEG_INFINITY, f64::max));
}

#[test]
fn stage_3_draws_from_all_items_and_the_others_from_learnable_ones() {
    let mut uniform = generator(2);
    let mut items = flat_items(9, &mut uniform);
    let hopeless = |item: &mut TableItem| {
        item.answers.iter_mut().for_each(|own| *own = answer(AnswerGrade::Wrong, 4));
    };
    items.iter_mut().take(4).for_each(hopeless);
    let tables = TrainTables { fit: table(items), select: flat().select };
    let params = TrainParams { items: 16, updates: 10, ..params() };
    let mut training = start(params, 0.1, tables, &mut uniform);
    let groups = (0..10).map(|_| training.step(&mut uniform).unwrap().unwrap().batch.groups);
    assert_eq!(groups.collect::<Vec<_>>(), [5, 5, 5, 5, 5, 5, 5, 9, 9, 9]);
}

#[test]
fn distance_from_the_start_holds_the_policy_back() {
    let moved = |kl: f64| {
        let params = TrainParams { kl, ..params() };
        let mut uniform = generator(1);
        let tables = tables(States::Own, &mut uniform);
        let mut training = start(params, 0.1, tables, &mut uniform);
        training.run(usize::MAX, &mut uniform).unwrap();
        let prepared = training.controller().prepare();
        // The start has logits of 0.
        let size = |item: &TableItem| -> f64 {
            prepared.pass(&item.state).unwrap().logits().iter().map(|logit| logit.abs()).sum()
        };
        training.scoring().table.items().iter().map(size).sum::<f64>()
    };
    let (free, held) = (moved(0.0), moved(1.0));
    assert!(held < 0.5 * free, "{held} of {free}");
}

#[test]
fn runs_that_cannot_start_are_refused() {
    let mut uniform = generator(1);
    let tables = tables(States::Own, &mut uniform);
    let usual = ponder(0.1);
    let controller = fresh(&usual, &tables.fit, &mut uniform);
    let new = |params: TrainParams, tables: &TrainTables| {
        let train = params.check().unwrap();
        Training::new(usual, train, controller.clone(), tables.clone()).unwrap_err()
    };
    let many = new(TrainParams { answers: 9, ..params() }, &tables);
    assert_eq!(many.to_string(), "answers at a strength: 8, at least 9 expected");
    let mut items = flat_items(3, &mut uniform);
    for item in &mut items {
        item.answers.iter_mut().for_each(|own| *own = answer(AnswerGrade::Wrong, 4));
    }
    let hopeless = TrainTables { fit: table(items), ..tables.clone() };
    assert!(matches!(new(params(), &hopeless), TrainerError::TooFew { .. }));
    let other = PonderParams { steps: 3, hidden: 8, ..PonderParams::default() };
    let other = other.check(Backbone { blocks: 30, width: WIDTH }).unwrap();
    let train = params().check().unwrap();
    let found = Training::new(other, train, controller.clone(), tables);
    assert!(matches!(found, Err(TrainerError::Width { .. })));
}
