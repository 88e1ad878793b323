//! Sizes and weights of the forecaster.

use crate::error::{TrainerError, width, within};
use crate::forecast::real::Real;

/// Values a pooled state is projected to.
pub(crate) const PROJECTED: usize = 16;
/// Inputs besides the projected states: share of the longest chain, mean entropy, last entropy, mean log-probability.
pub const SCALARS: usize = 4;

/// Sizes of the forecaster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ForecastShape {
    /// Values of a state, d: 1 to 65,536.
    pub width: usize,
    /// Heads of the pool, `forecast.heads`: 1 to 16.
    pub heads: usize,
    /// Hidden units, `forecast.hidden`: 8 to 512.
    pub hidden: usize,
    /// Points of the grid: 3 to 129.
    pub points: usize,
}

impl ForecastShape {
    /// These sizes, if each is in its range.
    ///
    /// # Errors
    ///
    /// [`TrainerError::Range`] names the size.
    pub fn check(self) -> Result<ForecastShape, TrainerError> {
        within("forecast.width", self.width as f64, [1.0, 65_536.0])?;
        within("forecast.heads", self.heads as f64, [1.0, 16.0])?;
        within("forecast.hidden", self.hidden as f64, [8.0, 512.0])?;
        within("forecast.points", self.points as f64, [3.0, 129.0])?;
        Ok(self)
    }

    /// Inputs of the net: 68 at four heads.
    pub fn inputs(self) -> usize {
        self.heads * PROJECTED + SCALARS
    }

    /// Outputs of the net: α of every point, then β of every point.
    pub fn outputs(self) -> usize {
        2 * self.points
    }

    /// Values of all heads' pooled states.
    pub fn pooled(self) -> usize {
        self.heads * self.width
    }

    /// Rows and columns of each part, in the order of [`ForecastWeights::parts`].
    fn sizes(self) -> [[usize; 2]; 6] {
        [
            [self.heads, self.width],
            [PROJECTED, self.width],
            [self.hidden, self.inputs()],
            [1, self.hidden],
            [self.outputs(), self.hidden],
            [1, self.outputs()],
        ]
    }
}

/// All weights, row by row.
#[derive(Debug, Clone, PartialEq)]
pub struct ForecastWeights<F> {
    /// `[heads, width]`
    pub queries: Vec<F>,
    /// Shared by the heads, without a bias: `[16, width]`.
    pub projection: Vec<F>,
    /// `[hidden, inputs]`
    pub hidden: Vec<F>,
    /// `[hidden]`
    pub hidden_bias: Vec<F>,
    /// `[outputs, hidden]`
    pub output: Vec<F>,
    /// `[outputs]`
    pub output_bias: Vec<F>,
}

const NAMES: [&str; 6] =
    ["queries", "projection", "hidden weights", "hidden bias", "output weights", "output bias"];
/// Range of the first queries. Standardised states then have scores of standard deviation 0.3: the heads start near
/// the plain mean and yet differ.
const QUERY_RANGE: f64 = 0.5;

impl<F: Real> ForecastWeights<F> {
    /// Weights of these sizes, all zero.
    pub fn zeros(shape: ForecastShape) -> ForecastWeights<F> {
        let [queries, projection, hidden, hidden_bias, output, output_bias] =
            shape.sizes().map(|[rows, columns]| vec![F::default(); rows * columns]);
        ForecastWeights { queries, projection, hidden, hidden_bias, output, output_bias }
    }

    /// First weights: matrices uniform in ±√(6/(rows + columns)) (Glorot and Bengio, 2010), queries uniform in ±½,
    /// biases zero. `uniform` gives numbers in [0, 1).
    pub fn draw(shape: ForecastShape, uniform: &mut dyn FnMut() -> f64) -> ForecastWeights<F> {
        let mut weights = ForecastWeights::zeros(shape);
        let matrices = [0, 1, 2, 4];
        let sizes = shape.sizes();
        for (at, (part, [rows, columns])) in weights.parts_mut().into_iter().zip(sizes).enumerate()
        {
            if !matrices.contains(&at) {
                continue;
            }
            let glorot = (6.0 / (rows + columns) as f64).sqrt();
            let range = if at == 0 { QUERY_RANGE } else { glorot };
            part.iter_mut().for_each(|value| *value = F::of(range * (2.0 * uniform() - 1.0)));
        }
        weights
    }

    /// Queries, projection, hidden weights, hidden bias, output weights, output bias.
    pub fn parts(&self) -> [&[F]; 6] {
        [
            &self.queries,
            &self.projection,
            &self.hidden,
            &self.hidden_bias,
            &self.output,
            &self.output_bias,
        ]
    }

    /// The parts, to be changed.
    pub fn parts_mut(&mut self) -> [&mut [F]; 6] {
        [
            &mut self.queries,
            &mut self.projection,
            &mut self.hidden,
            &mut self.hidden_bias,
            &mut self.output,
            &mut self.output_bias,
        ]
    }

    /// How many weights there are.
    pub fn count(&self) -> usize {
        self.parts().iter().map(|part| part.len()).sum()
    }

    /// The same weights in another number type.
    pub fn cast<G: Real>(&self) -> ForecastWeights<G> {
        let [queries, projection, hidden, hidden_bias, output, output_bias] =
            self.parts().map(|part| part.iter().map(|value| G::of(value.wide())).collect());
        ForecastWeights { queries, projection, hidden, hidden_bias, output, output_bias }
    }

    // [parts] of [rows, columns]
    pub(super) fn check_sizes(&self, shape: ForecastShape) -> Result<(), TrainerError> {
        let named = self.parts().into_iter().zip(NAMES).zip(shape.sizes());
        named
            .into_iter()
            .try_for_each(|((part, what), [rows, columns])| width(what, part.len(), rows * columns))
    }

    /// Checks sizes and that every weight is finite.
    pub(super) fn check(&self, shape: ForecastShape) -> Result<(), TrainerError> {
        self.check_sizes(shape)?;
        for (part, what) in self.parts().into_iter().zip(NAMES) {
            if !part.iter().all(|value| value.wide().is_finite()) {
                return Err(TrainerError::NotFinite { what });
            }
        }
        Ok(())
    }
}
