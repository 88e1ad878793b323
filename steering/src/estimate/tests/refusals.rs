//! What estimators refuse, and the sign of a component.

use super::States;
use crate::error::Result;
use crate::estimate::{Classes, Estimator, SHRINKAGE, cosine, random};

fn code<T>(result: Result<T>) -> &'static str {
    result.err().unwrap().code()
}

#[test]
fn states_that_do_not_fit_are_refused() {
    let four = [1.0, 2.0, 3.0, 4.0];
    assert_eq!(code(Classes::paired(0, &four, &four, &[])), "estimate_invalid");
    assert_eq!(code(Classes::paired(3, &four, &four, &[])), "estimate_invalid");
    assert_eq!(code(Classes::paired(2, &four, &four[..2], &[])), "estimate_invalid");
    assert_eq!(code(Classes::paired(2, &four, &four, &[1])), "estimate_invalid");
    assert_eq!(code(Classes::paired(2, &[], &[], &[])), "too_few_pairs");
    assert_eq!(code(Classes::separate(2, &four, &[])), "too_few_pairs");
    assert_eq!(code(Classes::separate(2, &four, &[1.0, f32::INFINITY])), "not_finite");
    assert!(Classes::separate(2, &four, &four[..2]).is_ok());
}

#[test]
fn states_without_partners_have_no_differences() {
    let states = States::planted(3, 40, &random(7, 8).unwrap(), 5.0);
    let classes = Classes::separate(8, &states.positive, &states.negative[..80]).unwrap();
    for estimator in [Estimator::PcaDifference, Estimator::LogisticProbe] {
        assert_eq!(code(estimator.estimate(&classes)), "estimate_invalid");
    }
    let rest = [Estimator::PcaCentred, Estimator::LinearProbe { shrinkage: SHRINKAGE }];
    for estimator in rest.into_iter().chain([Estimator::MeanDifference]) {
        let made = estimator.estimate(&classes).unwrap();
        assert!(cosine(&made.steer, &random(7, 8).unwrap()) > 0.9, "{estimator:?}");
    }
}

#[test]
fn equal_classes_have_no_direction() {
    let states = States::planted(3, 40, &random(7, 8).unwrap(), 0.0);
    let same = Classes::paired(8, &states.positive, &states.positive, &states.groups).unwrap();
    for estimator in [
        Estimator::Palrs,
        Estimator::PcaDifference,
        Estimator::LinearProbe { shrinkage: SHRINKAGE },
        Estimator::LogisticProbe,
    ] {
        assert_eq!(code(estimator.estimate(&same)), "no_difference", "{estimator:?}");
    }
}

#[test]
fn a_component_on_which_the_classes_lie_alike_has_no_sign() {
    // One coordinate is wide and says nothing, another is narrow and says everything.
    let noise = States::planted(3, 60, &random(7, 2).unwrap(), 0.0);
    let widen = |states: &[f32], shift: f32| -> Vec<f32> {
        states.chunks(2).flat_map(|x| [x[0] * 20.0, x[1] * 0.1 + shift]).collect()
    };
    let (positive, negative) = (widen(&noise.positive, 1.0), widen(&noise.negative, 0.0));
    let classes = Classes::paired(2, &positive, &negative, &[]).unwrap();
    for estimator in [Estimator::PcaDifference, Estimator::PcaCentred] {
        assert_eq!(code(estimator.estimate(&classes)), "sign_not_identified", "{estimator:?}");
    }
    // One pair leaves no standard error.
    let one = Classes::paired(2, &[1.0, 0.0], &[0.0, 0.0], &[]).unwrap();
    assert_eq!(code(Estimator::PcaCentred.estimate(&one)), "sign_not_identified");
}

#[test]
fn a_component_has_the_sign_of_the_classes() {
    for seed in 0..20 {
        let planted = random(seed, 6).unwrap();
        let states = States::planted(seed, 40, &planted, 5.0);
        for estimator in [Estimator::PcaDifference, Estimator::PcaCentred] {
            let made = estimator.estimate(&states.classes()).unwrap();
            assert!(cosine(&made.steer, &planted) > 0.9, "{estimator:?} {seed}");
        }
    }
}

#[test]
fn settings_out_of_range_are_refused() {
    let states = States::planted(3, 40, &random(7, 8).unwrap(), 2.0);
    for shrinkage in [-0.1, f64::NAN, f64::INFINITY] {
        let probe = Estimator::LinearProbe { shrinkage };
        assert_eq!(code(probe.estimate(&states.classes())), "estimate_invalid");
    }
    let groups = [1, 2, 3, 4].repeat(10);
    let few = Classes::paired(8, &states.positive, &states.negative, &groups).unwrap();
    assert_eq!(code(Estimator::LogisticProbe.estimate(&few)), "too_few_pairs");
}
