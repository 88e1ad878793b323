//! The bootstrap against what is known about it.

use crate::eval::interval::{mean, standard_error};
use crate::eval::{Interval, bootstrap};

#[test]
fn a_constant_has_no_width() {
    let interval = bootstrap(&[0.25; 40], 1000, 7);
    assert_eq!(interval, Interval { mean: 0.25, low: 0.25, high: 0.25 });
    assert_eq!(bootstrap(&[0.5], 100, 1), Interval { mean: 0.5, low: 0.5, high: 0.5 });
    assert!(bootstrap(&[], 100, 1).mean.is_nan());
}

#[test]
fn draws_are_keyed() {
    let values: Vec<f64> = (0..50).map(|i| f64::from(i % 7)).collect();
    assert_eq!(bootstrap(&values, 500, 3), bootstrap(&values, 500, 3));
    assert_ne!(bootstrap(&values, 500, 3), bootstrap(&values, 500, 4));
    // The same draws for two samples of one size: a shift moves the interval and nothing else.
    let shifted: Vec<f64> = values.iter().map(|v| v + 8.0).collect();
    let (a, b) = (bootstrap(&values, 500, 3), bootstrap(&shifted, 500, 3));
    assert!((b.low - a.low - 8.0).abs() < 1e-9 && (b.high - a.high - 8.0).abs() < 1e-9);
}

#[test]
fn few_runs_have_students_interval() {
    // scipy.stats.t.interval(0.95, 4, loc=3, scale=sem([1, 2, 3, 4, 5]))
    let found = Interval::of_mean(&[1.0, 2.0, 3.0, 4.0, 5.0]);
    assert!((found.low - 1.036_756_838).abs() < 1e-6, "{found:?}");
    assert!((found.high - 4.963_243_162).abs() < 1e-6 && found.mean == 3.0, "{found:?}");
    let one = Interval::of_mean(&[2.0]);
    assert!(one.mean == 2.0 && one.low.is_infinite() && one.high.is_infinite());
    assert!(Interval::of_mean(&[]).mean.is_nan());
}

/// The bootstrap mean of 0 and 1 is a binomial share, whose quantiles are exact sums.
#[test]
fn shares_have_binomial_quantiles() {
    let (n, kept) = (60usize, 18usize);
    let values: Vec<f64> = (0..n).map(|i| f64::from(u8::from(i < kept))).collect();
    let p = kept as f64 / n as f64;
    // P(X = k) by its recurrence.
    let mut chance = (1.0 - p).powi(n as i32);
    let mut below = Vec::new();
    let mut sum = 0.0;
    for k in 0..=n {
        sum += chance;
        below.push(sum);
        chance *= (n - k) as f64 / (k + 1) as f64 * p / (1.0 - p);
    }
    let exact = |share: f64| below.iter().position(|b| *b >= share).unwrap() as f64 / n as f64;
    let found = bootstrap(&values, 20_000, 11);
    assert!((found.low - exact(0.025)).abs() <= 1.0 / n as f64, "{found:?} {}", exact(0.025));
    assert!((found.high - exact(0.975)).abs() <= 1.0 / n as f64, "{found:?} {}", exact(0.975));
}

/// 95 % intervals hold the truth in about 95 of 100 samples; percentile intervals of 40 values in some 92.
#[test]
fn intervals_cover_the_truth() {
    let truth = 0.3;
    let mut state = 1u64;
    let mut uniform = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1u64 << 53) as f64
    };
    let covered = (0..400).filter(|trial| {
        let sample: Vec<f64> = (0..40).map(|_| f64::from(u8::from(uniform() < truth))).collect();
        let interval = bootstrap(&sample, 400, *trial);
        (interval.low..=interval.high).contains(&truth)
    });
    let covered = covered.count();
    assert!((352..=396).contains(&covered), "{covered} of 400");
}

#[test]
fn standard_errors_are_of_the_mean() {
    // statistics.stdev([1, 2, 4, 8]) / 2
    assert!((standard_error(&[1.0, 2.0, 4.0, 8.0]) - 1.547_847_968_417_227).abs() < 1e-12);
    assert_eq!((standard_error(&[3.0]), mean(&[1.0, 2.0])), (0.0, 1.5));
}
