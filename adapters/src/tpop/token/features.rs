//! A feature vector for every token: its row of the output matrix, whitened.

use crate::tpop::bytes::TpopDigest;
use crate::tpop::error::TpopError;
use crate::tpop::matrix::wide;
use crate::tpop::whitening::Whitening;
use trimtab_runtime::decoder::{Decoder, Head};
use trimtab_runtime::fingerprint::Fingerprint;
use trimtab_runtime::sample::Draw;

/// Rows that the projection is fitted on, spread evenly over the vocabulary.
const FITTED_ROWS: usize = 2048;

/// `P(w_v − μ)` of every token v. Made once for a model; it never changes.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenFeatures {
    /// `[vocab_size, features]`, one token behind the other.
    table: Vec<f32>,
    whitening: Whitening,
    id: TpopDigest,
}

impl TokenFeatures {
    /// Reads a model's output matrix.
    ///
    /// # Errors
    ///
    /// A matrix that cannot be read, or whose rows vary in fewer directions than `features`.
    // W [vocab_size, d_model] -> [vocab_size, features]
    pub fn of(decoder: &Decoder, features: usize) -> Result<TokenFeatures, TpopError> {
        let (head, spec) = (decoder.head(), decoder.spec());
        let rows = some_rows(head, spec.vocab_size)?;
        let whitening = Whitening::fit(&rows, spec.d_model, features)?;
        let products = head.apply(whitening.projection()).map_err(unreadable)?;
        let offset: Vec<f64> = whitening.apply(&vec![0.0; spec.d_model])?;
        let mut table = vec![0.0; spec.vocab_size * features];
        let lines = products.chunks_exact(spec.vocab_size.max(1)).zip(&offset).enumerate();
        for (at, (line, offset)) in lines {
            let places = table.iter_mut().skip(at).step_by(features.max(1));
            places.zip(line).for_each(|(place, x)| *place = (f64::from(*x) + offset) as f32);
        }
        if table.iter().any(|x| !x.is_finite()) {
            return Err(TpopError::NotFinite { what: "feature vector of a token" });
        }
        let digest = Fingerprint::builder("trimtab.tpop.tokens").number(features as u64);
        let id = *digest.floats(&table).finish().as_bytes();
        Ok(TokenFeatures { table, whitening, id })
    }

    /// Digest of all of it; it stands where an extractor's id does.
    pub fn id(&self) -> &TpopDigest {
        &self.id
    }

    /// Values of a token's feature vector.
    pub fn width(&self) -> usize {
        self.whitening.features()
    }

    /// Tokens in the vocabulary.
    pub fn vocab_size(&self) -> usize {
        self.table.len() / self.width().max(1)
    }

    /// The projection.
    pub fn whitening(&self) -> &Whitening {
        &self.whitening
    }

    /// A token's features; `None` outside the vocabulary.
    // [] -> [features]
    pub fn of_token(&self, token: u32) -> Option<&[f32]> {
        let start = (token as usize).checked_mul(self.width())?;
        self.table.get(start..start.checked_add(self.width())?)
    }

    /// An answer's features: the mean of its tokens', 0 of none.
    // tokens [n] -> [features]
    pub fn of_answer(&self, tokens: &[u32]) -> Vec<f32> {
        let mut sum = vec![0.0; self.width()];
        let mut count: f64 = 0.0;
        for features in tokens.iter().filter_map(|token| self.of_token(*token)) {
            sum.iter_mut().zip(wide(features)).for_each(|(sum, x)| *sum += x);
            count += 1.0;
        }
        sum.iter().map(|sum| (sum / count.max(1.0)) as f32).collect()
    }

    /// The features of a random prefix of an answer, at least half of it: for [`DuelPair::prefixes`], because a reward
    /// fitted on whole answers is asked about beginnings.
    ///
    /// [`DuelPair::prefixes`]: crate::tpop::DuelPair::prefixes
    // tokens [n] -> [features]
    pub fn of_prefix(&self, tokens: &[u32], draw: &Draw) -> Vec<f32> {
        let least = tokens.len().div_ceil(2);
        let more = (draw.uniform() * (tokens.len() - least + 1) as f64) as usize;
        self.of_answer(tokens.get(..least + more).unwrap_or(tokens))
    }

    /// `θᵀ` times the features of every token: the bias of its logit.
    // [features] -> [vocab_size]
    pub(super) fn scores(&self, theta: &[f64]) -> Vec<f64> {
        let rows = self.table.chunks_exact(self.width().max(1));
        rows.map(|row| row.iter().zip(theta).map(|(x, t)| f64::from(*x) * t).sum()).collect()
    }
}

/// Rows of the output matrix, spread evenly.
// [] -> [n, d_model]
fn some_rows(head: Head<'_>, vocab_size: usize) -> Result<Vec<f32>, TpopError> {
    let n = vocab_size.min(FITTED_ROWS);
    let tokens: Vec<u32> = (0..n).map(|at| (at * vocab_size / n.max(1)) as u32).collect();
    head.rows(&tokens).map_err(unreadable)
}

fn unreadable(error: trimtab_runtime::Error) -> TpopError {
    TpopError::Head { reason: error.to_string() }
}
