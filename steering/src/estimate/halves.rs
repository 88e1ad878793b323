//! Whether two halves of the items give the same direction.

use super::algebra::cosine;
use super::classes::{Classes, Pairing};
use super::folds::folds;
use super::moments::{Means, Moments};
use crate::error::Result;
use std::slice::ChunksExact;

/// The cosine between the mean differences of two halves of the items; no group is in both. `None` if a half has no
/// item of a class or no difference.
// [n, width], [m, width] -> []
pub fn split_half(classes: &Classes<'_>) -> Option<f64> {
    let of_positives = folds(&classes.group_of_each(), 2).ok()?;
    let of_negatives = match classes.pairing {
        Pairing::Paired => of_positives.clone(),
        Pairing::Separate => folds(&(0..classes.negatives() as u64).collect::<Vec<_>>(), 2).ok()?,
    };
    let (positive, negative) = classes.rows();
    let difference = |half| {
        let positive = half_of(classes.width, positive.clone(), (&of_positives, half)).ok()?;
        let negative = half_of(classes.width, negative.clone(), (&of_negatives, half)).ok()?;
        Some(Means::of(&positive, &negative).ok()?.difference())
    };
    let cosine = cosine(&difference(0)?, &difference(1)?);
    (!cosine.is_nan()).then_some(cosine)
}

// [n, width], [n] -> Σ [width]
fn half_of(
    width: usize,
    rows: ChunksExact<'_, f32>,
    (of, half): (&[usize], usize),
) -> Result<Moments> {
    let mut moments = Moments::new(width);
    for (row, _) in rows.zip(of).filter(|(_, mine)| **mine == half) {
        moments.add(row)?;
    }
    Ok(moments)
}
