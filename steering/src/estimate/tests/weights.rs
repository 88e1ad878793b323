//! Laws of the robust weights.

use super::States;
use crate::estimate::folds::folds;
use crate::estimate::weights::{agreement, posterior, two_rounds};
use crate::estimate::{Classes, ETA, Estimator, cosine, random, robust};

/// Pairs of which this many in a hundred are turned round, spread evenly.
fn turned(seed: u64, n: usize, width: usize, shift: f64, percent: usize) -> States {
    let mut states = States::planted(seed, n, &random(7, width).unwrap(), shift);
    let rows = states.positive.chunks_mut(width).zip(states.negative.chunks_mut(width));
    for (_, (p, n)) in rows.enumerate().filter(|(i, _)| i * 37 % 100 < percent) {
        p.swap_with_slice(n);
    }
    states
}

#[test]
fn undecided_projections_leave_the_prior_and_certain_labels_leave_uniform_weights() {
    assert_eq!(agreement(&[1.0, -1.0, 2.0, -2.0]), [0.5; 4]);
    assert_eq!(agreement(&[3.0, 3.0]), [0.5; 2]);
    assert!((posterior(0.5, 0.9) - 0.9).abs() < 1e-15);
    for p in [1e-6, 0.2, 0.7, 1.0] {
        assert_eq!(posterior(p, 1.0), 1.0);
    }
    // A mean below 0 says nothing either, never the opposite.
    assert_eq!(agreement(&[-1.0, -2.0, -3.0]), [0.5; 3]);
}

#[test]
fn a_fold_is_never_judged_by_itself() {
    let states = turned(3, 200, 24, 2.0, 20);
    let classes = states.classes();
    let fold_of = folds(&classes.group_of_each(), 5).unwrap();
    let clean = classes.differences().unwrap();
    let before = two_rounds(&clean, &fold_of, ETA).unwrap();
    for fold in 0..5 {
        let spared = fold_of.iter().position(|f| *f == fold).unwrap();
        let mut poisoned = clean.clone();
        for (i, mut row) in poisoned.rows_mut().into_iter().enumerate() {
            if fold_of[i] == fold && i != spared {
                row.fill(-1e6);
            }
        }
        let after = two_rounds(&poisoned, &fold_of, ETA).unwrap();
        assert_eq!(after[spared], before[spared], "fold {fold}");
        // The poison does reach the other folds.
        assert!((0..200).any(|i| fold_of[i] != fold && after[i] != before[i]));
    }
}

#[test]
fn turned_pairs_are_dropped_and_the_direction_gains() {
    let truth = random(7, 64).unwrap();
    let (mut plain, mut weighted) = (0.0, 0.0);
    for seed in 0..5 {
        let states = turned(seed, 1000, 64, 2.0, 35);
        let (made, weights) = robust(&states.classes(), ETA).unwrap();
        let mean = Estimator::MeanDifference.estimate(&states.classes()).unwrap();
        plain += cosine(&mean.steer, &truth) / 5.0;
        weighted += cosine(&made.steer, &truth) / 5.0;
        let of = |wanted: bool| {
            let kept = (0..1000).filter(|i| (i * 37 % 100 < 35) == wanted);
            let w: Vec<f64> = kept.map(|i| weights.weights[i]).collect();
            w.iter().sum::<f64>() / w.len() as f64
        };
        assert!(of(true) < of(false) - 0.1, "{} {}", of(true), of(false));
        assert!(weights.weights.iter().all(|w| (0.0..=1.0).contains(w)));
    }
    assert!(weighted > plain + 0.02, "{plain} {weighted}");
}

#[test]
fn swapping_negates_and_order_does_not_matter() {
    let states = turned(3, 200, 24, 3.0, 20);
    let (made, _) = robust(&states.classes(), ETA).unwrap();
    let (swapped, _) = robust(&states.swapped(), ETA).unwrap();
    let (reversed, _) = robust(&states.reversed().classes(), ETA).unwrap();
    assert!(made.steer.iter().zip(&swapped.steer).all(|(a, b)| (a + b).abs() <= 1e-9));
    assert!(made.steer.iter().zip(&reversed.steer).all(|(a, b)| (a - b).abs() <= 1e-10));
}

#[test]
fn weights_the_data_cannot_carry_are_refused() {
    let code = |states: &States, eta| robust(&states.classes(), eta).unwrap_err().code();
    assert_eq!(code(&turned(3, 199, 8, 3.0, 0), ETA), "weights_unidentified");
    let enough = turned(3, 200, 8, 3.0, 0);
    for eta in [0.5, 1.0, f64::NAN] {
        assert_eq!(code(&enough, eta), "estimate_invalid");
    }
    // With η barely above a coin's, undecided pairs weigh 2η − 1 = .1: less than a fifth in all.
    let absent = turned(4, 200, 24, 0.0, 0);
    assert_eq!(code(&absent, 0.55), "weights_unidentified");
    let groups = [1, 2, 3, 4].repeat(50);
    let few = Classes::paired(8, &enough.positive, &enough.negative, &groups).unwrap();
    assert_eq!(robust(&few, ETA).unwrap_err().code(), "too_few_pairs");
}
