//! Which scale is chosen (palrs, mechanics test 12).

use crate::eval::{Choice, Cost, Limits, Point, choose};
use crate::file::card::Status;

const FREE: Cost = Cost { ppl_ratio: 1.0, ppl_low: 0.99, ppl_high: 1.01, kl: 0.01 };

/// `passed` of 100 items pass.
fn scores(passed: usize) -> Vec<f64> {
    (0..100).map(|i| f64::from(u8::from(i < passed))).collect()
}

fn point(scale: f32, passed: usize) -> Point {
    let dose = Some(f64::from(scale.abs()) * 0.1);
    Point { scale, dose, scores: scores(passed), repetition: Some(0.0), cost: Some(FREE) }
}

fn chosen(points: &[Point]) -> Choice {
    choose(&scores(10), points, &Limits::default(), 1)
}

#[test]
fn the_smallest_within_one_error_of_the_best_is_chosen() {
    // One standard error at 50 of 100 is 0.05.
    let found = chosen(&[point(0.5, 30), point(1.0, 46), point(1.5, 48), point(2.0, 50)]);
    assert_eq!((found.default, found.best, found.status), (1.0, Some(2.0), Status::Measured));
    assert_eq!(found.safe, Some([0.0, 2.0]));
    assert!((found.gain.unwrap().mean - 0.4).abs() < 1e-12);
}

#[test]
fn a_harmful_scale_is_never_chosen() {
    let harms: [fn(&mut Point); 6] = [
        |p| p.cost = Some(Cost { ppl_high: 1.11, ..FREE }),
        |p| p.cost = Some(Cost { kl: 0.11, ..FREE }),
        |p| p.cost = Some(Cost { ppl_high: f64::NAN, ..FREE }),
        |p| p.repetition = Some(0.06),
        |p| p.dose = Some(0.51),
        |p| p.cost = None,
    ];
    for (which, harm) in harms.iter().enumerate() {
        let mut points = vec![point(0.5, 30), point(1.0, 95)];
        harm(&mut points[1]);
        assert_eq!(chosen(&points).default, 0.5, "harm {which}");
        points.remove(0);
        let none = chosen(&points);
        // Harm that was not measured says nothing about the effect.
        let status = if points[0].cost.is_some() { Status::Null } else { Status::Unmeasured };
        assert_eq!((none.default, none.status, none.best), (0.0, status, None), "harm {which}");
    }
}

#[test]
fn a_flat_target_is_null() {
    let flat = chosen(&[point(0.5, 10), point(1.0, 10), point(2.0, 9)]);
    assert_eq!((flat.default, flat.status, flat.best), (0.0, Status::Null, Some(0.5)));
    // Within noise: three more of a hundred.
    let noise = chosen(&[point(1.0, 11)]);
    assert_eq!((noise.default, noise.status), (0.0, Status::Null));
    assert_eq!((chosen(&[point(1.0, 2)]).default, chosen(&[]).default), (0.0, 0.0));
}

#[test]
fn a_negative_scale_is_measured_and_not_chosen() {
    let found = chosen(&[point(-1.0, 95), point(1.0, 40)]);
    assert_eq!((found.default, found.safe), (1.0, Some([-1.0, 1.0])));
}

#[test]
fn what_is_safe_reaches_to_the_first_harm() {
    let costly = |mut p: Point| {
        p.cost = Some(Cost { ppl_ratio: 1.3, ppl_high: 1.4, ..FREE });
        p
    };
    let points = [
        point(1.0, 20),
        costly(point(2.0, 20)),
        point(3.0, 20),
        costly(point(-0.5, 20)),
        point(-1.0, 9),
    ];
    assert_eq!(chosen(&points).safe, Some([0.0, 1.0]));
    let mut unknown = point(1.0, 50);
    unknown.cost = None;
    assert_eq!(chosen(&[unknown]).safe, None);
}
