//! Projections are what their formulas say, and subspaces do not depend on how the data lies.

use super::{Draws, HERE, LATER, by, composed, narrow, part, vector, with};
use crate::compose::algebra::{Basis, cosine, dot, leading, norm, wide};
use crate::compose::separate::spread;
use crate::compose::{Covariance, Mode};
use linfa_linalg::eigh::{EigSort, Eigh};
use ndarray::Array2;
use proptest::prelude::*;

const WIDTH: usize = 24;

fn basis(rows: &[Vec<f64>]) -> Basis {
    let mut basis = Basis::default();
    rows.iter().for_each(|row| basis.extend(row));
    basis
}

/// A covariance with a spectrum that decays, in a random frame.
fn stretched(draws: &mut Draws, shrink: f64) -> (Covariance, Array2<f64>) {
    let frame = basis(&(0..WIDTH).map(|_| draws.row(WIDTH)).collect::<Vec<_>>());
    let mut matrix = Array2::<f64>::zeros((WIDTH, WIDTH));
    for (at, row) in frame.rows().iter().enumerate() {
        let energy = 100.0 / (1.0 + at as f64).powi(2);
        for i in 0..WIDTH {
            for j in 0..WIDTH {
                matrix[[i, j]] += energy * row[i] * row[j];
            }
        }
    }
    let matrix = 0.5 * (&matrix + &matrix.t());
    let values: Vec<f64> = matrix.iter().copied().collect();
    let mut shrunk = matrix.mapv(|v| (1.0 - shrink) * v);
    shrunk.diag_mut().mapv_inplace(|v| v + shrink * matrix.diag().sum() / WIDTH as f64);
    (Covariance::new(&values, 10 * WIDTH, shrink).unwrap(), shrunk)
}

/// The largest distance of a unit vector of one span from the other.
fn apart(a: &[Vec<f64>], b: &[Vec<f64>]) -> f64 {
    let other = basis(b);
    a.iter().map(|row| norm(&other.outside(row)) / norm(row)).fold(0.0, f64::max)
}

proptest! {
    #[test]
    fn what_is_projected_is_at_right_angles_and_stays(seed: u64, rank in 1usize..6) {
        let mut draws = Draws(seed);
        let rows: Vec<Vec<f64>> = (0..rank).map(|_| draws.row(WIDTH)).collect();
        let (basis, v) = (basis(&rows), draws.row(WIDTH));
        let once = basis.outside(&v);
        for row in &rows {
            prop_assert!(cosine(row, &once).abs() < 1e-12);
        }
        let twice = basis.outside(&once);
        let change: Vec<f64> = once.iter().zip(&twice).map(|(a, b)| a - b).collect();
        prop_assert!(norm(&change) < 1e-12 * norm(&v));
        // Vectors of the span add nothing.
        let mut same = basis.clone();
        same.extend(&rows[0].iter().map(|x| -3.0 * x).collect::<Vec<_>>());
        prop_assert_eq!(same.rank(), rank);
    }

    #[test]
    fn whitened_readouts_do_not_see_what_sigma_leaves(seed: u64, rank in 1usize..6) {
        let mut draws = Draws(seed);
        let (sigma, matrix) = stretched(&mut draws, 0.1);
        let basis = basis(&(0..rank).map(|_| draws.row(WIDTH)).collect::<Vec<_>>());
        let v = draws.row(WIDTH);
        let rest = sigma.outside(&basis, &v).unwrap();
        // Against the inverse by eigenvectors, a routine that is not used above.
        let (values, vectors) = matrix.eigh().unwrap();
        let projected = vectors.t().dot(&ndarray::Array1::from_vec(rest.clone()));
        let whitened = vectors.dot(&(&projected / &values)).to_vec();
        for q in basis.rows() {
            prop_assert!(dot(q, &whitened).abs() < 1e-8, "{}", dot(q, &whitened));
        }
        let again = sigma.outside(&basis, &rest).unwrap();
        let change: Vec<f64> = rest.iter().zip(&again).map(|(a, b)| a - b).collect();
        prop_assert!(norm(&change) < 1e-9 * norm(&v));
    }

    #[test]
    fn the_identity_makes_sigma_the_subspace(seed: u64, rank in 1usize..6) {
        let mut draws = Draws(seed);
        let identity: Vec<f64> = Array2::<f64>::eye(WIDTH).iter().copied().collect();
        let sigma = Covariance::new(&identity, 10 * WIDTH, 0.1).unwrap();
        let basis = basis(&(0..rank).map(|_| draws.row(WIDTH)).collect::<Vec<_>>());
        let v = draws.row(WIDTH);
        let (one, other) = (sigma.outside(&basis, &v).unwrap(), basis.outside(&v));
        let change: Vec<f64> = one.iter().zip(&other).map(|(a, b)| a - b).collect();
        prop_assert!(norm(&change) < 1e-12 * norm(&v));
    }

    #[test]
    fn a_subspace_does_not_depend_on_signs_or_order(seed: u64) {
        let mut draws = Draws(seed);
        let v = draws.row(WIDTH);
        let rows = decaying(&mut draws, 40);
        let mut turned: Vec<Vec<f64>> = rows.iter().rev().cloned().collect();
        turned.iter_mut().step_by(3).for_each(|row| row.iter_mut().for_each(|x| *x = -*x));
        let flat = |rows: &[Vec<f64>]| rows.iter().flat_map(|r| narrow(r)).collect::<Vec<f32>>();
        let (one, other) = (spread(&v, &flat(&rows), 3), spread(&v, &flat(&turned), 3));
        prop_assert!(apart(&one.unwrap(), &other.unwrap()) < 1e-6);
    }
}

/// Rows whose energy falls from axis to axis.
fn decaying(draws: &mut Draws, count: usize) -> Vec<Vec<f64>> {
    let fall = |(at, x): (usize, f64)| x * 0.6f64.powi(at as i32);
    (0..count).map(|_| draws.row(WIDTH).into_iter().enumerate().map(fall).collect()).collect()
}

#[test]
fn two_routines_find_the_same_directions_and_neither_invents_any() {
    let mut draws = Draws(7);
    for count in [5, 40] {
        let rows = decaying(&mut draws, count);
        let found = leading(&rows, 3).unwrap();
        let flat: Vec<f64> = rows.iter().flatten().copied().collect();
        let matrix = Array2::from_shape_vec((count, WIDTH), flat).unwrap();
        let (_, vectors) = matrix.t().dot(&matrix).eigh().unwrap().sort_eig_desc();
        let expected: Vec<Vec<f64>> =
            vectors.columns().into_iter().take(3).map(|c| c.to_vec()).collect();
        assert!(apart(&found, &expected) < 1e-6);
        // By energy: the first direction alone is the first of both.
        assert!(apart(&found[..1], &expected[..1]) < 1e-6);
    }
    // Rows of rank 2 determine two directions; the null space is left alone.
    let two = [draws.row(WIDTH), draws.row(WIDTH)];
    let rows: Vec<Vec<f64>> = (0..10).map(|at| two[at % 2].clone()).collect();
    assert_eq!(leading(&rows, 5).unwrap().len(), 2);
    assert_eq!(leading(&[vec![0.0; WIDTH]], 5).unwrap().len(), 0);
    assert_eq!(leading(&[], 5).unwrap().len(), 0);
}

#[test]
fn the_stored_rows_do_not_touch_the_protected_subspace() {
    let mut draws = Draws(3);
    let (first, second) = (draws.row(WIDTH), draws.row(WIDTH));
    let rows = decaying(&mut draws, 30);
    let one = vector("one", &[(HERE, narrow(&first)), (LATER, narrow(&first))]);
    let two = vector("two", &[(HERE, narrow(&second)), (LATER, narrow(&second))]);
    let parts = [with(part(&one, 0.1), HERE, &rows), part(&two, 0.1)];
    let composed = composed(&parts, &by(Mode::Subspace)).unwrap();
    let mut protected = basis(std::slice::from_ref(&first));
    let flat: Vec<f32> = rows.iter().flat_map(|r| narrow(r)).collect();
    spread(&first, &flat, 3).unwrap().iter().for_each(|row| protected.extend(row));
    let push = composed.pushes().find(|(site, ..)| *site == HERE).unwrap().2;
    // What is added beyond the first vector's own push is the second's rest.
    let rest: Vec<f64> = wide(push).iter().zip(&first).map(|(u, v)| u - 0.1 * v).collect();
    for q in protected.rows() {
        assert!(dot(q, &rest).abs() < 1e-6, "{}", dot(q, &rest));
    }
    assert_eq!(composed.report().groups[0].rank, 4);
    // Without differences at the other site only the direction is protected, and that is told.
    assert_eq!(composed.report().groups[1].rank, 1);
    assert_eq!(composed.report().findings[0].code(), "mean_only");
}
