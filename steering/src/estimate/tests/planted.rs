//! A direction that was put there, and laws that hold for every estimator.

use super::States;
use crate::estimate::algebra::{lanczos, top};
use crate::estimate::{
    Estimator, Moments, Place, SHRINKAGE, Score, Selection, cosine, random, select,
};

const ESTIMATORS: [Estimator; 6] = [
    Estimator::Palrs,
    Estimator::MeanDifference,
    Estimator::PcaDifference,
    Estimator::PcaCentred,
    Estimator::LinearProbe { shrinkage: SHRINKAGE },
    Estimator::LogisticProbe,
];

fn farthest(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| (x - y).abs()).fold(0.0, f64::max)
}

#[test]
fn every_estimator_finds_the_planted_site_and_direction() {
    let planted = random(7, 32).unwrap();
    let shifts = [0.0, 0.0, 5.0, 0.0];
    let at = |seed, n| -> Vec<States> {
        let each = shifts.iter().zip(seed..);
        each.map(|(shift, seed)| States::planted(seed, n, &planted, *shift)).collect()
    };
    let (fit, held) = (at(10, 500), at(50, 200));
    for estimator in ESTIMATORS {
        let mut scores = Vec::new();
        for (depth, (fit, held)) in fit.iter().zip(&held).enumerate() {
            // A component without a sign is no candidate.
            let Ok(made) = estimator.estimate(&fit.classes()) else { continue };
            let (p, n) = fit.classes().moments().unwrap();
            let (above, below) = held.classes().projections(&made.steer);
            let place = Place { depth, position: -1 };
            scores.push(Score::of(place, &p, &n).unwrap().with_held_out(&above, &below));
        }
        for rule in [Selection::HeldoutAuroc, Selection::PaperCosine] {
            let chosen = select(rule, &scores).unwrap();
            assert_eq!(scores[chosen].place.depth, 2, "{estimator:?} {rule:?}");
        }
        let made = estimator.estimate(&fit[2].classes()).unwrap();
        let near = cosine(&made.steer, &planted);
        assert!(near >= 0.99, "{estimator:?}: {near}");
        assert!((made.gap - 5.0).abs() < 0.3, "{estimator:?}: {}", made.gap);
    }
}

#[test]
fn swapping_the_classes_negates_every_direction() {
    for (n, width, shift) in [(60, 8, 2.0), (60, 48, 4.0), (30, 80, 8.0)] {
        let states = States::planted(3, n, &random(7, width).unwrap(), shift);
        for estimator in ESTIMATORS {
            let made = estimator.estimate(&states.classes()).unwrap();
            let swapped = estimator.estimate(&states.swapped()).unwrap();
            let negated = |v: &[f64]| v.iter().map(|x| -x).collect::<Vec<_>>();
            assert!(farthest(&made.steer, &negated(&swapped.steer)) <= 1e-9, "{estimator:?}");
            assert!((made.gap - swapped.gap).abs() <= 1e-9 && made.gap > 0.0, "{estimator:?}");
            assert_eq!(made.read.is_some(), swapped.read.is_some());
            if let (Some(a), Some(b)) = (made.read, swapped.read) {
                assert!(farthest(&a, &negated(&b)) <= 1e-9, "{estimator:?}");
            }
        }
    }
}

#[test]
fn the_order_of_items_does_not_matter() {
    for (n, width) in [(60, 8), (60, 48), (30, 80)] {
        let states = States::planted(3, n, &random(7, width).unwrap(), 8.0);
        let reversed = states.reversed();
        for estimator in ESTIMATORS {
            let made = estimator.estimate(&states.classes()).unwrap();
            let other = estimator.estimate(&reversed.classes()).unwrap();
            let far = farthest(&made.steer, &other.steer);
            assert!(far <= 1e-10, "{estimator:?}: {far}");
            let read = |e: &crate::estimate::Estimate| e.read.clone().unwrap_or_default();
            let far = farthest(&read(&made), &read(&other));
            assert!(far <= 1e-10, "{estimator:?} read: {far}");
        }
    }
}

#[test]
fn streaming_in_blocks_is_what_two_passes_give() {
    let states = States::planted(3, 101, &random(7, 16).unwrap(), 5.0);
    let rows: Vec<&[f32]> = states.positive.chunks(16).collect();
    let mut streamed = Moments::new(16);
    for block in rows.chunks(8) {
        streamed.merge(&Moments::of(16, &block.concat()).unwrap()).unwrap();
    }
    let n = rows.len() as f64;
    for j in 0..16 {
        let mean = rows.iter().map(|row| f64::from(row[j])).sum::<f64>() / n;
        let about = |row: &&[f32]| (f64::from(row[j]) - mean).powi(2);
        let variance = rows.iter().map(about).sum::<f64>() / (n - 1.0);
        assert!((streamed.mean().unwrap()[j] - mean).abs() <= 1e-10);
        assert!((streamed.variance().unwrap()[j] - variance).abs() <= 1e-10);
    }
    assert_eq!(streamed.n, 101);
}

#[test]
fn a_linear_probe_without_shrinkage_writes_the_mean_difference() {
    let states = States::planted(3, 500, &random(7, 32).unwrap(), 1.0);
    let probe = Estimator::LinearProbe { shrinkage: 0.0 }.estimate(&states.classes()).unwrap();
    let mean = Estimator::MeanDifference.estimate(&states.classes()).unwrap();
    assert!(cosine(&probe.steer, &mean.steer) >= 1.0 - 1e-9);
    // The read direction is another one.
    assert!(cosine(&probe.read.unwrap(), &mean.steer) < 1.0 - 1e-4);
    let few = States::planted(3, 16, &random(7, 32).unwrap(), 1.0);
    let refused = Estimator::LinearProbe { shrinkage: 0.0 }.estimate(&few.classes());
    assert_eq!(refused.unwrap_err().code(), "not_solved");
}

#[test]
fn one_component_is_the_largest_of_all() {
    for (n, seed) in [(80, 1), (150, 2)] {
        let values = ndarray::Array1::from(crate::estimate::gaussian(seed, n * n));
        let rows = values.into_shape_with_order((n, n)).unwrap();
        let square = rows.dot(&rows.t());
        let (one, all) = (lanczos(&square).unwrap(), top(square).unwrap().1);
        let near = cosine(&one.to_vec(), &all.to_vec());
        assert!(near.abs() >= 1.0 - 1e-12 && (one.dot(&one) - 1.0).abs() < 1e-12, "{n}: {near}");
    }
    // A matrix of rank 1 ends the iteration early, and one of 1s on the diagonal at once.
    let flat = ndarray::Array2::<f64>::ones((100, 100));
    assert!(lanczos(&flat).unwrap().iter().all(|x| (x.abs() - 0.1).abs() < 1e-12));
    let even = lanczos(&ndarray::Array2::eye(100)).unwrap();
    assert!((even.dot(&even) - 1.0).abs() < 1e-12);
}
