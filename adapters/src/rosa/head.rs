//! The frozen end of a model as an operator: the output matrix, its transpose, its rows, and the norm before it.

use super::product;
use crate::error::{Error, Result};
use trimtab_runtime::decoder::Head;

/// The norm before the output matrix: `weight ⊙ x / √(mean(x²) + eps)`.
#[derive(Debug, Clone, Copy)]
pub struct FinalNorm<'a> {
    /// `[d_model]`
    pub weight: &'a [f32],
    /// Added to the mean square.
    pub eps: f64,
}

impl FinalNorm<'_> {
    /// One over the root mean square of a row, eps counted.
    // x [d_model] -> []
    pub(super) fn inverse(&self, x: &[f32]) -> f64 {
        1.0 / (product::squared(x) / x.len() as f64 + self.eps).sqrt()
    }

    /// The rows, normalised.
    // rows [n, d_model] -> [n, d_model]
    pub fn apply(&self, rows: &[f32]) -> Vec<f32> {
        let row = |x: &[f32]| {
            let inverse = self.inverse(x);
            let each = x.iter().zip(self.weight);
            each.map(|(x, w)| (f64::from(*x) * inverse * f64::from(*w)) as f32).collect::<Vec<_>>()
        };
        rows.chunks(self.weight.len().max(1)).flat_map(row).collect()
    }
}

/// The output matrix `W` of `[vocabulary, width]` and the norm before it.
///
/// # Contract
///
/// [`transposed`](Self::transposed) is the transpose of [`scores`](Self::scores), and [`rows`](Self::rows) are the rows of
/// the same matrix, up to the rounding of the weights' format.
pub trait OutputHead {
    /// `d`, the width of the stream.
    fn width(&self) -> usize;

    /// `V`, the number of tokens.
    fn vocabulary(&self) -> usize;

    /// `W·h` of each row.
    // rows [n, d] -> [n, V]
    fn scores(&self, rows: &[f32]) -> Result<Vec<f32>>;

    /// `Wᵀ·g` of each row.
    // g [n, V] -> [n, d]
    fn transposed(&self, g: &[f32]) -> Result<Vec<f32>>;

    /// Rows of `W`.
    // ids [k] -> [k, d]
    fn rows(&self, ids: &[u32]) -> Result<Vec<f32>>;

    /// The norm between the last block and `final`.
    fn norm(&self) -> FinalNorm<'_>;

    /// The soft cap of the logits, with which they are not linear in the state.
    fn softcap(&self) -> Option<f64>;
}

impl OutputHead for Head<'_> {
    fn width(&self) -> usize {
        self.spec().d_model
    }

    fn vocabulary(&self) -> usize {
        self.spec().vocab_size
    }

    fn scores(&self, rows: &[f32]) -> Result<Vec<f32>> {
        Ok(self.apply(rows)?)
    }

    fn transposed(&self, g: &[f32]) -> Result<Vec<f32>> {
        Ok(self.apply_transposed(g)?)
    }

    fn rows(&self, ids: &[u32]) -> Result<Vec<f32>> {
        Ok(Head::rows(self, ids)?)
    }

    fn norm(&self) -> FinalNorm<'_> {
        FinalNorm { weight: self.norm_weight(), eps: self.spec().norm_eps }
    }

    fn softcap(&self) -> Option<f64> {
        self.spec().logit_softcap
    }
}

/// A head whose matrix lies in memory as f32, for simulations and tests.
#[derive(Debug, Clone, PartialEq)]
pub struct DenseHead {
    rows: Vec<f32>,
    weight: Vec<f32>,
    eps: f64,
}

impl DenseHead {
    /// A head of these rows, with a norm of weight 1.
    ///
    /// # Errors
    ///
    /// No rows, or values that do not fill them.
    // rows [V, d]
    pub fn new(rows: Vec<f32>, width: usize) -> Result<DenseHead> {
        if rows.is_empty() || width == 0 || !rows.len().is_multiple_of(width) {
            let problem = format!("has {} values, its rows {width}", rows.len());
            return Err(Error::invalid("head", problem));
        }
        Ok(DenseHead { rows, weight: vec![1.0; width], eps: 1e-5 })
    }

    /// The same under another norm.
    ///
    /// # Errors
    ///
    /// A weight of another width.
    pub fn with_norm(self, weight: Vec<f32>, eps: f64) -> Result<DenseHead> {
        if weight.len() != self.weight.len() {
            let problem = format!("has {} values, the head {}", weight.len(), self.weight.len());
            return Err(Error::invalid("norm", problem));
        }
        Ok(DenseHead { weight, eps, ..self })
    }
}

impl OutputHead for DenseHead {
    fn width(&self) -> usize {
        self.weight.len()
    }

    fn vocabulary(&self) -> usize {
        self.rows.len() / self.weight.len().max(1)
    }

    fn scores(&self, rows: &[f32]) -> Result<Vec<f32>> {
        product::pairs(rows, &self.rows, self.width())
    }

    fn transposed(&self, g: &[f32]) -> Result<Vec<f32>> {
        product::matmul(g, &self.rows, (self.vocabulary(), self.width()))
    }

    fn rows(&self, ids: &[u32]) -> Result<Vec<f32>> {
        let width = self.width();
        let mut gathered = Vec::with_capacity(ids.len() * width);
        for id in ids {
            let row = self.rows.chunks(width).nth(*id as usize);
            let missing = || Error::invalid("token", format!("is {id}, not in the vocabulary"));
            gathered.extend_from_slice(row.ok_or_else(missing)?);
        }
        Ok(gathered)
    }

    fn norm(&self) -> FinalNorm<'_> {
        FinalNorm { weight: &self.weight, eps: self.eps }
    }

    fn softcap(&self) -> Option<f64> {
        None
    }
}

/// Rows of the matrix that are read at a time when it is measured.
const MEASURED_ROWS: usize = 2048;

/// What is measured once of a model's output matrix.
#[derive(Debug, Clone, PartialEq)]
pub struct HeadFacts {
    /// The mean of the rows, `[d]`, which stands for all tokens that are left out.
    pub mean_row: Vec<f32>,
    /// ‖row‖² of every token, `[V]`.
    pub squared_norms: Vec<f32>,
}

impl HeadFacts {
    /// Reads every row once.
    ///
    /// # Errors
    ///
    /// A head with a soft cap: its logits are not linear in the state, which every formula here needs.
    pub fn measure(head: &dyn OutputHead) -> Result<HeadFacts> {
        if let Some(cap) = head.softcap() {
            let problem = format!("caps logits at {cap}, which rosa cannot learn through");
            return Err(Error::invalid("head", problem));
        }
        let (width, vocabulary) = (head.width(), head.vocabulary());
        let mut sum = vec![0f64; width];
        let mut squared_norms = Vec::with_capacity(vocabulary);
        for first in (0..vocabulary).step_by(MEASURED_ROWS) {
            let ids: Vec<u32> =
                (first..vocabulary.min(first + MEASURED_ROWS)).map(|id| id as u32).collect();
            for row in head.rows(&ids)?.chunks(width) {
                product::add(&mut sum, 1.0, row);
                squared_norms.push(product::squared(row) as f32);
            }
        }
        let mean_row = sum.iter().map(|sum| (sum / vocabulary.max(1) as f64) as f32).collect();
        Ok(HeadFacts { mean_row, squared_norms })
    }
}
