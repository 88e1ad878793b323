//! Logistic regression on pairs.
//!
//! The loss Σ log(1 + exp(−wᵀδ_i/σ)) + ‖w‖²/2C is that of an ordinary fit without intercept on (δ, +) and (−δ, −), and
//! also that of half of them: each δ once, every other one turned round with its label, so that both labels occur. The
//! set the probe sees has mean 0, so σ_j and the covariance of the write direction are about 0, too.

use crate::error::Result;
use crate::estimate::algebra::{eigen, not_solved, ridge_solve, sigmoid, softplus};
use crate::estimate::classes::Classes;
use crate::estimate::folds::{FOLDS, folds};
use crate::estimate::mean::Estimate;
use crate::estimate::moments::Means;
use linfa::DatasetBase;
use linfa::traits::Fit;
use linfa_logistic::LogisticRegression;
use ndarray::{Array1, Array2, ArrayView1, Axis};

/// The strengths C that cross-validation chooses from.
pub(crate) const STRENGTHS: [f64; 5] = [1e-3, 1e-2, 1e-1, 1.0, 1e1];
/// The gradient's length at which a fit ends.
pub(crate) const GRADIENT: f64 = 1e-8;
const NEWTON_STEPS: usize = 50;

/// Read w/σ with the C of the smallest held-out loss, write S_δ·(w/σ).
// [n, width], [n, width] -> [width], [width]
pub(crate) fn logistic(classes: &Classes<'_>, means: &Means) -> Result<Estimate> {
    let differences = classes.differences()?;
    let fold_of = folds(&classes.group_of_each(), FOLDS)?;
    let n = differences.nrows() as f64;
    let squares = differences.map(|x| x * x).sum_axis(Axis(0));
    // A coordinate in which no pair differs has weight 0 whatever it is divided by.
    let sigma = squares.map(|s| if *s > 0.0 { (s / n).sqrt() } else { 1.0 });
    let scaled = &differences / &sigma;
    let span = Span::of(&scaled)?;
    let strength = choose(&span.rows, &fold_of)?;
    let weights = span.back(&scaled, fit(&span.rows, strength)?);
    let read = weights / &sigma;
    let write = differences.t().dot(&differences.dot(&read));
    Estimate::along(write.to_vec(), Some(read.to_vec()), means)
}

/// Rows in coordinates of their own span. The penalty does not see a rotation, so the fit is the same and has as many
/// unknowns as rows.
struct Span {
    rows: Array2<f64>,
    /// Takes weights there to weights of the rows, `None` if the rows were left as they are.
    basis: Option<Array2<f64>>,
}

/// Below this share of the largest eigenvalue of XXᵀ a dimension is rounding.
const RANK: f64 = 1e-13;

impl Span {
    // [n, width] -> [n, rank], [n, rank]
    fn of(rows: &Array2<f64>) -> Result<Span> {
        let (n, width) = rows.dim();
        // A rotation of nearly full width costs more than it saves.
        if 2 * n >= width {
            return Ok(Span { rows: rows.clone(), basis: None });
        }
        let (values, vectors) = eigen(rows.dot(&rows.t()))?;
        let most = values.iter().copied().fold(0.0, f64::max);
        let kept: Vec<usize> =
            values.iter().enumerate().filter(|(_, v)| **v > RANK * most).map(|(i, _)| i).collect();
        let roots = values.select(Axis(0), &kept).map(|v| v.sqrt());
        let vectors = vectors.select(Axis(1), &kept);
        Ok(Span { rows: &vectors * &roots, basis: Some(&vectors / &roots) })
    }

    // [n, width], [rank] -> [width]
    fn back(&self, rows: &Array2<f64>, weights: Array1<f64>) -> Array1<f64> {
        match &self.basis {
            None => weights,
            Some(basis) => rows.t().dot(&basis.dot(&weights)),
        }
    }
}

/// The C with the smallest held-out loss; of equals the smaller.
// [n, width], [n] -> []
fn choose(rows: &Array2<f64>, fold_of: &[usize]) -> Result<f64> {
    let mut losses = [0.0; STRENGTHS.len()];
    for fold in 0..FOLDS {
        let (held, kept): (Vec<usize>, Vec<usize>) =
            (0..fold_of.len()).partition(|i| fold_of.get(*i) == Some(&fold));
        let (train, test) = (rows.select(Axis(0), &kept), rows.select(Axis(0), &held));
        let mut weights = Array1::zeros(rows.ncols());
        for (loss, strength) in losses.iter_mut().zip(STRENGTHS) {
            weights = quasi_newton(&train, (strength, GRADIENT.sqrt()), &weights)
                .map_or_else(|| fit(&train, strength), Ok)?;
            *loss += test.dot(&weights).iter().map(|margin| softplus(-margin)).sum::<f64>();
        }
    }
    let mut best = (f64::INFINITY, STRENGTHS[0]);
    for (loss, strength) in losses.into_iter().zip(STRENGTHS) {
        if loss < best.0 {
            best = (loss, strength);
        }
    }
    Ok(best.1)
}

/// The minimum of the paired loss, its gradient at most [`GRADIENT`] long.
// [n, width] -> [width]
pub(crate) fn fit(rows: &Array2<f64>, strength: f64) -> Result<Array1<f64>> {
    let start = Array1::zeros(rows.ncols());
    let near = quasi_newton(rows, (strength, GRADIENT), &start);
    newton(rows, strength, near.unwrap_or(start))
}

/// linfa's L-BFGS. It ends when the loss stands still in its last bit, where the gradient may still be above the
/// bound; `None` if its line search finds nothing better. Newton's steps go on from either.
// [n, width], [], [width] -> [width]
pub(crate) fn quasi_newton(
    rows: &Array2<f64>,
    (strength, bound): (f64, f64),
    start: &Array1<f64>,
) -> Option<Array1<f64>> {
    let labels: Array1<bool> = (0..rows.nrows()).map(|i| i % 2 == 0).collect();
    let mut signed = rows.clone();
    signed.rows_mut().into_iter().skip(1).step_by(2).for_each(|mut row| row *= -1.0);
    let fit = LogisticRegression::default()
        .alpha(strength.recip())
        .with_intercept(false)
        .max_iterations(200)
        .gradient_tolerance(bound)
        .initial_params(start.clone())
        .fit(&DatasetBase::new(signed, labels));
    // The failure carries nothing that Newton's method would not find itself.
    let model = fit.ok()?;
    let turn = if model.labels().pos.class { 1.0 } else { -1.0 };
    Some(model.params() * turn)
}

/// Damped Newton steps until the gradient is within its bound, and one more, which squares what is left of the error.
// [n, width], [], [width] -> [width]
fn newton(rows: &Array2<f64>, strength: f64, mut weights: Array1<f64>) -> Result<Array1<f64>> {
    for _ in 0..NEWTON_STEPS {
        let slope = gradient(rows, strength, weights.view());
        let step = newton_step(rows, strength, &weights, &slope)?;
        if length(&slope) <= GRADIENT {
            return Ok(weights - step);
        }
        // Near the minimum the loss moves less than it rounds, so a step may raise it by that much.
        let most = loss(rows, strength, weights.view()) * (1.0 + 1e-12);
        let mut share = 1.0;
        while share > 1e-6 && loss(rows, strength, (&weights - &(&step * share)).view()) > most {
            share /= 2.0;
        }
        weights = weights - step * share;
    }
    let left = length(&gradient(rows, strength, weights.view()));
    if left <= GRADIENT {
        return Ok(weights);
    }
    Err(not_solved(
        "logistic probe",
        format!("its gradient is {left}, expected at most {GRADIENT}"),
    ))
}

// [n, width], [], [width], [width] -> [width]
fn newton_step(
    rows: &Array2<f64>,
    strength: f64,
    weights: &Array1<f64>,
    slope: &Array1<f64>,
) -> Result<Array1<f64>> {
    let doubt = rows.dot(weights).map(|m| (sigmoid(*m) * sigmoid(-m)).sqrt());
    ridge_solve(&(rows * &doubt.insert_axis(Axis(1))), strength.recip(), slope)
}

// [n, width], [], [width] -> []
pub(crate) fn loss(rows: &Array2<f64>, strength: f64, weights: ArrayView1<'_, f64>) -> f64 {
    let fit: f64 = rows.dot(&weights).iter().map(|margin| softplus(-margin)).sum();
    fit + weights.dot(&weights) / (2.0 * strength)
}

/// The gradient of the paired loss.
// [n, width], [], [width] -> [width]
pub(crate) fn gradient(
    rows: &Array2<f64>,
    strength: f64,
    weights: ArrayView1<'_, f64>,
) -> Array1<f64> {
    let push = rows.dot(&weights).map(|margin| -sigmoid(-margin));
    rows.t().dot(&push) + &(&weights / strength)
}

// [width] -> []
pub(crate) fn length(a: &Array1<f64>) -> f64 {
    a.dot(a).sqrt()
}
