//! From pooled states to Beta distributions.

use super::weights::{ForecastShape, ForecastWeights, PROJECTED, SCALARS};
use crate::error::{TrainerError, width};
use crate::forecast::beta_binomial::BetaParams;
use crate::forecast::pool::{Pool, PoolQueries, PoolScalars};
use crate::forecast::real::{Real, dot};

/// Added to every α and β, so that neither is 0.
const FLOOR: f64 = 1e-3;
/// The largest α + β.
pub(crate) const MOST_SUM: f64 = 1000.0;

/// Checked weights, and the length that chains are measured by.
#[derive(Debug, Clone, PartialEq)]
pub struct Forecaster<F> {
    pub(super) shape: ForecastShape,
    pub(super) weights: ForecastWeights<F>,
    longest: u32,
}

/// One forward pass with what its gradient needs.
#[derive(Debug, Clone, PartialEq)]
pub struct NetTrace<F> {
    /// `[inputs]`
    pub(super) inputs: Vec<F>,
    /// After tanh, `[hidden]`.
    pub(super) hidden: Vec<F>,
    /// Before softplus, `[outputs]`.
    pub(super) outputs: Vec<F>,
}

impl<F: Real> Forecaster<F> {
    /// A forecaster of these weights. `longest` is `e_max`, in tokens: the first scalar is the chain's length divided
    /// by it.
    ///
    /// # Errors
    ///
    /// [`TrainerError::Range`], [`TrainerError::Width`] or [`TrainerError::NotFinite`] names the size or part.
    pub fn new(
        shape: ForecastShape,
        weights: ForecastWeights<F>,
        longest: u32,
    ) -> Result<Forecaster<F>, TrainerError> {
        let shape = shape.check()?;
        weights.check(shape)?;
        crate::error::at_least("longest chain", longest as usize, 1)?;
        Ok(Forecaster { shape, weights, longest })
    }

    /// Its sizes.
    pub fn shape(&self) -> ForecastShape {
        self.shape
    }

    /// Its weights.
    pub fn weights(&self) -> &ForecastWeights<F> {
        &self.weights
    }

    /// The weights, to be changed by an optimiser that keeps their sizes.
    pub(crate) fn weights_mut(&mut self) -> &mut ForecastWeights<F> {
        &mut self.weights
    }

    /// The scalars as inputs.
    // [] -> [4]
    pub fn scalars(&self, scalars: PoolScalars) -> [F; SCALARS] {
        let share = f64::from(scalars.generated) / f64::from(self.longest);
        let PoolScalars { mean_entropy, last_entropy, mean_log_probability, .. } = scalars;
        [share, mean_entropy, last_entropy, mean_log_probability].map(F::of)
    }

    /// The net's inputs: the projection of each head's pooled state, then the scalars.
    ///
    /// # Errors
    ///
    /// [`TrainerError::Width`] for pooled states of another size.
    // pooled [heads, width], scalars [4] -> [inputs]
    pub fn inputs(&self, pooled: &[F], scalars: [F; SCALARS]) -> Result<Vec<F>, TrainerError> {
        width("pooled states", pooled.len(), self.shape.pooled())?;
        let mut inputs = Vec::with_capacity(self.shape.inputs());
        for state in pooled.chunks_exact(self.shape.width) {
            inputs.extend(rows(&self.weights.projection, self.shape.width, state));
        }
        debug_assert_eq!(inputs.len(), self.shape.heads * PROJECTED);
        inputs.extend(scalars);
        Ok(inputs)
    }

    /// Runs the net.
    ///
    /// # Errors
    ///
    /// [`TrainerError::Width`] for other inputs, [`TrainerError::NotFinite`] for an output that is not.
    // inputs [inputs] -> [outputs]
    pub fn run(&self, inputs: Vec<F>) -> Result<NetTrace<F>, TrainerError> {
        width("inputs", inputs.len(), self.shape.inputs())?;
        let weights = &self.weights;
        let sums = rows(&weights.hidden, inputs.len(), &inputs).zip(&weights.hidden_bias);
        let hidden: Vec<F> = sums.map(|(sum, bias)| (sum + *bias).tanh()).collect();
        let sums = rows(&weights.output, hidden.len(), &hidden).zip(&weights.output_bias);
        let outputs: Vec<F> = sums.map(|(sum, bias)| sum + *bias).collect();
        if outputs.iter().all(|output| output.wide().is_finite()) {
            return Ok(NetTrace { inputs, hidden, outputs });
        }
        Err(TrainerError::NotFinite { what: "output" })
    }
}

/// The product of a matrix and a vector, row by row.
// matrix [rows, columns], x [columns] -> [rows]
fn rows<F: Real>(matrix: &[F], columns: usize, x: &[F]) -> impl Iterator<Item = F> {
    matrix.chunks_exact(columns.max(1)).map(|row| dot(row, x))
}

impl Forecaster<f32> {
    /// The queries for the pools of this forecaster's sequences.
    ///
    /// # Errors
    ///
    /// As [`PoolQueries::new`]; checked weights have none.
    // [heads, width]
    pub fn queries(&self) -> Result<PoolQueries, TrainerError> {
        PoolQueries::new(self.weights.queries.clone(), self.shape.width)
    }

    /// The forecast of a sequence: one distribution per grid point.
    ///
    /// # Errors
    ///
    /// [`TrainerError::NotFinite`] or [`TrainerError::TooFew`]: the forecast is missing.
    // pool [heads, width] -> [points]
    pub fn forecast(&self, pool: &Pool) -> Result<Vec<BetaParams>, TrainerError> {
        let scalars = self.scalars(pool.scalars());
        let inputs = self.inputs(&pool.pooled()?, scalars)?;
        Ok(self.run(inputs)?.betas())
    }
}

impl<F: Real> NetTrace<F> {
    /// α and β before the cap, in f64.
    // [outputs] -> [points] of α and β
    pub(super) fn uncapped(&self) -> impl Iterator<Item = [f64; 2]> {
        let (alphas, betas) = self.outputs.split_at(self.outputs.len() / 2);
        let positive = |output: &F| output.softplus().wide() + FLOOR;
        alphas.iter().zip(betas).map(move |(a, b)| [positive(a), positive(b)])
    }

    /// The distribution at each grid point.
    // [outputs] -> [points]
    pub fn betas(&self) -> Vec<BetaParams> {
        let capped = |[alpha, beta]: [f64; 2]| BetaParams { alpha, beta }.capped(MOST_SUM);
        self.uncapped().map(capped).collect()
    }
}
