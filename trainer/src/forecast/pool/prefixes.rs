//! Pooling of a whole chain at all its prefixes, and the gradient of the queries.
//!
//! The fit pools one chain at up to 17 prefixes. Pooling each anew would cost the sum of their lengths; here both ways
//! are O(n d) per head for all prefixes together. Forwards this is the online softmax in f64. Backwards, with weights
//! `w_i = exp(s_i)/S_p` of prefix p, pooled state `z_p` and its gradient `g_p`,
//!
//! ```text
//! ∂L/∂s_i = exp(s_i) [ (Σ_{p ≥ i} g_p/S_p)·h_i − Σ_{p ≥ i} g_p·z_p/S_p ],   ∂L/∂a = 1/√d Σ_i ∂L/∂s_i h_i
//! ```
//!
//! so two sums run from the last position to the first. They are kept relative to the largest score so far, which
//! only falls on the way back: every factor is at most 1. The arrangement is ours.

use crate::error::{TrainerError, at_least, width};
use crate::forecast::real::{add_scaled, dot};

/// A chain pooled at its prefixes, with what the gradient needs.
#[derive(Debug, Clone, PartialEq)]
pub struct PooledChain {
    width: usize,
    ends: Vec<usize>,
    heads: Vec<PooledHead>,
    /// `[prefixes, heads, width]`
    pooled: Vec<f64>,
}

#[derive(Debug, Clone, PartialEq)]
struct PooledHead {
    /// `[n]`
    scores: Vec<f64>,
    /// The largest score up to each position, `[n]`.
    largest: Vec<f64>,
    /// Sum of weights at each prefix, relative to the largest score there, `[prefixes]`.
    sums: Vec<f64>,
    /// `[prefixes, width]`
    pooled: Vec<f64>,
}

/// Pools the first `ends` states of a chain, for each of the ends.
///
/// # Errors
///
/// [`TrainerError::Width`] unless queries and states are whole rows of `state_width` values,
/// [`TrainerError::Order`] unless ends rise from 1 to at most the number of states,
/// [`TrainerError::NotFinite`] for a score that is not.
// queries [heads, width], states [n, width], ends [prefixes] -> [prefixes, heads, width]
pub fn pool_prefixes(
    queries: &[f64],
    state_width: usize,
    states: &[f32],
    ends: &[usize],
) -> Result<PooledChain, TrainerError> {
    at_least("width of a state", state_width, 1)?;
    width("queries", queries.len(), queries.len() / state_width * state_width)?;
    width("states", states.len(), states.len() / state_width * state_width)?;
    let rising = ends.iter().zip(ends.iter().skip(1)).all(|(end, next)| end < next);
    let last = ends.last().copied().unwrap_or_default();
    if !rising || ends.first() == Some(&0) || last * state_width > states.len() {
        let expected = "rising, from 1 to the number of states";
        return Err(TrainerError::Order { what: "ends of prefixes", expected });
    }
    let used = states.get(..last * state_width).unwrap_or_default();
    let heads = queries.chunks_exact(state_width).map(|query| pool_head(query, used, ends));
    let heads = heads.collect::<Result<Vec<_>, _>>()?;
    let mut pooled = Vec::with_capacity(ends.len() * queries.len());
    for prefix in 0..ends.len() {
        let rows = heads.iter().filter_map(|head| head.pooled.chunks(state_width).nth(prefix));
        rows.for_each(|row| pooled.extend_from_slice(row));
    }
    Ok(PooledChain { width: state_width, ends: ends.to_vec(), heads, pooled })
}

// query [width], states [n, width], ends [prefixes] -> [prefixes, width]
fn pool_head(query: &[f64], states: &[f32], ends: &[usize]) -> Result<PooledHead, TrainerError> {
    let (each, scale) = (query.len(), (query.len() as f64).sqrt().recip());
    let n = states.len() / each.max(1);
    let mut head = PooledHead {
        scores: Vec::with_capacity(n),
        largest: Vec::with_capacity(n),
        sums: Vec::with_capacity(ends.len()),
        pooled: Vec::with_capacity(ends.len() * each),
    };
    let (mut largest, mut sum, mut weighted) = (f64::NEG_INFINITY, 0.0, vec![0.0; each]);
    let mut ends = ends.iter().copied().peekable();
    for (at, state) in states.chunks_exact(each).enumerate() {
        let score: f64 = dot(query, state) * scale;
        if !score.is_finite() {
            return Err(TrainerError::NotFinite { what: "score of a state" });
        }
        if score > largest {
            let shrink = (largest - score).exp();
            sum *= shrink;
            weighted.iter_mut().for_each(|value| *value *= shrink);
            largest = score;
        }
        let weight = (score - largest).exp();
        sum += weight;
        add_scaled(&mut weighted, weight, state);
        head.scores.push(score);
        head.largest.push(largest);
        if ends.next_if_eq(&(at + 1)).is_some() {
            head.sums.push(sum);
            head.pooled.extend(weighted.iter().map(|value| value / sum));
        }
    }
    Ok(head)
}

impl PooledChain {
    /// The pooled states of each prefix in order.
    // [] -> [prefixes] of [heads, width]
    pub fn prefixes(&self) -> impl Iterator<Item = &[f64]> {
        self.pooled.chunks((self.heads.len() * self.width).max(1))
    }

    /// The gradient of the queries from that of the pooled states; `states` are those that were pooled.
    ///
    /// # Errors
    ///
    /// [`TrainerError::Width`] for arrays of other sizes.
    // states [n, width], gradient [prefixes, heads, width] -> [heads, width]
    pub fn backward(&self, states: &[f32], gradient: &[f64]) -> Result<Vec<f64>, TrainerError> {
        width("gradient of pooled states", gradient.len(), self.pooled.len())?;
        let n = self.ends.last().copied().unwrap_or_default();
        at_least("states", states.len() / self.width, n)?;
        let rows: Vec<&[f64]> = gradient.chunks_exact(self.width).collect();
        let count = self.heads.len();
        let of_head = |(at, head): (usize, &PooledHead)| {
            let rows: Vec<&[f64]> = rows.iter().skip(at).step_by(count.max(1)).copied().collect();
            self.backward_head(head, states, &rows)
        };
        Ok(self.heads.iter().enumerate().flat_map(of_head).collect())
    }

    // states [n, width], gradient [prefixes] of [width] -> [width]
    fn backward_head(&self, head: &PooledHead, states: &[f32], gradient: &[&[f64]]) -> Vec<f64> {
        let scale = (self.width as f64).sqrt().recip();
        let prefixes = self.ends.iter().zip(&head.sums).zip(head.pooled.chunks(self.width));
        let prefixes: Vec<_> = prefixes.zip(gradient).collect();
        let mut prefixes = prefixes.into_iter().rev().peekable();
        let rows = states.chunks_exact(self.width).zip(head.scores.iter().zip(&head.largest));
        let rows: Vec<_> = rows.enumerate().collect();
        // Σ g/S and Σ g·z/S over the prefixes that end here or later, relative to the largest score so far.
        let (mut along, mut across) = (vec![0.0; self.width], 0.0);
        let mut before = head.largest.last().copied().unwrap_or_default();
        let mut query = vec![0.0; self.width];
        for (at, (state, (score, largest))) in rows.into_iter().rev() {
            let shrink = (largest - before).exp();
            before = *largest;
            if shrink < 1.0 {
                along.iter_mut().for_each(|value| *value *= shrink);
                across *= shrink;
            }
            let ends_here = prefixes.next_if(|(((end, _), _), _)| **end == at + 1);
            if let Some((((_, sum), pooled), gradient)) = ends_here {
                add_scaled(&mut along, sum.recip(), gradient);
                across += dot(gradient, pooled) / sum;
            }
            let slope = (score - largest).exp() * (dot(&along, state) - across);
            add_scaled(&mut query, scale * slope, state);
        }
        query
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forecast::pool::{Pool, PoolQueries};
    use crate::testing::Numbers;
    use std::sync::Arc;

    const WIDTH: usize = 10;

    fn draw(numbers: &mut Numbers, n: usize, size: f64) -> Vec<f64> {
        (0..n).map(|_| size * numbers.normal()).collect()
    }

    fn narrow(values: &[f64]) -> Vec<f32> {
        values.iter().map(|value| *value as f32).collect()
    }

    #[test]
    fn m01_prefixes_of_a_chain_equal_the_online_pool() {
        let mut numbers = Numbers::of(1);
        for size in [1.0, 8.0] {
            let queries: Vec<f32> = narrow(&draw(&mut numbers, 4 * WIDTH, size));
            let wide: Vec<f64> = queries.iter().map(|q| f64::from(*q)).collect();
            let states = narrow(&draw(&mut numbers, 90 * WIDTH, 1.0));
            let ends = [1, 2, 30, 61, 88];
            let chain = pool_prefixes(&wide, WIDTH, &states, &ends).unwrap();
            assert_eq!(chain.prefixes().count(), ends.len());
            let queries = Arc::new(PoolQueries::new(queries, WIDTH).unwrap());
            for (end, pooled) in ends.into_iter().zip(chain.prefixes()) {
                let mut pool = Pool::new(queries.clone());
                pool.read_prompt(&states[..end * WIDTH]).unwrap();
                for (found, expected) in pool.pooled().unwrap().iter().zip(pooled) {
                    assert!((f64::from(*found) - expected).abs() <= 1e-5);
                }
            }
        }
    }

    #[test]
    fn the_gradient_of_the_queries_is_that_of_finite_differences() {
        let mut numbers = Numbers::of(2);
        // Large queries make scores rise and fall by tens, so that prefixes have other largest scores.
        for size in [1.0, 8.0] {
            let queries = draw(&mut numbers, 3 * WIDTH, size);
            let states = narrow(&draw(&mut numbers, 40 * WIDTH, 1.0));
            let ends = [1, 5, 6, 20, 38];
            let direction = draw(&mut numbers, ends.len() * queries.len(), 1.0);
            let value = |queries: &[f64]| {
                let chain = pool_prefixes(queries, WIDTH, &states, &ends).unwrap();
                dot::<f64, f64>(
                    &chain.prefixes().flatten().copied().collect::<Vec<_>>(),
                    &direction,
                )
            };
            let chain = pool_prefixes(&queries, WIDTH, &states, &ends).unwrap();
            let gradient = chain.backward(&states, &direction).unwrap();
            for at in 0..queries.len() {
                let moved = |by: f64| {
                    let mut moved = queries.clone();
                    moved[at] += by;
                    value(&moved)
                };
                let expected = (moved(1e-5) - moved(-1e-5)) / 2e-5;
                let gap = (gradient[at] - expected).abs();
                assert!(gap <= 1e-6 * expected.abs().max(1.0), "{} for {expected}", gradient[at]);
            }
        }
    }

    #[test]
    fn ends_that_do_not_fit_are_refused() {
        let (queries, states) = ([0.0; WIDTH], [0.0; 4 * WIDTH]);
        for ends in [&[0usize, 1][..], &[2, 2], &[3, 1], &[5]] {
            let found = pool_prefixes(&queries, WIDTH, &states, ends).unwrap_err();
            assert_eq!(found.code(), "invalid_value", "{ends:?}");
        }
        assert!(pool_prefixes(&queries, WIDTH, &states[1..], &[1]).is_err());
        let chain = pool_prefixes(&queries, WIDTH, &states, &[1, 4]).unwrap();
        assert!(chain.backward(&states, &[0.0; WIDTH]).is_err());
        assert!(chain.backward(&states[..WIDTH], &[0.0; 2 * WIDTH]).is_err());
    }
}
