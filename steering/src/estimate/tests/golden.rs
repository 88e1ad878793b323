//! What numpy and scikit-learn say of a small data set (`scripts/golden_estimators.py`).

use crate::estimate::probe::logistic::{GRADIENT, fit, gradient, length, quasi_newton};
use crate::estimate::{Classes, Estimator, auroc, cosine, mean_difference};
use ndarray::{Array1, Array2, Axis};
use serde_json::Value;

struct Golden(Value);

impl Golden {
    fn open() -> Golden {
        let text = include_str!("../../../tests/data/estimators.json");
        Golden(serde_json::from_str(text).unwrap())
    }

    /// A value by the names that lead to it.
    fn value(&self, path: &str) -> &Value {
        self.0.pointer(&format!("/{path}")).unwrap()
    }

    fn numbers(&self, path: &str) -> Vec<f64> {
        let values = self.value(path).as_array().unwrap();
        values.iter().map(|v| v.as_f64().unwrap()).collect()
    }

    fn states(&self, pointer: &str) -> Vec<f32> {
        self.numbers(pointer).iter().map(|v| *v as f32).collect()
    }

    fn groups(&self) -> Vec<u64> {
        self.numbers("groups").iter().map(|v| *v as u64).collect()
    }
}

/// Runs a check on the data set.
fn with(check: impl FnOnce(&Golden, &Classes<'_>)) {
    let golden = Golden::open();
    let (positive, negative) = (golden.states("positive"), golden.states("negative"));
    let groups = golden.groups();
    check(&golden, &Classes::paired(6, &positive, &negative, &groups).unwrap());
}

fn close(a: &[f64], b: &[f64], tolerance: f64) {
    assert_eq!(a.len(), b.len());
    for (x, y) in a.iter().zip(b) {
        assert!((x - y).abs() <= tolerance * (1.0 + y.abs()), "{x} {y}");
    }
}

#[test]
fn sums_give_the_means_and_variances_of_numpy() {
    with(|golden, classes| {
        let (positive, negative) = classes.moments().unwrap();
        for (i, class) in [&positive, &negative].into_iter().enumerate() {
            close(&class.mean().unwrap(), &golden.numbers(&format!("means/{i}")), 1e-13);
            close(&class.variance().unwrap(), &golden.numbers(&format!("variances/{i}")), 1e-12);
        }
        let both = golden.numbers("means/0").into_iter().zip(golden.numbers("means/1"));
        let r: Vec<f64> = both.map(|(p, n)| p - n).collect();
        let made = mean_difference(&positive, &negative).unwrap();
        assert!(cosine(&made.steer, &r) >= 1.0 - 1e-14);
    });
}

#[test]
fn components_are_those_of_numpy_and_scikit_learn_up_to_their_sign() {
    with(|golden, classes| {
        // The wide coordinate carries no label, so the centred component has no sign here: it is taken as found.
        let differences = Estimator::PcaDifference.fit(classes, super::Sign::AsFound).unwrap();
        let centred = Estimator::PcaCentred.fit(classes, super::Sign::AsFound).unwrap();
        for (made, name) in [(differences, "pca_difference"), (centred, "pca_centred")] {
            let theirs = golden.numbers(name);
            let turn = cosine(&made.steer, &theirs).signum();
            close(&made.steer.iter().map(|x| x * turn).collect::<Vec<_>>(), &theirs, 1e-12);
            assert!(made.gap > 0.0);
        }
    });
}

#[test]
fn the_linear_probe_is_that_of_scikit_learn() {
    with(|golden, classes| {
        for i in 0..3 {
            let at = |name| format!("linear_probe/{i}/{name}");
            let shrinkage = golden.value(&at("shrinkage")).as_f64().unwrap();
            let made = Estimator::LinearProbe { shrinkage }.estimate(classes).unwrap();
            let near = cosine(&made.read.unwrap(), &golden.numbers(&at("read")));
            assert!(near >= 1.0 - 1e-12, "{shrinkage}: {near}");
        }
    });
}

/// Differences over their root mean square.
fn scaled(classes: &Classes<'_>) -> Array2<f64> {
    let differences = classes.differences().unwrap();
    let n = differences.nrows() as f64;
    let sigma = differences.map(|x| x * x).sum_axis(Axis(0)).map(|s| (s / n).sqrt());
    differences / sigma
}

#[test]
fn the_logistic_probe_is_that_of_scikit_learn() {
    with(|golden, classes| {
        let rows = scaled(classes);
        for i in 0..5 {
            let at = |name| format!("logistic_probe/{i}/{name}");
            let strength = golden.value(&at("strength")).as_f64().unwrap();
            let weights = fit(&rows, strength).unwrap();
            assert!(length(&gradient(&rows, strength, weights.view())) <= GRADIENT);
            close(&weights.to_vec(), &golden.numbers(&at("weights")), 1e-9);
        }
    });
}

#[test]
fn linfa_alone_comes_near_the_same_optimum() {
    with(|golden, classes| {
        let rows = scaled(classes);
        for i in 0..5 {
            let at = |name| format!("logistic_probe/{i}/{name}");
            let strength = golden.value(&at("strength")).as_f64().unwrap();
            let weights = quasi_newton(&rows, (strength, GRADIENT), &Array1::zeros(6)).unwrap();
            let left = length(&gradient(&rows, strength, weights.view()));
            assert!(left < 1e-5, "C {strength}: gradient {left}");
            close(&weights.to_vec(), &golden.numbers(&at("weights")), 1e-5);
        }
    });
}

#[test]
fn auroc_is_that_of_scikit_learn() {
    let golden = Golden::open();
    let value = golden.value("auroc/value").as_f64().unwrap();
    let made = auroc(&golden.numbers("auroc/positive"), &golden.numbers("auroc/negative"));
    assert!((made - value).abs() <= 1e-15, "{made} {value}");
}
