//! Rows 6 and 12 of the mechanics, on controllers with random weights.

use super::*;
use crate::ponder::strength::{Backbone, PonderParams};
use crate::testing::generator;

/// A ladder of `steps` steps over states of width 21, eight hidden units.
fn ponder(steps: usize) -> Ponder {
    let params = PonderParams { steps, hidden: 8, ..PonderParams::default() };
    params.check(Backbone { blocks: 30, width: 21 }).unwrap()
}

fn states(count: usize, seed: u64) -> Vec<Vec<f32>> {
    let mut uniform = generator(seed);
    (0..count).map(|_| (0..21).map(|j| j as f32 * (uniform() as f32 - 0.3)).collect()).collect()
}

fn input(ponder: &Ponder) -> ControllerInput {
    let states = states(40, 5);
    let rows: Vec<&[f32]> = states.iter().map(Vec::as_slice).collect();
    let mut uniform = generator(6);
    let direction: Vec<f64> = (0..21).map(|_| uniform() - 0.5).collect();
    let norm = direction.iter().map(|h| h * h).sum::<f64>().sqrt();
    let direction = direction.iter().map(|h| (h / norm) as f32).collect();
    ControllerInput::new(Standard::of(&rows).unwrap(), direction, ponder.ladder(9.0).unwrap())
        .unwrap()
}

/// A controller whose weights are all different from 0.
fn trained(steps: usize) -> Controller {
    let ponder = ponder(steps);
    let fresh = Controller::fresh(&ponder, input(&ponder), &mut generator(1)).unwrap();
    let mut uniform = generator(2);
    let weights = fresh.weights().iter().map(|w| w + uniform() as f32 - 0.5).collect();
    fresh.with_weights(weights).unwrap()
}

#[test]
fn a_fresh_controller_goes_on_with_probability_one_half() {
    let ponder = ponder(4);
    let fresh = Controller::fresh(&ponder, input(&ponder), &mut generator(1)).unwrap();
    for state in states(5, 3) {
        assert_eq!(fresh.logits(&state).unwrap(), [0.0; 4]);
        assert_eq!(fresh.prepare().decide(&state, 0.5).unwrap().n, 0);
    }
    let rows = fresh.weights().chunks_exact(24).flat_map(|unit| &unit[..22]);
    let variance = rows.map(|w| w * w).sum::<f32>() / (8.0 * 22.0);
    assert!((variance * 22.0 - 1.0).abs() < 0.3, "{variance}");
    let other = ponder_of_width(20);
    let found = Controller::fresh(&other, input(&ponder), &mut generator(1));
    assert!(matches!(found, Err(TrainerError::Width { .. })));
}

fn ponder_of_width(width: usize) -> Ponder {
    PonderParams::default().check(Backbone { blocks: 30, width }).unwrap()
}

#[test]
fn m12_the_incremental_form_is_the_direct_one() {
    for steps in [0, 1, 4] {
        let prepared = trained(steps).prepare();
        for state in states(20, 4) {
            let direct = prepared.controller().logits(&state).unwrap();
            let lazy: Vec<f64> = prepared.start(&state).unwrap().collect();
            let pass = prepared.pass(&state).unwrap();
            assert_eq!((direct.len(), lazy.len(), pass.logits().len()), (steps, steps, steps));
            for ((direct, lazy), pass) in direct.iter().zip(&lazy).zip(pass.logits()) {
                assert!((direct - lazy).abs() <= 1e-5 && (direct - pass).abs() <= 1e-5);
            }
            let (first, last) = (direct.first(), direct.last());
            assert!(steps < 2 || first != last, "{direct:?}");
        }
    }
}

#[test]
fn the_direct_form_is_the_formula() {
    let controller = trained(4);
    let state = &states(1, 9)[0];
    let (standard, direction) = (controller.input().standard(), controller.input().direction());
    for (k, found) in controller.logits(state).unwrap().into_iter().enumerate() {
        let strength = controller.input().ladder().strength(k).unwrap();
        let mut logit = f64::from(controller.weights()[8 * 24]);
        for unit in controller.weights()[..8 * 24].chunks(24) {
            let mut sum = f64::from(unit[22]) + f64::from(unit[21]) * k as f64 / 4.0;
            for j in 0..21 {
                let moved = f64::from(state[j]) + strength * f64::from(direction[j]);
                let (c, sigma) = (standard.mean()[j], standard.deviation()[j]);
                sum += f64::from(unit[j]) * (moved - f64::from(c)) / f64::from(sigma);
            }
            logit += f64::from(unit[23]) * sum.tanh();
        }
        assert!((logit - found).abs() < 1e-9, "{logit} for {found}");
    }
}

#[test]
fn m06_the_gradient_is_that_of_differences() {
    let controller = trained(4);
    let (state, slopes) = (&states(1, 8)[0], [0.7, -1.3, 0.4, 0.9]);
    let prepared = controller.prepare();
    let mut gradient = vec![0.0; controller.weights().len()];
    prepared.add_gradient(&prepared.pass(state).unwrap(), &slopes, &mut gradient).unwrap();
    let loss = |weights: Vec<f32>| -> f64 {
        let logits = controller.with_weights(weights).unwrap().logits(state).unwrap();
        logits.iter().zip(slopes).map(|(logit, slope)| logit * slope).sum()
    };
    let largest = gradient.iter().fold(0f64, |most, slope| most.max(slope.abs()));
    for (at, slope) in gradient.iter().enumerate() {
        let (mut up, mut down) = (controller.weights().to_vec(), controller.weights().to_vec());
        up[at] += 1e-3;
        down[at] -= 1e-3;
        // The distance is the one that f32 made of it.
        let distance = f64::from(up[at]) - f64::from(down[at]);
        let expected = (loss(up) - loss(down)) / distance;
        assert!((slope - expected).abs() <= 1e-4 * largest, "{at}: {slope} for {expected}");
    }
}

#[test]
fn m06_gradients_add_up_and_misfits_are_refused() {
    let prepared = trained(4).prepare();
    let state = &states(1, 8)[0];
    let pass = prepared.pass(state).unwrap();
    let mut once = vec![0.0; prepared.controller().weights().len()];
    prepared.add_gradient(&pass, &[1.0; 4], &mut once).unwrap();
    let mut twice = once.clone();
    prepared.add_gradient(&pass, &[1.0; 4], &mut twice).unwrap();
    assert!(once.iter().zip(&twice).all(|(once, twice)| 2.0 * once == *twice));
    let mut misfit = |slopes: &[f64]| prepared.add_gradient(&pass, slopes, &mut once).is_err();
    assert!(misfit(&[1.0; 3]));
    assert!(prepared.add_gradient(&pass, &[1.0; 4], &mut [0.0; 5]).is_err());
    let other = trained(1).prepare().pass(state).unwrap();
    assert!(prepared.add_gradient(&other, &[1.0; 4], &mut twice).is_err());
}

#[test]
fn a_decision_is_the_greedy_rule_on_all_probabilities() {
    let prepared = trained(4).prepare();
    let mut seen = [0; 5];
    for state in states(60, 10) {
        let logits = prepared.pass(&state).unwrap().logits().to_vec();
        let expected = greedy(logits.into_iter().map(sigmoid), 0.5).unwrap();
        let found = prepared.decide(&state, 0.5).unwrap();
        assert_eq!(found.n, expected.n);
        assert!((found.margin.unwrap() - expected.margin.unwrap()).abs() < 1e-9);
        seen[found.n] += 1;
    }
    assert!(seen.iter().filter(|count| **count > 0).count() > 1, "{seen:?}");
}

#[test]
fn standards_are_by_hand_and_constants_say_nothing() {
    let standard = Standard::of(&[&[1.0, 7.0, 5.0], &[3.0, 7.0, -5.0]]).unwrap();
    assert_eq!(standard.mean(), [2.0, 7.0, 0.0]);
    assert_eq!(standard.deviation(), [1.0, 5.0, 5.0]);
    assert!(matches!(Standard::of(&[&[1.0]]), Err(TrainerError::TooFew { .. })));
    assert!(matches!(Standard::of(&[&[1.0], &[1.0]]), Err(TrainerError::NotPositive { .. })));
    assert!(matches!(Standard::of(&[&[1.0], &[1.0, 2.0]]), Err(TrainerError::Width { .. })));
    assert!(Standard::of(&[&[f32::NAN], &[1.0]]).is_err());
    assert!(Standard::new(vec![0.0; 2], vec![1.0, 0.0]).is_err());
}

#[test]
fn inputs_that_cannot_be_read_are_refused() {
    let ponder = ponder(4);
    let usual = input(&ponder);
    let ladder = || ponder.ladder(1.0).unwrap();
    let new = |direction| ControllerInput::new(usual.standard().clone(), direction, ladder());
    assert!(matches!(new(vec![1.0; 20]), Err(TrainerError::Width { .. })));
    assert!(matches!(new(vec![1.0; 21]), Err(TrainerError::Range { .. })));
    assert!(matches!(new(vec![f32::NAN; 21]), Err(TrainerError::NotFinite { .. })));
    let prepared = trained(4).prepare();
    let mut state = states(1, 1).remove(0);
    assert!(prepared.start(&state[..20]).is_err());
    state[3] = f32::INFINITY;
    assert_eq!(prepared.decide(&state, 0.5), Err(TrainerError::NotFinite { what: "state" }));
    let weights = |count| Controller::from_weights(usual.clone(), 8, vec![0.0; count]);
    assert!(weights(8 * 24 + 1).is_ok() && weights(8 * 24).is_err());
    let broken = vec![f32::NAN; 8 * 24 + 1];
    assert!(Controller::from_weights(usual, 8, broken).is_err());
}
