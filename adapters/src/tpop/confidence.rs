//! How much has been seen of a direction: V, its inverse and the bonus.
//!
//! `V = λI + Σ ω ggᵀ` over judged pairs, `g` the difference of both arms' gradients, and `u = ‖g‖_{V⁻¹}`: what has been
//! compared often has a small bonus. The inverse follows by Sherman and Morrison's formula, `ln det V` by the matrix
//! determinant lemma; every 64 updates both are computed anew from V. The authors' code lets the matrix itself grow
//! where its inverse belongs, so that its bonus rises with repetition.

use super::error::TpopError;
use super::matrix::{add_outer, cholesky, dot, inverse, log_determinant};
use super::params::ConfidenceKind;
use ndarray::{Array1, Array2, ArrayView1};

/// Updates between two inversions.
const REBUILD: usize = 64;
const NAME: &str = "confidence matrix";

/// V with what is computed from it.
#[derive(Debug, Clone, PartialEq)]
pub struct Confidence {
    form: Form,
    log_determinant: f64,
}

#[derive(Debug, Clone, PartialEq)]
enum Form {
    Exact { matrix: Array2<f64>, inverse: Array2<f64>, updates: usize },
    Diag(Vec<f64>),
}

impl Confidence {
    /// `V = λI` over gradients of `width` values.
    pub fn new(kind: ConfidenceKind, width: usize, lambda: f64) -> Confidence {
        let form = match kind {
            ConfidenceKind::Exact => Form::Exact {
                matrix: Array2::eye(width) * lambda,
                inverse: Array2::eye(width) / lambda,
                updates: 0,
            },
            ConfidenceKind::Diag => Form::Diag(vec![lambda; width]),
        };
        Confidence { form, log_determinant: width as f64 * lambda.ln() }
    }

    /// `V ← V + ω ggᵀ`, or its diagonal.
    ///
    /// # Errors
    ///
    /// [`TpopError::NotPositive`] if V or its inverse is not positive definite any more; it must be made anew from the
    /// pairs then.
    // [width] -> [width, width]
    pub fn observe(&mut self, g: &[f64], weight: f64) -> Result<(), TpopError> {
        let (found, expected) = (g.len(), self.width());
        if found != expected {
            return Err(TpopError::Width { what: "gradient", found, expected });
        }
        match &mut self.form {
            Form::Diag(values) => {
                for (value, g) in values.iter_mut().zip(g) {
                    let before = *value;
                    *value += weight * g * g;
                    self.log_determinant += (*value / before).ln();
                }
            }
            Form::Exact { matrix, inverse, updates } => {
                let g = ArrayView1::from(g);
                let solved: Array1<f64> = inverse.dot(&g);
                let growth = 1.0 + weight * solved.dot(&g);
                // V grows, so its determinant cannot shrink. A NaN fails this, too.
                if !(growth >= 1.0 && growth.is_finite()) {
                    return Err(TpopError::NotPositive { what: NAME });
                }
                add_outer(inverse, &solved.view(), -weight / growth);
                add_outer(matrix, &g, weight);
                self.log_determinant += growth.ln();
                *updates += 1;
                if *updates == REBUILD {
                    return self.rebuild();
                }
            }
        }
        if self.log_determinant.is_finite() {
            return Ok(());
        }
        Err(TpopError::NotPositive { what: NAME })
    }

    /// Computes the inverse and the determinant from V.
    fn rebuild(&mut self) -> Result<(), TpopError> {
        if let Form::Exact { matrix, inverse: kept, updates } = &mut self.form {
            self.log_determinant = log_determinant(&cholesky(matrix, NAME)?);
            *kept = inverse(matrix, NAME)?;
            *updates = 0;
        }
        Ok(())
    }

    /// `u = √(gᵀV⁻¹g)`. Asking changes nothing.
    // [width] -> []
    pub fn bonus(&self, g: &[f64]) -> f64 {
        let square: f64 = match &self.form {
            Form::Diag(values) => values.iter().zip(g).map(|(v, g)| g * g / v).sum(),
            Form::Exact { inverse, .. } => quadratic(inverse, g),
        };
        square.max(0.0).sqrt()
    }

    /// `√(gᵀVg/λ²)`: the bonus of the authors' code, whose matrix grows; a control.
    // [width] -> []
    pub(super) fn growing_bonus(&self, g: &[f64], lambda: f64) -> f64 {
        let square: f64 = match &self.form {
            Form::Diag(values) => values.iter().zip(g).map(|(v, g)| g * g * v).sum(),
            Form::Exact { matrix, .. } => quadratic(matrix, g),
        };
        square.max(0.0).sqrt() / lambda
    }

    /// ln det V; of `diag`, of the diagonal.
    pub fn log_determinant(&self) -> f64 {
        self.log_determinant
    }

    /// V row by row, or its diagonal.
    pub fn values(&self) -> Vec<f64> {
        match &self.form {
            Form::Diag(values) => values.clone(),
            Form::Exact { matrix, .. } => matrix.iter().copied().collect(),
        }
    }

    /// V⁻¹ row by row, or its diagonal.
    pub fn inverse(&self) -> Vec<f64> {
        match &self.form {
            Form::Diag(values) => values.iter().map(|v| 1.0 / v).collect(),
            Form::Exact { inverse, .. } => inverse.iter().copied().collect(),
        }
    }

    /// Values of a gradient.
    pub fn width(&self) -> usize {
        match &self.form {
            Form::Diag(values) => values.len(),
            Form::Exact { matrix, .. } => matrix.nrows(),
        }
    }
}

// [width, width], [width] -> []
fn quadratic(matrix: &Array2<f64>, g: &[f64]) -> f64 {
    dot(&matrix.dot(&ArrayView1::from(g)).to_vec(), g)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tpop::stream::Stream;

    fn differences(n: usize, width: usize) -> Vec<Vec<f64>> {
        let mut stream = Stream::of(9, "differences", 0);
        (0..n).map(|_| stream.normals(width)).collect()
    }

    #[test]
    fn m02_repetition_lowers_the_bonus_and_raises_no_other() {
        for kind in [ConfidenceKind::Exact, ConfidenceKind::Diag] {
            let mut confidence = Confidence::new(kind, 12, 1.0);
            let all = differences(20, 12);
            let (repeated, others) = all.split_first().unwrap();
            for _ in 0..50 {
                let before = confidence.clone();
                confidence.observe(repeated, 1.0).unwrap();
                assert!(confidence.bonus(repeated) < before.bonus(repeated));
                for other in others {
                    assert!(confidence.bonus(other) <= before.bonus(other) + 1e-12);
                }
            }
        }
    }

    #[test]
    fn m02_the_growing_matrix_fails_the_test_of_the_bonus() {
        let mut confidence = Confidence::new(ConfidenceKind::Exact, 12, 1.0);
        let g = differences(1, 12).remove(0);
        let before = confidence.growing_bonus(&g, 1.0);
        confidence.observe(&g, 1.0).unwrap();
        assert!(confidence.growing_bonus(&g, 1.0) > before);
    }

    #[test]
    fn m04_the_inverse_and_the_determinant_are_those_of_v() {
        let width = 65;
        let mut confidence = Confidence::new(ConfidenceKind::Exact, width, 1.0);
        for g in differences(1000, width) {
            confidence.observe(&g, 1.0).unwrap();
        }
        let matrix = Array2::from_shape_vec((width, width), confidence.values()).unwrap();
        let direct = inverse(&matrix, NAME).unwrap();
        for (found, expected) in confidence.inverse().iter().zip(&direct) {
            assert!((found - expected).abs() <= 1e-6, "{found} for {expected}");
        }
        let expected = log_determinant(&cholesky(&matrix, NAME).unwrap());
        let found = confidence.log_determinant();
        assert!((found - expected).abs() <= 1e-9 * expected.abs(), "{found} for {expected}");
        // ln det V = d ln λ + Σ ln(1 + u²), each u before its update.
        let mut lemma = Confidence::new(ConfidenceKind::Exact, width, 1.0);
        let mut sum = 0.0;
        for g in differences(1000, width) {
            sum += (1.0 + lemma.bonus(&g).powi(2)).ln();
            lemma.observe(&g, 1.0).unwrap();
        }
        assert!((sum - expected).abs() <= 1e-8 * expected.abs(), "{sum} for {expected}");
    }

    #[test]
    fn m04_weights_count_and_v_is_by_hand() {
        let mut exact = Confidence::new(ConfidenceKind::Exact, 2, 2.0);
        exact.observe(&[1.0, 2.0], 0.5).unwrap();
        assert_eq!(exact.values(), [2.5, 1.0, 1.0, 4.0]);
        assert!((exact.log_determinant() - 9f64.ln()).abs() < 1e-12);
        let mut diag = Confidence::new(ConfidenceKind::Diag, 2, 2.0);
        diag.observe(&[1.0, 2.0], 0.5).unwrap();
        assert_eq!(diag.values(), [2.5, 4.0]);
        assert!((diag.log_determinant() - 10f64.ln()).abs() < 1e-12);
        assert!((diag.bonus(&[1.0, 2.0]) - (1.0f64 / 2.5 + 1.0).sqrt()).abs() < 1e-12);
    }

    #[test]
    fn what_is_not_positive_definite_is_noticed() {
        for kind in [ConfidenceKind::Exact, ConfidenceKind::Diag] {
            let mut confidence = Confidence::new(kind, 2, 1.0);
            for bad in [[f64::NAN, 0.0], [f64::INFINITY, 1.0]] {
                let found = confidence.clone().observe(&bad, 1.0);
                assert_eq!(found, Err(TpopError::NotPositive { what: NAME }), "{bad:?}");
            }
            assert!(confidence.observe(&[2.0, 0.0], -1.0).is_err());
            assert!(confidence.observe(&[1.0], 1.0).is_err());
        }
    }
}
