//! The gradient of the forecaster, by hand.

use super::forward::{Forecaster, MOST_SUM, NetTrace};
use super::weights::{ForecastWeights, PROJECTED};
use crate::error::{TrainerError, width};
use crate::forecast::beta_binomial::BetaGradient;
use crate::forecast::real::{Real, add_scaled};

impl<F: Real> Forecaster<F> {
    /// Adds the gradient of every weight but the queries to `gradient`, and returns that of the pooled states, from
    /// which [`PooledChain::backward`](crate::forecast::pool::PooledChain::backward) makes the queries'.
    ///
    /// # Errors
    ///
    /// [`TrainerError::Width`] for arrays of other sizes; `gradient` is as it was then.
    // pooled [heads, width], betas [points] -> [heads, width]
    pub fn backward(
        &self,
        pooled: &[F],
        trace: &NetTrace<F>,
        betas: &[BetaGradient],
        gradient: &mut ForecastWeights<F>,
    ) -> Result<Vec<F>, TrainerError> {
        width("pooled states", pooled.len(), self.shape.pooled())?;
        width("gradient of Beta parameters", betas.len(), self.shape.points)?;
        gradient.check_sizes(self.shape)?;
        // 1: output layer. 2: hidden layer. 3: projection.
        let outputs = trace.output_gradient(betas);
        let columns = self.shape.hidden;
        add_outer(&mut gradient.output, &outputs, &trace.hidden);
        add_scaled(&mut gradient.output_bias, F::of(1.0), &outputs);
        let hidden = transposed(&self.weights.output, columns, &outputs);
        let slope = |(g, h): (F, &F)| g * (F::of(1.0) - *h * *h);
        let hidden: Vec<F> = hidden.into_iter().zip(&trace.hidden).map(slope).collect();
        add_outer(&mut gradient.hidden, &hidden, &trace.inputs);
        add_scaled(&mut gradient.hidden_bias, F::of(1.0), &hidden);
        let inputs = transposed(&self.weights.hidden, self.shape.inputs(), &hidden);
        let each = self.shape.width;
        let mut states = Vec::with_capacity(pooled.len());
        // The scalars are the last inputs, and the zip ends before them.
        for (state, features) in pooled.chunks_exact(each).zip(inputs.chunks_exact(PROJECTED)) {
            add_outer(&mut gradient.projection, features, state);
            states.extend(transposed(&self.weights.projection, each, features));
        }
        Ok(states)
    }
}

impl<F: Real> NetTrace<F> {
    /// Through cap and softplus. With `C = 1000/(α + β)` below 1, `α' = Cα` and `β' = Cβ`, so
    /// `∂L/∂α = C (∂L/∂α' − m)`, `m = (α ∂L/∂α' + β ∂L/∂β')/(α + β)`.
    // [points] -> [outputs]
    fn output_gradient(&self, betas: &[BetaGradient]) -> Vec<F> {
        let through = |([alpha, beta], g): ([f64; 2], &BetaGradient)| {
            let (sum, g) = (alpha + beta, [g.alpha, g.beta]);
            if sum <= MOST_SUM {
                return g;
            }
            let mean = (alpha * g[0] + beta * g[1]) / sum;
            g.map(|g| MOST_SUM / sum * (g - mean))
        };
        let capped: Vec<[f64; 2]> = self.uncapped().zip(betas).map(through).collect();
        let alphas = capped.iter().map(|[alpha, _]| *alpha);
        let both = alphas.chain(capped.iter().map(|[_, beta]| *beta));
        // The derivative of softplus is the logistic function.
        let logistic = |output: &F| 1.0 / (1.0 + (-output.wide()).exp());
        both.zip(&self.outputs).map(|(g, output)| F::of(g * logistic(output))).collect()
    }
}

/// `M ← M + r cᵀ`.
// r [rows], c [columns] -> [rows, columns]
fn add_outer<F: Real>(matrix: &mut [F], r: &[F], c: &[F]) {
    for (row, r) in matrix.chunks_exact_mut(c.len().max(1)).zip(r) {
        add_scaled(row, *r, c);
    }
}

/// The transpose of a matrix times a vector: `Mᵀ r`.
// matrix [rows, columns], r [rows] -> [columns]
fn transposed<F: Real>(matrix: &[F], columns: usize, r: &[F]) -> Vec<F> {
    let mut product = vec![F::default(); columns];
    for (row, r) in matrix.chunks_exact(columns.max(1)).zip(r) {
        add_scaled(&mut product, *r, row);
    }
    product
}

#[cfg(test)]
mod tests {
    use super::super::weights::{ForecastShape, SCALARS};
    use super::*;
    use crate::forecast::beta_binomial::{Count, log_likelihood, log_likelihood_gradient};
    use crate::forecast::pool::{Pool, PoolToken, pool_prefixes};
    use crate::testing::{Numbers, slope};
    use std::sync::Arc;

    const SHAPE: ForecastShape = ForecastShape { width: 6, heads: 2, hidden: 8, points: 4 };

    fn counts() -> Vec<Count> {
        [(0, 1), (3, 8), (8, 8), (2, 4)].map(|(right, of)| Count { right, of }).to_vec()
    }

    struct Case {
        states: Vec<f32>,
        ends: Vec<usize>,
        scalars: [f64; SCALARS],
        weights: ForecastWeights<f64>,
    }

    impl Case {
        /// `bias` moves all outputs: one of 600 puts them over the cap.
        fn draw(seed: u64, bias: f64) -> Case {
            let mut numbers = Numbers::of(seed);
            let mut weights = ForecastWeights::draw(SHAPE, &mut || numbers.uniform());
            let mut numbers = Numbers::of(seed + 100);
            for part in weights.parts_mut() {
                part.iter_mut().for_each(|value| *value += 0.3 * numbers.normal());
            }
            weights.output_bias.iter_mut().for_each(|value| *value += bias);
            let states = (0..12 * SHAPE.width).map(|_| numbers.normal() as f32).collect();
            Case { states, ends: vec![3, 12], scalars: [0.3, 1.2, 0.4, -0.9], weights }
        }

        fn loss(&self, weights: &ForecastWeights<f64>) -> f64 {
            let forecaster = Forecaster::new(SHAPE, weights.clone(), 256).unwrap();
            let chain = pool_prefixes(&weights.queries, SHAPE.width, &self.states, &self.ends);
            let mut sum = 0.0;
            for pooled in chain.unwrap().prefixes() {
                let inputs = forecaster.inputs(pooled, self.scalars).unwrap();
                let betas = forecaster.run(inputs).unwrap().betas();
                let terms = betas.iter().zip(counts());
                sum += terms.map(|(b, count)| log_likelihood(count, *b).unwrap()).sum::<f64>();
            }
            sum
        }

        fn gradient(&self) -> ForecastWeights<f64> {
            let forecaster = Forecaster::new(SHAPE, self.weights.clone(), 256).unwrap();
            let mut gradient = ForecastWeights::zeros(SHAPE);
            let queries = &self.weights.queries;
            let chain = pool_prefixes(queries, SHAPE.width, &self.states, &self.ends).unwrap();
            let mut states = Vec::new();
            for pooled in chain.prefixes() {
                let inputs = forecaster.inputs(pooled, self.scalars).unwrap();
                let trace = forecaster.run(inputs).unwrap();
                let terms = trace.betas().into_iter().zip(counts());
                let betas: Vec<_> =
                    terms.map(|(b, count)| log_likelihood_gradient(count, b).unwrap()).collect();
                states.extend(forecaster.backward(pooled, &trace, &betas, &mut gradient).unwrap());
            }
            gradient.queries = chain.backward(&self.states, &states).unwrap();
            gradient
        }
    }

    #[test]
    fn m02_every_gradient_is_that_of_finite_differences() {
        for (seed, bias) in [(1, 0.0), (2, 0.0), (3, 600.0)] {
            let case = Case::draw(seed, bias);
            let gradient = case.gradient();
            let sizes = gradient.parts().map(|part| part.len());
            let all = sizes.into_iter().enumerate();
            for (part, at) in all.flat_map(|(part, n)| (0..n).map(move |at| (part, at))) {
                let moved = |by: f64| {
                    let mut weights = case.weights.clone();
                    weights.parts_mut()[part][at] += by;
                    case.loss(&weights)
                };
                let (found, expected) = (gradient.parts()[part][at], slope(1e-3, &moved));
                let close = (found - expected).abs() <= 1e-5 * expected.abs().max(0.1);
                assert!(close, "part {part}, {at}: {found} for {expected}");
            }
        }
    }

    #[test]
    fn the_cap_keeps_the_mean() {
        let case = Case::draw(4, 0.0);
        let run = |bias: f64| {
            let mut weights = case.weights.clone();
            weights.output_bias.iter_mut().for_each(|value| *value += bias);
            let forecaster = Forecaster::new(SHAPE, weights, 256).unwrap();
            let inputs = forecaster.inputs(&[0.3; 12], case.scalars).unwrap();
            let trace = forecaster.run(inputs).unwrap();
            (trace.uncapped().collect::<Vec<_>>(), trace.betas())
        };
        for bias in [0.0, 600.0, 1e5] {
            let (uncapped, betas) = run(bias);
            for ([alpha, beta], capped) in uncapped.into_iter().zip(betas) {
                let (sum, mean) = (capped.alpha + capped.beta, alpha / (alpha + beta));
                assert!(sum <= 1000.0 + 1e-9 && (capped.mean() - mean).abs() < 1e-12);
                assert_eq!(bias > 0.0, sum > 999.0);
            }
        }
        let (_, small) = run(-1e5);
        assert!(small.iter().all(|b| b.alpha == 1e-3 && b.beta == 1e-3));
    }

    #[test]
    fn served_in_f32_it_says_what_it_says_in_f64() {
        let case = Case::draw(5, 0.0);
        let wide = Forecaster::new(SHAPE, case.weights.clone(), 256).unwrap();
        let narrow = Forecaster::<f32>::new(SHAPE, case.weights.cast(), 256).unwrap();
        let mut pool = Pool::new(Arc::new(narrow.queries().unwrap()));
        for state in case.states.chunks(SHAPE.width) {
            pool.read(PoolToken { state, entropy: 0.5, log_probability: -0.25 }).unwrap();
        }
        let found = narrow.forecast(&pool).unwrap();
        let queries = &case.weights.queries;
        let chain = pool_prefixes(queries, SHAPE.width, &case.states, &[12]).unwrap();
        let scalars = wide.scalars(pool.scalars());
        let inputs = wide.inputs(chain.prefixes().next().unwrap(), scalars).unwrap();
        let expected = wide.run(inputs).unwrap().betas();
        for (found, expected) in found.iter().zip(&expected) {
            assert!((found.mean() - expected.mean()).abs() < 1e-5);
            assert!((found.alpha - expected.alpha).abs() < 1e-4 * expected.alpha);
        }
    }

    #[test]
    fn sizes_are_those_of_the_specification() {
        let shape = ForecastShape { width: 576, heads: 4, hidden: 64, points: 17 };
        let weights = ForecastWeights::<f32>::zeros(shape);
        assert_eq!((shape.inputs(), shape.outputs(), weights.count()), (68, 34, 18_146));
        let mut short = weights.clone();
        short.output.pop();
        assert!(Forecaster::new(shape, short, 256).is_err());
        let mut nan = weights.clone();
        nan.projection[7] = f32::NAN;
        assert_eq!(Forecaster::new(shape, nan, 256).unwrap_err().code(), "not_finite");
        for wrong in [ForecastShape { heads: 17, ..shape }, ForecastShape { hidden: 7, ..shape }] {
            assert!(Forecaster::new(wrong, weights.clone(), 256).is_err());
        }
        assert!(Forecaster::new(shape, weights, 0).is_err());
    }
}
