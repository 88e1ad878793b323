//! Rows 3 and 4 of the mechanics, and the gradients against finite differences.

use super::*;
use crate::testing::{agree, generator};

/// 60 policies of 0 to 6 logits, some of them far from 0.
fn logits() -> Vec<Vec<f64>> {
    let mut uniform = generator(11);
    let row = |at: usize| {
        let size = if at.is_multiple_of(3) { 12.0 } else { 2.0 };
        (0..at % 7).map(|_| size * (2.0 * uniform() - 1.0)).collect()
    };
    (0..60).map(row).collect()
}

/// Central differences of a function of the logits.
fn differences(logits: &[f64], f: impl Fn(&HaltingPolicy) -> f64) -> Vec<f64> {
    let moved = |k: usize, by: f64| {
        let mut logits = logits.to_vec();
        logits[k] += by;
        f(&HaltingPolicy::new(&logits).unwrap())
    };
    let step = 1e-5;
    (0..logits.len()).map(|k| (moved(k, step) - moved(k, -step)) / (2.0 * step)).collect()
}

fn same(found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len());
    for (a, b) in found.iter().zip(expected) {
        assert!((a - b).abs() <= 1e-8 + 1e-6 * b.abs(), "{found:?} for {expected:?}");
    }
}

#[test]
fn m03_a_probability_of_tau_stops_and_one_above_goes_on() {
    for tau in [0.0, 0.3, 0.5, 0.999] {
        let at = greedy([tau; 4], tau).unwrap();
        assert_eq!(at, GreedySteps { n: 0, margin: Some(0.0) });
        let above = greedy([tau + 1e-9; 4], tau).unwrap();
        assert_eq!(above.n, 4);
        assert!(above.margin.unwrap() < 1.1e-9);
    }
    // Logits of 0 are probabilities of τ = ½ exactly.
    let fresh = HaltingPolicy::new(&[0.0; 4]).unwrap();
    assert_eq!(greedy(fresh.continues(), 0.5).unwrap().n, 0);
}

#[test]
fn the_greedy_rule_asks_no_further_than_it_stops() {
    let found = greedy([0.9, 0.7, 0.4, f64::NAN], 0.5).unwrap();
    assert_eq!(found.n, 2);
    assert!((found.margin.unwrap() - 0.1).abs() < 1e-12);
    assert_eq!(greedy([], 0.5).unwrap(), GreedySteps { n: 0, margin: None });
    assert!(greedy([f64::NAN], 0.5).is_err());
    assert!(greedy([0.5], f64::NAN).is_err() && greedy([0.5], 1.1).is_err());
}

#[test]
fn m04_probabilities_sum_to_one() {
    for logits in logits() {
        let policy = HaltingPolicy::new(&logits).unwrap();
        let probabilities = policy.probabilities();
        assert_eq!(probabilities.len(), logits.len() + 1);
        assert!((probabilities.iter().sum::<f64>() - 1.0).abs() <= 1e-12);
        for (n, p) in probabilities.iter().enumerate() {
            assert!(agree(policy.log_probability(n).unwrap(), p.ln(), 1e-9));
        }
        let mean: f64 = probabilities.iter().enumerate().map(|(n, p)| n as f64 * p).sum();
        assert!((policy.mean_steps() - mean).abs() < 1e-12);
    }
}

#[test]
fn m04_samples_have_the_frequencies_of_the_policy() {
    let policy = HaltingPolicy::new(&[0.4, -0.6, 1.5, 0.1]).unwrap();
    let mut uniform = generator(12);
    let total = 100_000;
    let mut counts = [0f64; 5];
    (0..total).for_each(|_| counts[policy.sample(uniform()).unwrap()] += 1.0);
    let expected = policy.probabilities().into_iter().map(|p| p * f64::from(total));
    let square: f64 = counts.iter().zip(expected).map(|(n, e)| (n - e).powi(2) / e).sum();
    // The 99.9 % quantile of χ² with four degrees of freedom.
    assert!(square < 18.467, "{square}");
}

#[test]
fn samples_are_never_impossible() {
    let policy = HaltingPolicy::new(&[800.0, -800.0, 0.0]).unwrap();
    assert_eq!(policy.probabilities()[0], 0.0);
    for uniform in [0.0, 0.5, 1.0 - f64::EPSILON / 2.0] {
        assert_eq!(policy.sample(uniform), Ok(1));
    }
    for bad in [1.0, -1e-9, f64::NAN] {
        assert!(matches!(policy.sample(bad), Err(TrainerError::NotUniform { .. })));
    }
}

#[test]
fn m06_gradients_of_log_probabilities_are_those_of_differences() {
    for logits in logits() {
        let policy = HaltingPolicy::new(&logits).unwrap();
        for n in 0..=logits.len() {
            let found = policy.log_probability_gradient(n).unwrap();
            same(&found, &differences(&logits, |policy| policy.log_probability(n).unwrap()));
        }
        let weights: Vec<f64> = (0..=logits.len()).map(|n| (n as f64 * 1.7).sin()).collect();
        let sum = |policy: &HaltingPolicy| -> f64 {
            let terms = weights.iter().enumerate();
            terms.map(|(n, weight)| weight * policy.log_probability(n).unwrap()).sum()
        };
        same(&policy.weighted_gradient(&weights).unwrap(), &differences(&logits, sum));
        assert!(policy.weighted_gradient(&weights[1..]).is_err());
        assert!(policy.log_probability_gradient(logits.len() + 1).is_err());
        assert!(policy.log_probability(logits.len() + 1).is_err());
    }
}

#[test]
fn m06_the_entropy_and_its_gradient_are_the_textbook_ones() {
    for logits in logits() {
        let policy = HaltingPolicy::new(&logits).unwrap();
        let sum: f64 = policy.probabilities().iter().map(|p| p * p.ln()).sum();
        assert!((policy.entropy() + sum).abs() < 1e-9);
        same(&policy.entropy_gradient(), &differences(&logits, HaltingPolicy::entropy));
    }
    // The most even policy of five counts has an entropy of ln 5 and no slope.
    let even = [4.0f64, 3.0, 2.0, 1.0].map(f64::ln);
    let policy = HaltingPolicy::new(&even).unwrap();
    assert!((policy.entropy() - 5f64.ln()).abs() < 1e-12);
    assert!(policy.entropy_gradient().iter().all(|slope| slope.abs() < 1e-12));
}

#[test]
fn m06_the_divergence_and_its_gradient_are_the_textbook_ones() {
    let mut uniform = generator(13);
    for logits in logits() {
        let other: Vec<f64> = logits.iter().map(|l| l + 3.0 * (uniform() - 0.5)).collect();
        let (policy, reference) =
            (HaltingPolicy::new(&logits).unwrap(), HaltingPolicy::new(&other).unwrap());
        let pairs = policy.probabilities().into_iter().zip(reference.probabilities());
        let sum: f64 = pairs.map(|(p, r)| p * (p / r).ln()).sum();
        assert!((policy.kl(&reference).unwrap() - sum).abs() < 1e-9);
        let expected = differences(&logits, |policy| policy.kl(&reference).unwrap());
        same(&policy.kl_gradient(&reference).unwrap(), &expected);
        assert_eq!(policy.kl(&policy), Ok(0.0));
    }
    let (two, three) =
        (HaltingPolicy::new(&[0.0; 2]).unwrap(), HaltingPolicy::new(&[0.0; 3]).unwrap());
    assert!(two.kl(&three).is_err() && two.kl_gradient(&three).is_err());
}

#[test]
fn logits_of_any_size_give_finite_numbers() {
    let large = HaltingPolicy::new(&[1e4, -1e4, 1e300, -1e300]).unwrap();
    let other = HaltingPolicy::new(&[-1e4, 1e4, 0.0, 0.0]).unwrap();
    assert!(large.entropy().is_finite() && large.kl(&other).unwrap().is_finite());
    assert!(large.entropy_gradient().iter().all(|slope| slope.is_finite()));
    assert!(large.kl_gradient(&other).unwrap().iter().all(|slope| slope.is_finite()));
    for bad in [f64::NAN, f64::INFINITY] {
        assert!(matches!(HaltingPolicy::new(&[0.0, bad]), Err(TrainerError::NotFinite { .. })));
    }
}

#[test]
fn m01_without_steps_there_is_one_choice() {
    let policy = HaltingPolicy::new(&[]).unwrap();
    assert_eq!(policy.probabilities(), [1.0]);
    assert_eq!((policy.sample(0.7), policy.entropy()), (Ok(0), 0.0));
    assert!(policy.log_probability_gradient(0).unwrap().is_empty());
}
