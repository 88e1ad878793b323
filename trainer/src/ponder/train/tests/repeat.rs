//! Row 10 of the mechanics: a run is a function of its seed, and can be interrupted.

use super::super::*;
use super::world::{States, start, tables};
use crate::testing::generator;

fn params() -> TrainParams {
    TrainParams { updates: 130, items: 4, lr: 1e-2, ..TrainParams::default() }
}

fn started(seed: u64) -> (Training, impl FnMut() -> f64 + Clone) {
    let mut uniform = generator(seed);
    let tables = tables(States::Own, &mut uniform);
    (start(params(), 0.1, tables, &mut uniform), uniform)
}

fn finished(seed: u64) -> Training {
    let (mut training, mut uniform) = started(seed);
    training.run(usize::MAX, &mut uniform).unwrap();
    training
}

fn bits(training: &Training) -> Vec<u32> {
    training.controller().weights().iter().map(|weight| weight.to_bits()).collect()
}

#[test]
fn m10_a_seed_reproduces_a_run_bit_for_bit() {
    let (first, second, other) = (finished(3), finished(3), finished(4));
    assert_eq!(first, second);
    assert_eq!(bits(&first), bits(&second));
    assert_ne!(bits(&first), bits(&other));
    assert_eq!((first.updates(), first.standing()), (130, &TrainStanding::Finished));
    // Four items, eight actions each, four answers each.
    assert_eq!(first.draws(), 130 * (4 + 4 * 8 * (1 + 4)));
}

#[test]
fn m10_an_interrupted_run_goes_on_to_the_same_bits() {
    let whole = finished(3);
    for stop in [0, 1, 49, 50, 77, 129] {
        let (mut training, mut uniform) = started(3);
        training.run(stop, &mut uniform).unwrap();
        assert_eq!(training.updates(), stop);
        let (mut kept, mut later) = (training.clone(), uniform.clone());
        // What is made of the original does not reach the clone.
        training.run(stop + 1, &mut generator(99)).unwrap();
        kept.run(usize::MAX, &mut later).unwrap();
        assert_eq!(kept, whole);
        assert_eq!(bits(&kept), bits(&whole));
    }
}

#[test]
fn m10_the_count_of_numbers_finds_the_place_in_the_stream() {
    let (mut training, uniform) = started(3);
    let mut stream = uniform.clone();
    training.run(60, &mut stream).unwrap();
    let mut skipped = uniform;
    for _ in 0..training.draws() {
        skipped();
    }
    training.run(usize::MAX, &mut skipped).unwrap();
    assert_eq!(training, finished(3));
}

#[test]
fn scores_come_every_50_updates_and_the_three_best_are_kept() {
    let (mut training, mut uniform) = started(3);
    let mut scored = Vec::new();
    while training.standing() == &TrainStanding::Running {
        let report = training.step(&mut uniform).unwrap().unwrap();
        scored.extend(report.score.map(|score| (report.update, score.reward)));
    }
    assert_eq!(scored.iter().map(|(update, _)| *update).collect::<Vec<_>>(), [50, 100, 130]);
    scored.sort_by(|a, b| b.1.total_cmp(&a.1));
    let kept = training.kept().iter().map(|kept| (kept.update, kept.score.reward));
    assert_eq!(kept.collect::<Vec<_>>(), scored);
    for kept in training.kept() {
        let again = training.scoring().greedy(&kept.controller.prepare()).unwrap();
        assert_eq!(again, kept.score);
    }
    let ended = training.step(&mut uniform);
    assert_eq!(ended.unwrap_err().to_string(), "run ended after 130 updates");
}

#[test]
fn no_more_than_three_controllers_are_kept() {
    let mut uniform = generator(3);
    let tables = tables(States::Own, &mut uniform);
    let params = TrainParams { updates: 300, ..params() };
    let mut training = start(params, 0.1, tables, &mut uniform);
    training.run(usize::MAX, &mut uniform).unwrap();
    let rewards: Vec<f64> = training.kept().iter().map(|kept| kept.score.reward).collect();
    assert_eq!(rewards.len(), KEPT_CONTROLLERS);
    assert!(rewards.windows(2).all(|pair| pair[0] >= pair[1]), "{rewards:?}");
}
