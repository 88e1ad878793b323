//! One direction at one site: rows of length 1, and nothing about strength.
//!
//! Strength is metadata (`magnitude`, scale): a row that carried it would mean something else in every file.

use crate::error::{Error, Result};
use trimtab_runtime::site::Site;

/// How far a row's length may be from 1, and the product of two rows of a projection from 0.
pub const UNIT_TOLERANCE: f64 = 1e-3;
/// The most rows a direction may have.
pub const RANK_LIMIT: usize = 64;
/// The widest stream a direction may be for.
pub const WIDTH_LIMIT: usize = 65_536;

/// Unit rows at one site, `[rank, d_model]`. Finite and of length 1 by construction.
#[derive(Debug, Clone, PartialEq)]
pub struct Direction {
    site: Site,
    rank: usize,
    values: Vec<f32>,
}

impl Direction {
    /// Rows that are of length 1 already, one behind the other.
    pub fn new(site: Site, rank: usize, values: Vec<f32>) -> Result<Self> {
        if !(1..=RANK_LIMIT).contains(&rank) {
            return Err(Error::tensor(
                site,
                format!("has rank {rank}, expected 1 to {RANK_LIMIT}"),
            ));
        }
        let width = values.len() / rank;
        if width == 0 || width > WIDTH_LIMIT || !values.len().is_multiple_of(rank) {
            let problem = format!(
                "has {} values in {rank} rows, expected 1 to {WIDTH_LIMIT} in each",
                values.len()
            );
            return Err(Error::tensor(site, problem));
        }
        finite(&site.to_string(), &values)?;
        for (row, values) in values.chunks_exact(width).enumerate() {
            let norm = norm(values);
            if (norm - 1.0).abs() > UNIT_TOLERANCE {
                return Err(Error::NotUnit { name: site.to_string(), row, norm });
            }
        }
        Ok(Direction { site, rank, values })
    }

    /// One row of any length, and that length, which is its magnitude.
    pub fn normalised(site: Site, row: &[f32]) -> Result<(Self, f32)> {
        finite(&site.to_string(), row)?;
        let norm = norm(row);
        let magnitude = norm as f32;
        if magnitude == 0.0 || !magnitude.is_finite() {
            let problem = format!(
                "has length {norm}, so it has no direction; leave it out (import --skip-zeros)"
            );
            return Err(Error::tensor(site, problem));
        }
        let unit = row.iter().map(|v| (f64::from(*v) / norm) as f32).collect();
        Ok((Direction::new(site, 1, unit)?, magnitude))
    }

    /// Where it acts.
    pub fn site(&self) -> Site {
        self.site
    }

    /// Number of rows.
    pub fn rank(&self) -> usize {
        self.rank
    }

    /// Values of a row: the width of the stream it is for.
    pub fn width(&self) -> usize {
        self.values.len() / self.rank
    }

    /// All rows, one behind the other.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The rows.
    pub fn rows(&self) -> impl Iterator<Item = &[f32]> {
        self.values.chunks_exact(self.width())
    }

    /// The largest product of two different rows, 0 if they are at right angles.
    pub fn skew(&self) -> f64 {
        let rows: Vec<&[f32]> = self.rows().collect();
        let pairs = rows
            .iter()
            .enumerate()
            .flat_map(|(i, a)| rows[..i].iter().map(move |b| dot(a, b).abs()));
        pairs.fold(0.0, f64::max)
    }
}

/// Length of a vector, summed in f64.
// [width] -> []
pub(crate) fn norm(values: &[f32]) -> f64 {
    dot(values, values).sqrt()
}

// [width], [width] -> []
fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum()
}

/// Refuses NaN and infinities.
pub(crate) fn finite(name: &str, values: &[f32]) -> Result<()> {
    match values.iter().position(|v| !v.is_finite()) {
        None => Ok(()),
        Some(index) => Err(Error::NotFinite { name: name.to_owned(), index }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Site = Site::ResidPost(1);

    #[test]
    fn a_raw_row_gives_its_length_and_a_unit_row() {
        let (direction, magnitude) = Direction::normalised(HERE, &[3.0, 0.0, 4.0]).unwrap();
        assert_eq!(magnitude, 5.0);
        assert_eq!(direction.values(), [0.6, 0.0, 0.8]);
        // The sum of squares overflows f32, the length does not.
        let (_, magnitude) = Direction::normalised(HERE, &[3e30, 4e30]).unwrap();
        assert_eq!(magnitude, 5e30);
    }

    #[test]
    fn rows_that_are_no_direction_are_refused() {
        let code = |result: Result<(Direction, f32)>| result.unwrap_err().code();
        assert_eq!(code(Direction::normalised(HERE, &[0.0; 3])), "tensor_mismatch");
        assert_eq!(code(Direction::normalised(HERE, &[])), "tensor_mismatch");
        assert_eq!(code(Direction::normalised(HERE, &[1.0, f32::NAN])), "not_finite");
        assert_eq!(Direction::new(HERE, 1, vec![2.0]).unwrap_err().code(), "not_unit_norm");
        for (rank, len) in [(0, 4), (65, 65), (2, 3), (1, WIDTH_LIMIT + 1)] {
            let error = Direction::new(HERE, rank, vec![1.0; len]).unwrap_err();
            assert_eq!(error.code(), "tensor_mismatch", "{rank} {len}");
        }
    }

    #[test]
    fn skew_is_the_largest_product() {
        let square = Direction::new(HERE, 2, vec![1.0, 0.0, 0.0, 1.0]).unwrap();
        assert_eq!(square.skew(), 0.0);
        let bent = Direction::new(HERE, 2, vec![1.0, 0.0, 0.6, 0.8]).unwrap();
        assert!((bent.skew() - 0.6).abs() < 1e-6);
    }
}
