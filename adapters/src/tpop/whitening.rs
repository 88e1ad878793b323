//! A frozen mean and a whitening projection, fitted once on neutral vectors.
//!
//! `y = Λ^(−½)Uᵀ(x − μ)` with the largest eigenvectors U and eigenvalues Λ of the covariance: every coordinate of `y` has
//! variance 1 on what it was fitted on, so one ridge λ means the same in every direction.

use super::bytes::{Reader, Writer};
use super::error::TpopError;
use linfa_linalg::eigh::EighInto;
use ndarray::{Array2, ArrayView1};

/// Below this share of the largest eigenvalue a direction is rounding.
const LEAST_SHARE: f64 = 1e-10;

/// A mean and a projection to fewer values of variance 1.
#[derive(Debug, Clone, PartialEq)]
pub struct Whitening {
    mean: Vec<f32>,
    /// `[features, width]`, one row behind the other.
    projection: Vec<f32>,
    features: usize,
}

impl Whitening {
    /// Fits it on rows of `width` values, one behind the other.
    ///
    /// # Errors
    ///
    /// Rows of another width or with numbers that are not finite; rows that vary in fewer than `features` directions.
    // rows [n, width] -> mean [width], projection [features, width]
    pub fn fit(rows: &[f32], width: usize, features: usize) -> Result<Whitening, TpopError> {
        let n = check(rows, width, features)?;
        let mut mean = vec![0.0; width];
        for row in rows.chunks_exact(width) {
            mean.iter_mut().zip(row).for_each(|(m, x)| *m += f64::from(*x) / n as f64);
        }
        let each = rows.chunks_exact(width).flat_map(|row| row.iter().zip(&mean));
        let about: Vec<f64> = each.map(|(x, m)| f64::from(*x) - m).collect();
        let about = Array2::from_shape_vec((n, width), about).map_err(|_| TpopError::Width {
            what: "neutral rows",
            found: rows.len(),
            expected: n * width,
        })?;
        let projection = components(&about, features)?;
        Ok(Whitening { mean: narrow(&mean), projection, features })
    }

    /// Values of a vector that goes in.
    pub fn width(&self) -> usize {
        self.mean.len()
    }

    /// Values of a vector that comes out.
    pub fn features(&self) -> usize {
        self.features
    }

    /// μ, `[width]`.
    pub fn mean(&self) -> &[f32] {
        &self.mean
    }

    /// `Λ^(−½)Uᵀ`, `[features, width]`, one row behind the other.
    pub fn projection(&self) -> &[f32] {
        &self.projection
    }

    /// `Λ^(−½)Uᵀ(x − μ)`, summed in f64.
    // [width] -> [features]
    pub fn apply(&self, vector: &[f64]) -> Result<Vec<f64>, TpopError> {
        let (found, expected) = (vector.len(), self.width());
        if found != expected {
            return Err(TpopError::Width { what: "vector to project", found, expected });
        }
        let about: Vec<f64> =
            vector.iter().zip(&self.mean).map(|(x, m)| x - f64::from(*m)).collect();
        let onto = |row: &[f32]| row.iter().zip(&about).map(|(p, x)| f64::from(*p) * x).sum();
        Ok(self.projection.chunks_exact(expected.max(1)).map(onto).collect())
    }

    /// `UΛ^(−½)θ`: what a weight per feature is before the projection.
    // [features] -> [width]
    pub fn apply_transposed(&self, weights: &[f64]) -> Result<Vec<f64>, TpopError> {
        let (found, expected) = (weights.len(), self.features);
        if found != expected {
            return Err(TpopError::Width { what: "weights of features", found, expected });
        }
        let mut back = vec![0.0; self.width()];
        for (row, weight) in self.projection.chunks_exact(self.width().max(1)).zip(weights) {
            back.iter_mut().zip(row).for_each(|(b, p)| *b += weight * f64::from(*p));
        }
        Ok(back)
    }

    pub(super) fn write(&self, writer: &mut Writer) {
        writer.number(self.features as u64);
        writer.singles(&self.mean);
        writer.singles(&self.projection);
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Whitening, TpopError> {
        let features = reader.number()? as usize;
        let (mean, projection) = (reader.singles()?, reader.singles()?);
        let is_whole = mean.len().checked_mul(features) == Some(projection.len());
        let is_finite = mean.iter().chain(&projection).all(|x| x.is_finite());
        if !is_whole || !is_finite || features == 0 || mean.is_empty() {
            return Err(reader.refuse("its projection has another shape or is not finite"));
        }
        Ok(Whitening { mean, projection, features })
    }
}

/// How many rows there are.
fn check(rows: &[f32], width: usize, features: usize) -> Result<usize, TpopError> {
    if width == 0 || !rows.len().is_multiple_of(width) {
        return Err(TpopError::Width { what: "neutral rows", found: rows.len(), expected: width });
    }
    if rows.iter().any(|x| !x.is_finite()) {
        return Err(TpopError::NotFinite { what: "neutral row" });
    }
    if features == 0 || features > width {
        return Err(TpopError::Width { what: "feature vector", found: features, expected: width });
    }
    let (n, least) = (rows.len() / width, features + 1);
    if n < least {
        return Err(TpopError::TooFew { what: "neutral rows", found: n, least });
    }
    Ok(n)
}

/// The largest components over their standard deviations, each with its largest entry positive. With fewer rows than
/// columns they come from the smaller XXᵀ.
// [n, width] -> [features, width]
fn components(about: &Array2<f64>, features: usize) -> Result<Vec<f32>, TpopError> {
    let (n, width) = about.dim();
    let is_flat = n < width;
    let products = if is_flat { about.dot(&about.t()) } else { about.t().dot(about) };
    let (values, vectors) = products.eigh_into().map_err(|error| TpopError::NotSolved {
        what: "covariance of neutral rows",
        reason: error.to_string(),
    })?;
    let mut order: Vec<(f64, usize)> = values.iter().copied().zip(0..).collect();
    order.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    let most = order.first().map_or(0.0, |(value, _)| *value);
    let found = order.iter().filter(|(value, _)| *value > LEAST_SHARE * most).count();
    if found < features {
        let what = "directions in which neutral rows vary";
        return Err(TpopError::TooFew { what, found, least: features });
    }
    let mut rows = Vec::with_capacity(features * width);
    for (value, at) in order.into_iter().take(features) {
        let vector = vectors.column(at);
        let unit = if is_flat { about.t().dot(&vector) / value.sqrt() } else { vector.to_owned() };
        let deviation = (value / (n - 1) as f64).sqrt();
        rows.extend(turned(unit.view()).iter().map(|x| (x / deviation) as f32));
    }
    Ok(rows)
}

/// The same with its largest entry positive: an eigenvector has no sign of its own.
// [width] -> [width]
fn turned(vector: ArrayView1<'_, f64>) -> Vec<f64> {
    let largest = vector.iter().fold(0f64, |most, x| if x.abs() > most.abs() { *x } else { most });
    let sign = if largest < 0.0 { -1.0 } else { 1.0 };
    vector.iter().map(|x| sign * x).collect()
}

// [n] -> [n]
fn narrow(values: &[f64]) -> Vec<f32> {
    values.iter().map(|x| *x as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tpop::stream::Stream;

    /// Correlated rows about a mean of 3.
    fn rows(n: usize, width: usize) -> Vec<f32> {
        let mut stream = Stream::of(5, "rows", 0);
        let row = |_| {
            let z = stream.normals(width);
            let mix = |at: usize| z.iter().take(at + 1).sum::<f64>() * (1.0 + at as f64) + 3.0;
            (0..width).map(mix).map(|x| x as f32).collect::<Vec<_>>()
        };
        (0..n).flat_map(row).collect()
    }

    #[test]
    fn features_have_mean_0_and_variance_1() {
        // More rows than columns, and fewer.
        for (n, width, features) in [(400, 12, 8), (15, 40, 9)] {
            let rows = rows(n, width);
            let whitening = Whitening::fit(&rows, width, features).unwrap();
            let wide = |row: &[f32]| row.iter().copied().map(f64::from).collect::<Vec<_>>();
            let out = rows.chunks(width).map(|row| whitening.apply(&wide(row)).unwrap());
            let out: Vec<Vec<f64>> = out.collect();
            for i in 0..features {
                for j in 0..=i {
                    let about = out.iter().map(|y| y[i] * y[j]).sum::<f64>() / (n - 1) as f64;
                    let expected = f64::from(u8::from(i == j));
                    assert!((about - expected).abs() < 1e-3, "{n} rows, {i} {j}: {about}");
                }
                assert!(out.iter().map(|y| y[i]).sum::<f64>().abs() / (n as f64) < 1e-4);
            }
        }
    }

    #[test]
    fn the_transposed_projection_is_the_adjoint() {
        let whitening = Whitening::fit(&rows(60, 12), 12, 8).unwrap();
        let (x, theta) = (vec![0.3; 12], vec![0.7; 8]);
        let mean: Vec<f64> = whitening.mean().iter().map(|m| f64::from(*m)).collect();
        let about: Vec<f64> = x.iter().zip(&mean).map(|(x, m)| x + m).collect();
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let forth = dot(&whitening.apply(&about).unwrap(), &theta);
        let back = dot(&x, &whitening.apply_transposed(&theta).unwrap());
        assert!((forth - back).abs() < 1e-6, "{forth} {back}");
    }

    #[test]
    fn rows_that_cannot_be_whitened_are_refused() {
        assert!(matches!(Whitening::fit(&rows(8, 12), 12, 8), Err(TpopError::TooFew { .. })));
        let flat = vec![1.0; 12 * 30];
        assert!(matches!(Whitening::fit(&flat, 12, 8), Err(TpopError::TooFew { .. })));
        let mut bad = rows(30, 12);
        bad[7] = f32::NAN;
        assert!(matches!(Whitening::fit(&bad, 12, 8), Err(TpopError::NotFinite { .. })));
        assert!(matches!(Whitening::fit(&bad[1..], 12, 8), Err(TpopError::Width { .. })));
        assert!(matches!(Whitening::fit(&rows(30, 12), 12, 13), Err(TpopError::Width { .. })));
    }
}
