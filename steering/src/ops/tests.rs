//! The algebra of operations on one token, against the formulas written out in f64.

use super::rows::{dot, norm};
use super::{Act, Edited, Force, Order, Rescale, Unit};
use crate::direction::Direction;
use crate::error::Result;
use crate::file::card::{Operation, SiteCard};
use trimtab_runtime::site::Site;

const HERE: Site = Site::ResidPost(1);
const WIDTH: usize = 48;
const FULL: Force = Force(1.0);

// -> [WIDTH]
fn token(seed: f32) -> Vec<f32> {
    (0..WIDTH).map(|i| 3.0 * (i as f32 * 0.7 + seed).sin()).collect()
}

/// A dense unit row.
fn row() -> Direction {
    let raw: Vec<f32> = (0..WIDTH).map(|i| (i as f32 * 0.37 + 0.2).cos()).collect();
    Direction::normalised(HERE, &raw).unwrap().0
}

/// Two dense rows at right angles.
fn two_rows() -> Direction {
    let first = row();
    let raw: Vec<f32> = token(4.0);
    let along = dot(&raw, first.values());
    let rest = raw.iter().zip(first.values());
    let rest: Vec<f32> =
        rest.map(|(x, v)| (f64::from(*x) - along * f64::from(*v)) as f32).collect();
    let (second, _) = Direction::normalised(HERE, &rest).unwrap();
    let rows = [first.values(), second.values()].concat();
    Direction::new(HERE, 2, rows).unwrap()
}

fn entry() -> SiteCard {
    SiteCard { anchor: Some(-0.5), ..SiteCard::of(HERE, Some(2.5)) }
}

fn order(operation: Operation, scale: f32) -> Order {
    Order { operation, scale, unit: Unit::ClassGaps }
}

fn act(operation: Operation, scale: f32) -> Act {
    order(operation, scale).at("calm", &row(), &entry()).unwrap()
}

// x [WIDTH] -> [WIDTH]
fn applied(act: &Act, x: &[f32]) -> Vec<f32> {
    let mut x = x.to_vec();
    act.apply(&mut x, FULL, Rescale::None);
    x
}

fn coordinate(x: &[f32]) -> f64 {
    (dot(x, row().values()) + 0.5) / 2.5
}

fn close(a: &[f32], b: &[f32], tolerance: f32) {
    let apart = a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(apart <= tolerance, "{apart}");
}

fn clamp(min: Option<f32>, max: Option<f32>) -> Operation {
    Operation::Clamp { min, max }
}

#[test]
fn adding_moves_by_scale_times_magnitude() {
    let x = token(0.0);
    let moved = applied(&act(Operation::Add, 0.5), &x);
    assert!((coordinate(&moved) - coordinate(&x) - 0.5).abs() < 1e-6);
    let expected: Vec<f32> = x.iter().zip(row().values()).map(|(x, v)| x + 0.5 * 2.5 * v).collect();
    close(&moved, &expected, 1e-6);
    // Half the force is half the way.
    let mut half = x.clone();
    act(Operation::Add, 0.5).apply(&mut half, Force(0.5), Rescale::None);
    assert!((coordinate(&half) - coordinate(&x) - 0.25).abs() < 1e-6);
    // A force below f32 is none.
    let died = act(Operation::Add, 0.5).apply(&mut half, Force(1e-60), Rescale::None);
    assert_eq!(died, Edited::Kept);
}

#[test]
fn a_relative_scale_is_a_share_of_the_tokens_length() {
    let relative = Order { unit: Unit::StreamNorm, ..order(Operation::Add, 0.2) };
    let act = relative.at("calm", &row(), &entry()).unwrap();
    for seed in [0.0, 1.0] {
        let x = token(seed);
        let moved = applied(&act, &x);
        let difference: Vec<f32> = moved.iter().zip(&x).map(|(a, b)| a - b).collect();
        assert!((norm(&difference) / norm(&x) - 0.2).abs() < 1e-6);
        assert!(dot(&difference, row().values()) > 0.0);
    }
}

#[test]
fn projecting_twice_is_projecting_once() {
    let both = Order { ..order(Operation::Project, 1.0) };
    for (direction, rank) in [(row(), 1), (two_rows(), 2)] {
        let act = both.at("calm", &direction, &entry()).unwrap();
        let x = token(1.0);
        let once = applied(&act, &x);
        for v in direction.rows() {
            assert!(dot(&once, v).abs() < 1e-5 * norm(&x), "rank {rank}");
        }
        close(&applied(&act, &once), &once, 2e-6);
        assert!((norm(&once) - norm(&x)).abs() > 1e-3, "the token had no part to remove");
    }
}

#[test]
fn reflecting_twice_is_nothing() {
    let act = act(Operation::Project, 2.0);
    let x = token(2.0);
    let mirrored = applied(&act, &x);
    assert!((dot(&mirrored, row().values()) + dot(&x, row().values())).abs() < 1e-5);
    assert!((norm(&mirrored) - norm(&x)).abs() < 1e-5);
    close(&applied(&act, &mirrored), &x, 2e-6);
}

#[test]
fn each_row_of_a_projection_has_its_own_share() {
    let direction = two_rows();
    let card = SiteCard { row_scale: vec![1.0, 0.5], ..SiteCard::of(HERE, None) };
    let act = order(Operation::Project, 1.0).at("calm", &direction, &card).unwrap();
    let x = token(3.0);
    let rest = applied(&act, &x);
    let parts: Vec<(f64, f64)> = direction.rows().map(|v| (dot(&x, v), dot(&rest, v))).collect();
    assert!(parts[0].1.abs() < 1e-5 && parts[0].0.abs() > 0.1);
    assert!((parts[1].1 - 0.5 * parts[1].0).abs() < 1e-5 && parts[1].0.abs() > 0.1);
}

#[test]
fn inside_the_range_nothing_changes() {
    let x = token(0.5);
    let c = coordinate(&x) as f32;
    let act = act(clamp(Some(c - 0.1), Some(c + 0.1)), 1.0);
    let mut kept = x.clone();
    assert_eq!(act.apply(&mut kept, FULL, Rescale::KeepNorm), Edited::Kept);
    assert_eq!(kept, x);
}

#[test]
fn outside_the_range_the_coordinate_comes_to_its_end() {
    for (seed, min, max, expected) in [
        (0.5, Some(3.0), None, 3.0),
        (0.5, None, Some(-2.0), -2.0),
        (0.5, Some(3.0), Some(4.0), 3.0),
        (1.5, Some(0.25), Some(0.25), 0.25),
    ] {
        let x = token(seed);
        let moved = applied(&act(clamp(min, max), 1.0), &x);
        assert!((coordinate(&moved) - expected).abs() < 1e-4, "{min:?} {max:?}");
        // A share of the correction goes that share of the way.
        let part = applied(&act(clamp(min, max), 0.25), &x);
        let way = (coordinate(&part) - coordinate(&x)) / (expected - coordinate(&x));
        assert!((way - 0.25).abs() < 1e-4, "{way}");
    }
}

#[test]
fn turning_keeps_the_length_and_turns_by_the_angle() {
    let x = token(0.3);
    let angle = |x: &[f32]| (dot(x, row().values()) / norm(x)).acos().to_degrees();
    for (scale, degrees) in [(1.0, 20.0), (0.5, 30.0), (-1.0, 25.0), (2.0, 15.0)] {
        let turned = applied(&act(Operation::Rotate { degrees }, scale), &x);
        assert!((norm(&turned) / norm(&x) - 1.0).abs() < 1e-6);
        let expected = angle(&x) - f64::from(scale * degrees);
        assert!((angle(&turned) - expected).abs() < 1e-3, "{} {expected}", angle(&turned));
        let between = dot(&x, &turned) / (norm(&x) * norm(&turned));
        let found = between.acos().to_degrees();
        assert!((found - f64::from((scale * degrees).abs())).abs() < 1e-2, "{found}");
        let dose: Vec<f32> = turned.iter().zip(&x).map(|(a, b)| a - b).collect();
        let predicted = 2.0 * (f64::from((scale * degrees).abs()).to_radians() / 2.0).sin();
        assert!((norm(&dose) / norm(&x) - predicted).abs() < 1e-5);
    }
}

#[test]
fn a_token_on_the_direction_has_no_plane_to_turn_in() {
    let act = act(Operation::Rotate { degrees: 30.0 }, 1.0);
    for length in [4.0f32, -4.0, 0.0] {
        let mut x: Vec<f32> = row().values().iter().map(|v| v * length).collect();
        let before = x.clone();
        assert_eq!(act.apply(&mut x, FULL, Rescale::None), Edited::Kept);
        assert_eq!(x, before);
    }
}

#[test]
fn keep_norm_gives_the_length_back() {
    for operation in [Operation::Add, Operation::Project, clamp(Some(9.0), None)] {
        let mut x = token(0.1);
        let before = norm(&x);
        act(operation, 1.0).apply(&mut x, FULL, Rescale::KeepNorm);
        assert!((norm(&x) / before - 1.0).abs() < 1e-6, "{operation:?}");
        assert!((norm(&applied(&act(operation, 1.0), &token(0.1))) / before - 1.0).abs() > 1e-3);
    }
    // Nothing is left of a token that was all direction.
    let mut x = row().values().to_vec();
    let project = order(Operation::Project, 1.0).at("calm", &row(), &entry()).unwrap();
    project.apply(&mut x, FULL, Rescale::KeepNorm);
    assert!(x.iter().all(|x| x.is_finite()));
}

#[test]
fn numbers_an_operation_has_no_use_for_are_refused_by_name() {
    let refused = |order: Order| order.check().unwrap_err().to_string();
    let clamped = clamp(Some(0.0), None);
    let rotate = |degrees| Operation::Rotate { degrees };
    for (order, field) in [
        (order(Operation::Add, f32::NAN), "scale is NaN"),
        (order(clamped, 1.5), "scale is 1.5, expected 0 to 1"),
        (order(clamped, -0.5), "scale is -0.5"),
        (order(clamp(None, None), 1.0), "min and max are both missing"),
        (order(clamp(Some(2.0), Some(1.0)), 1.0), "min is 2, which is above max, 1"),
        (order(clamp(None, Some(f32::INFINITY)), 1.0), "max is inf"),
        (order(rotate(0.0), 1.0), "degrees is 0"),
        (order(rotate(181.0), 1.0), "degrees is 181"),
        (order(rotate(f32::NAN), 1.0), "degrees is NaN"),
        (Order { unit: Unit::StreamNorm, ..order(clamped, 1.0) }, "unit is the stream's norm"),
    ] {
        assert!(refused(order).starts_with(field), "{}", refused(order));
    }
    let at = |order: Order, card: &SiteCard| -> Result<Act> { order.at("calm", &row(), card) };
    let bare = SiteCard::of(HERE, Some(2.0));
    assert_eq!(at(order(clamped, 1.0), &bare).unwrap_err().code(), "anchor_missing");
    let none = SiteCard::of(HERE, None);
    assert_eq!(at(order(Operation::Add, 1.0), &none).unwrap_err().code(), "anchor_missing");
    let long = SiteCard::of(HERE, Some(1e9));
    assert_eq!(at(order(Operation::Add, f32::MAX), &long).unwrap_err().code(), "not_finite");
}
