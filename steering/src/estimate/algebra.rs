//! Vectors in f64.

/// The inner product, summed from the first coordinate on.
// [width], [width] -> []
pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

/// Length.
// [width] -> []
pub(crate) fn norm(a: &[f64]) -> f64 {
    dot(a, a).sqrt()
}

/// The vector of length 1, or `None` for a vector without a direction.
// [width] -> [width]
pub(crate) fn unit(mut a: Vec<f64>) -> Option<Vec<f64>> {
    let length = norm(&a);
    if length == 0.0 || !length.is_finite() {
        return None;
    }
    a.iter_mut().for_each(|x| *x /= length);
    Some(a)
}

/// Cosine of the angle between two vectors; NaN if one of them has no length.
// [width], [width] -> []
pub fn cosine(a: &[f64], b: &[f64]) -> f64 {
    dot(a, b) / (norm(a) * norm(b))
}

/// Projection of a state on a direction.
// [width], [width] -> []
pub fn project(state: &[f32], direction: &[f64]) -> f64 {
    state.iter().zip(direction).map(|(x, u)| f64::from(*x) * u).sum()
}
