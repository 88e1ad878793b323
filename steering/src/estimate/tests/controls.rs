//! Random directions, shuffled labels, folds and halves.

use super::{Sign, States};
use crate::estimate::folds::folds;
use crate::estimate::{
    Classes, Estimator, Residue, SHRINKAGE, cosine, gaussian, random, split_half,
};

#[test]
fn draws_are_the_same_for_the_same_seed_and_look_normal() {
    assert_eq!(gaussian(5, 7), gaussian(5, 8)[..7]);
    assert_ne!(gaussian(5, 7), gaussian(6, 7));
    let draws = gaussian(1, 20_000);
    let moment = |k| draws.iter().map(|x: &f64| x.powi(k)).sum::<f64>() / 20_000.0;
    // Five standard errors: 1/√n, √2/√n, √15/√n, √96/√n.
    for (k, expected, error) in [(1, 0.0, 1.0), (2, 1.0, 1.5), (3, 0.0, 3.9), (4, 3.0, 9.8)] {
        assert!((moment(k) - expected).abs() < 5.0 * error / 20_000_f64.sqrt(), "{k}");
    }
}

#[test]
fn random_directions_are_of_length_one_and_apart() {
    let rows: Vec<Vec<f64>> = (0..20).map(|seed| random(seed, 576).unwrap()).collect();
    for (i, a) in rows.iter().enumerate() {
        assert!((cosine(a, a) - 1.0).abs() < 1e-12);
        assert!((a.iter().map(|x| x * x).sum::<f64>() - 1.0).abs() < 1e-12);
        assert!(rows[..i].iter().all(|b| cosine(a, b).abs() < 6.0 / 24.0));
    }
    assert_eq!(random(0, 0).unwrap_err().code(), "estimate_invalid");
    let states = States::planted(1, 30, &rows[0], 3.0);
    let made = Estimator::Random { seed: 4 }.estimate(&states.classes()).unwrap();
    assert_eq!(made.steer, rows[4]);
}

#[test]
fn shuffled_labels_leave_a_shorter_direction() {
    let planted = random(7, 32).unwrap();
    let states = States::planted(3, 200, &planted, 5.0);
    let classes = states.classes();
    let truth = Estimator::MeanDifference.estimate(&classes).unwrap();
    for seed in 0..10 {
        let kept = Estimator::MeanDifference.shuffled(&classes, seed, Residue::Kept).unwrap();
        // Its natural norm is a few standard errors: (25 + 2·32)/200 has root 0.67.
        assert!(kept.gap > 0.0 && kept.gap < 1.5, "{seed}: {}", kept.gap);
        assert_eq!(Estimator::Shuffled { seed }.estimate(&classes).unwrap(), kept);
        let rest =
            Estimator::MeanDifference.shuffled(&classes, seed, Residue::ProjectedOut).unwrap();
        assert!(cosine(&rest.steer, &truth.steer).abs() < 1e-12);
        // Pythagoras: what was projected out is the rest of the natural norm.
        let along = kept.gap * cosine(&kept.steer, &truth.steer);
        assert!((rest.gap.hypot(along) - kept.gap).abs() < 1e-9);
    }
}

#[test]
fn every_estimator_can_be_shuffled() {
    let states = States::planted(3, 60, &random(7, 16).unwrap(), 4.0);
    let separate = Classes::separate(16, &states.positive, &states.negative[..320]).unwrap();
    for estimator in [
        Estimator::PcaDifference,
        Estimator::PcaCentred,
        Estimator::LinearProbe { shrinkage: SHRINKAGE },
        Estimator::LogisticProbe,
    ] {
        let made = estimator.shuffled(&states.classes(), 1, Residue::Kept).unwrap();
        assert_ne!(made, estimator.fit(&states.classes(), Sign::AsFound).unwrap());
        assert!(
            estimator.shuffled(&states.classes(), 1, Residue::ProjectedOut).unwrap().read.is_none()
        );
    }
    let dealt = Estimator::MeanDifference.shuffled(&separate, 1, Residue::Kept).unwrap();
    assert!(dealt.gap < 2.5, "{}", dealt.gap);
    assert_eq!(dealt, Estimator::MeanDifference.shuffled(&separate, 1, Residue::Kept).unwrap());
}

#[test]
fn pairs_of_a_group_are_turned_round_together() {
    let states = States::planted(3, 60, &random(7, 4).unwrap(), 50.0);
    let one = vec![9; 60];
    let classes = Classes::paired(4, &states.positive, &states.negative, &one).unwrap();
    // All or none turned: ±r, with its whole length.
    let truth = Estimator::MeanDifference.estimate(&classes).unwrap();
    for seed in 0..4 {
        let made = Estimator::Shuffled { seed }.estimate(&classes).unwrap();
        assert!((cosine(&made.steer, &truth.steer).abs() - 1.0).abs() < 1e-12);
        assert!((made.gap - truth.gap).abs() < 1e-9);
    }
}

#[test]
fn folds_keep_groups_whole_and_do_not_depend_on_order() {
    let groups: Vec<u64> = (0..60).map(|i| i * i % 23).collect();
    let of = folds(&groups, 5).unwrap();
    for (i, a) in groups.iter().enumerate() {
        assert!(groups.iter().zip(&of).all(|(b, fold)| a != b || *fold == of[i]));
    }
    let backwards: Vec<u64> = groups.iter().rev().copied().collect();
    let mut again = folds(&backwards, 5).unwrap();
    again.reverse();
    assert_eq!(again, of);
    assert!((0..5).all(|fold| of.contains(&fold)));
    assert_eq!(folds(&[1, 2, 3, 4, 4], 5).unwrap_err().code(), "too_few_pairs");
}

#[test]
fn halves_agree_on_a_direction_that_is_there() {
    let planted = random(7, 32).unwrap();
    let there = States::planted(3, 200, &planted, 5.0);
    let absent = States::planted(3, 200, &planted, 0.0);
    assert!(split_half(&there.classes()).unwrap() > 0.97);
    assert!(split_half(&absent.classes()).unwrap().abs() < 0.6);
    let separate = Classes::separate(32, &there.positive, &there.negative[..1600]).unwrap();
    assert!(split_half(&separate).unwrap() > 0.9);
    let one = Classes::paired(32, &there.positive[..32], &there.negative[..32], &[]).unwrap();
    assert_eq!(split_half(&one), None);
}
