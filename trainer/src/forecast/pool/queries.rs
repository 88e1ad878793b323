//! Learnt queries as they serve: f32, shared by all sequences.

use crate::error::{TrainerError, at_least, width};

/// One query per head.
#[derive(Debug, Clone, PartialEq)]
pub struct PoolQueries {
    width: usize,
    values: Vec<f32>,
}

impl PoolQueries {
    /// Queries for states of `state_width` values, head after head.
    ///
    /// # Errors
    ///
    /// [`TrainerError::Width`] unless `values` is a whole number of heads, at least one;
    /// [`TrainerError::NotFinite`].
    // [heads, width] -> [heads, width]
    pub fn new(values: Vec<f32>, state_width: usize) -> Result<PoolQueries, TrainerError> {
        at_least("width of a state", state_width, 1)?;
        let heads = (values.len() / state_width).max(1);
        width("queries", values.len(), heads * state_width)?;
        if !values.iter().all(|value| value.is_finite()) {
            return Err(TrainerError::NotFinite { what: "queries" });
        }
        Ok(PoolQueries { width: state_width, values })
    }

    /// How many heads there are.
    pub fn heads(&self) -> usize {
        self.values.len() / self.width
    }

    /// Values of a state.
    pub fn width(&self) -> usize {
        self.width
    }

    // [heads, width]
    pub(super) fn rows(&self) -> impl Iterator<Item = &[f32]> {
        self.values.chunks_exact(self.width)
    }

    /// The factor of scores.
    pub(super) fn scale(&self) -> f32 {
        (self.width as f32).sqrt().recip()
    }
}
