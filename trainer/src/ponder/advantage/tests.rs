//! Row 7 of the mechanics, and the toy table of RS-GRPO.

use super::*;
use crate::testing::{agree, generator};

fn group(rewards: &[f64], answers: usize) -> GroupRewards {
    GroupRewards::new(rewards.to_vec(), answers).unwrap()
}

/// 50 groups of random sizes with random rewards.
fn groups() -> Vec<GroupRewards> {
    let mut uniform = generator(7);
    let group = |_| {
        let actions = 2 + (uniform() * 8.0) as usize;
        let answers = 1 + (uniform() * 4.0) as usize;
        let rewards = (0..actions * answers).map(|_| 2.0 * uniform() - 0.7);
        GroupRewards::new(rewards.collect(), answers).unwrap()
    };
    (0..50).map(group).collect()
}

fn close(found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len());
    for (a, b) in found.iter().zip(expected) {
        assert!((a - b).abs() <= 1e-9, "{found:?} for {expected:?}");
    }
}

#[test]
fn m07_each_formula_gives_its_hand_values() {
    // V = 1, ½, 0, ½; over the eight rewards the variance is ¼, over the four means ⅛.
    let group = group(&[1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0], 2);
    close(&dr_grpo(&group), &[0.5, 0.0, -0.5, 0.0]);
    close(&loo(&group), &[2.0 / 3.0, 0.0, -2.0 / 3.0, 0.0]);
    let scaled = |by: f64| [0.5 / by, 0.0, -0.5 / by, 0.0];
    close(&grpo(&group), &scaled(0.5 + 1e-6));
    close(&grpo_ma(&group), &scaled(0.125f64.sqrt() + 1e-6));
    // β = 2: e², e, 1, e.
    let (e, e2) = (1f64.exp(), 2f64.exp());
    let mean = (e2 + 2.0 * e + 1.0) / 4.0;
    let of = |x: f64| (x / mean - 1.0) / 2.0;
    close(&rs_grpo(&group, 2.0).unwrap(), &[of(e2), of(e), of(1.0), of(e)]);
}

#[test]
fn m07_canon_gives_its_hand_values() {
    let four = group(&[1.0, 0.5, 0.0, 0.25], 1);
    // The lower half is actions 1 and 3 (means 3/8), the upper one 0 and 2 (means ½).
    let metric = [9.0, 1.0, 8.0, 2.0];
    close(&canon(&four, &metric, 1.0).unwrap(), &[0.625, 0.0, -0.375, -0.25]);
    close(&canon(&four, &metric, 0.0).unwrap(), &[0.5, 0.125, -0.5, -0.125]);
    // Ties go by index: lower are 0 and 1, upper 2 and 3.
    close(&canon(&four, &[1.0, 2.0, 2.0, 2.0], 1.0).unwrap(), &[0.875, 0.375, -0.75, -0.5]);
    // Of five actions three are lower: 4, 3 and 2 (mean ⅓), upper 1 and 0 (mean ¾).
    let five = group(&[1.0, 0.5, 0.0, 0.25, 0.75], 1);
    let found = canon(&five, &[5.0, 4.0, 3.0, 2.0, 1.0], 1.0).unwrap();
    close(&found, &[2.0 / 3.0, 1.0 / 6.0, -0.75, -0.5, 0.0]);
}

#[test]
fn m07_canon_without_halves_is_loo_and_bad_metrics_are_refused() {
    let group = group(&[1.0, 0.5, 0.0, 0.25], 1);
    assert_eq!(canon(&group, &[3.0; 4], 1.0).unwrap(), loo(&group));
    assert!(matches!(canon(&group, &[3.0; 3], 1.0), Err(TrainerError::Width { .. })));
    let bad = [1.0, f64::NAN, 0.0, 0.0];
    assert!(matches!(canon(&group, &bad, 1.0), Err(TrainerError::NotFinite { .. })));
    assert!(matches!(canon(&group, &[1.0; 4], 1.5), Err(TrainerError::Range { .. })));
}

#[test]
fn m07_advantages_sum_to_zero() {
    for group in groups() {
        let risk = [-10.0, -1.0, 1e-9, 2.0, 10.0].map(|beta| rs_grpo(&group, beta).unwrap());
        let plain = [grpo(&group), dr_grpo(&group), loo(&group), grpo_ma(&group)];
        for advantages in plain.iter().chain(&risk) {
            let sum: f64 = advantages.iter().sum();
            let size: f64 = advantages.iter().map(|a| a.abs()).sum();
            assert!(sum.abs() <= 1e-12 * size.max(1.0), "{sum} of {size}");
            assert!(size > 1e-3);
        }
    }
}

#[test]
fn m07_canon_at_one_half_is_dr_grpo() {
    let mut uniform = generator(8);
    let even = groups().into_iter().filter(|group| group.values().len().is_multiple_of(2));
    for group in even {
        let metric: Vec<f64> = group.values().iter().map(|_| uniform()).collect();
        close(&canon(&group, &metric, 0.5).unwrap(), &dr_grpo(&group));
    }
}

#[test]
fn m07_loo_is_dr_grpo_times_a_factor_and_leaves_its_own_out() {
    for group in groups() {
        let (found, plain) = (loo(&group), dr_grpo(&group));
        let n = found.len() as f64;
        let total: f64 = group.values().iter().sum();
        for ((a, b), own) in found.iter().zip(&plain).zip(group.values()) {
            assert!(agree(*a, b * n / (n - 1.0), 1e-9));
            assert!(agree(*a, own - (total - own) / (n - 1.0), 1e-9));
        }
    }
}

#[test]
fn m07_grpo_and_grpo_ma_are_parallel_and_equal_with_one_answer() {
    for group in groups() {
        let (a, b) = (grpo(&group), grpo_ma(&group));
        let dot = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f64>();
        let cosine = dot(&a, &b) / (dot(&a, &a) * dot(&b, &b)).sqrt();
        assert!((cosine - 1.0).abs() < 1e-12, "{cosine}");
        let single = group.rewards().len() == group.values().len();
        assert!(if single { a == b } else { dot(&a, &a) < dot(&b, &b) });
    }
}

#[test]
fn m07_a_constant_group_gives_zeros() {
    // 0.1 and 0.7 are numbers whose plain means are not themselves.
    for reward in [0.0, 1.0, -3.0, 0.1, 0.7, 1e9] {
        let group = group(&[reward; 21], 3);
        assert_eq!(group.signal(), GroupSignal::Dead);
        let metric = [7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0];
        for kind in AdvantageKind::ALL {
            for rs_beta in [-10.0, 0.0, 1e-300, 2.0] {
                let params = AdvantageParams { kind, rs_beta, ..AdvantageParams::default() };
                let found = params.check().unwrap().of(&group, &metric).unwrap();
                assert!(found.iter().all(|a| *a == 0.0), "{kind} {reward} {found:?}");
            }
        }
    }
}

#[test]
fn m07_rs_grpo_is_stable_at_a_large_beta() {
    for beta in [50.0, -50.0, 1e6] {
        let group = group(&[1.0, 0.0, 0.5, 900.0, -900.0, 0.25], 1);
        let found = rs_grpo(&group, beta).unwrap();
        // The largest utility is at most the group's size times its mean.
        assert!(found.iter().all(|a| a.is_finite() && a.abs() <= 5.001 / beta.abs()), "{found:?}");
        let best = if beta > 0.0 { 3 } else { 4 };
        assert!(agree(found[best], 5.0 / beta, 1e-9), "{found:?}");
    }
    assert!(rs_grpo(&group(&[0.0, 1e308], 1), 1e9).is_err());
    assert!(rs_grpo(&group(&[0.0, 1.0], 1), f64::NAN).is_err());
}

#[test]
fn m07_rs_grpo_at_a_small_beta_is_dr_grpo() {
    for group in groups() {
        let plain = dr_grpo(&group);
        for beta in [1e-12, -1e-12, 1e-300, 0.0] {
            close(&rs_grpo(&group, beta).unwrap(), &plain);
        }
    }
}

#[test]
fn m07_the_toy_table_of_rs_grpo() {
    let weight = |successes: usize, beta: f64| {
        let rewards: Vec<f64> = (0..8).map(|at| f64::from(u8::from(at < successes))).collect();
        let advantage = rs_grpo(&group(&rewards, 1), beta).unwrap()[0];
        successes as f64 / 8.0 * advantage
    };
    let expected = [
        (1e-9, [0.109, 0.250, 0.109]),
        (2.0, [0.194, 0.190, 0.053]),
        (4.0, [0.190, 0.121, 0.031]),
        (8.0, [0.109, 0.062, 0.016]),
    ];
    for (beta, row) in expected {
        for (successes, expected) in [1, 4, 7].into_iter().zip(row) {
            let found = weight(successes, beta);
            assert!((found - expected).abs() <= 6e-4, "β {beta}, {successes}: {found}");
        }
    }
}
