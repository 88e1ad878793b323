//! The pool of a sequence that is being decoded.
//!
//! Per head: the largest score, the sum of weights and the weighted sum of states, both relative to that score
//! (online softmax, Milakov and Gimelshein, arXiv 1805.02867). Tokens are taken one by one, so chunks of any size give
//! the same bits. A clone is a fork and a snapshot alike.

use super::queries::PoolQueries;
use crate::error::{TrainerError, width};
use crate::forecast::real::dot;
use std::sync::Arc;

/// What is read of a generated token.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PoolToken<'a> {
    /// Its standardised state, of the queries' width.
    pub state: &'a [f32],
    /// Entropy of the distribution it was drawn from, nats.
    pub entropy: f64,
    /// Its log-probability, nats.
    pub log_probability: f64,
}

/// What a forecast reads besides the pooled states.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct PoolScalars {
    /// Generated tokens.
    pub generated: u32,
    /// Mean entropy of the generated tokens, nats; 0 before the first.
    pub mean_entropy: f64,
    /// Entropy of the last generated token, nats; 0 before the first.
    pub last_entropy: f64,
    /// Mean log-probability of the generated tokens, nats; 0 before the first.
    pub mean_log_probability: f64,
}

/// The states of a sequence, pooled. 4 (d + 3) bytes per head and a few numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct Pool {
    queries: Arc<PoolQueries>,
    heads: Vec<Head>,
    positions: u64,
    generated: u32,
    entropy_sum: f64,
    last_entropy: f64,
    log_probability_sum: f64,
    broken_at: Option<u64>,
}

#[derive(Debug, Clone, PartialEq)]
struct Head {
    largest: f32,
    sum: f64,
    /// `Σ exp(s_i − largest) h_i`, `[width]`.
    weighted: Vec<f32>,
}

impl Head {
    fn empty(width: usize) -> Head {
        Head { largest: f32::NEG_INFINITY, sum: 0.0, weighted: vec![0.0; width] }
    }

    // [width] -> [width]
    fn add(&mut self, score: f32, state: &[f32]) {
        if score > self.largest {
            let shrink = (self.largest - score).exp();
            self.sum *= f64::from(shrink);
            self.weighted.iter_mut().for_each(|value| *value *= shrink);
            self.largest = score;
        }
        let weight = (score - self.largest).exp();
        self.sum += f64::from(weight);
        for (value, h) in self.weighted.iter_mut().zip(state) {
            *value += weight * h;
        }
    }
}

impl Pool {
    /// The pool before the first position.
    pub fn new(queries: Arc<PoolQueries>) -> Pool {
        let heads = vec![Head::empty(queries.width()); queries.heads()];
        Pool {
            queries,
            heads,
            positions: 0,
            generated: 0,
            entropy_sum: 0.0,
            last_entropy: 0.0,
            log_probability_sum: 0.0,
            broken_at: None,
        }
    }

    /// Reads positions of the prompt, any number at once.
    ///
    /// # Errors
    ///
    /// [`TrainerError::Width`] if `states` is not whole rows: nothing is read then. [`TrainerError::NotFinite`] as
    /// in [`Pool::read`].
    // states [n, width] -> [heads, width]
    pub fn read_prompt(&mut self, states: &[f32]) -> Result<(), TrainerError> {
        let each = self.queries.width();
        width("states of a prompt", states.len(), states.len() / each * each)?;
        states.chunks_exact(each).try_for_each(|state| self.add(state))
    }

    /// Reads one generated token.
    ///
    /// # Errors
    ///
    /// [`TrainerError::Width`] for a state of another width: it is not read then. [`TrainerError::NotFinite`] for a
    /// number that is not finite: the position counts, and the pool is broken. A broken pool gives no forecast; only
    /// a rollback behind that position helps.
    // state [width] -> [heads, width]
    pub fn read(&mut self, token: PoolToken<'_>) -> Result<(), TrainerError> {
        width("state", token.state.len(), self.queries.width())?;
        if !(token.entropy.is_finite() && token.log_probability.is_finite()) {
            self.broken_at.get_or_insert(self.positions);
        }
        self.generated += 1;
        self.entropy_sum += token.entropy;
        self.last_entropy = token.entropy;
        self.log_probability_sum += token.log_probability;
        self.add(token.state)
    }

    // state [width] -> [heads, width]
    fn add(&mut self, state: &[f32]) -> Result<(), TrainerError> {
        let at = self.positions;
        self.positions += 1;
        let scale = self.queries.scale();
        let finite = state.iter().all(|h| h.is_finite());
        for (head, query) in self.heads.iter_mut().zip(self.queries.rows()) {
            let score: f32 = dot(query, state) * scale;
            if finite && score.is_finite() {
                head.add(score, state);
            } else {
                self.broken_at.get_or_insert(at);
            }
        }
        self.whole()
    }

    fn whole(&self) -> Result<(), TrainerError> {
        match self.broken_at {
            None => Ok(()),
            Some(_) => Err(TrainerError::NotFinite { what: "pool" }),
        }
    }

    /// The pooled state of each head, head after head.
    ///
    /// # Errors
    ///
    /// [`TrainerError::TooFew`] before the first position, [`TrainerError::NotFinite`] of a broken pool.
    // [] -> [heads, width]
    pub fn pooled(&self) -> Result<Vec<f32>, TrainerError> {
        self.whole()?;
        if self.positions == 0 {
            return Err(TrainerError::TooFew { what: "pooled positions", found: 0, least: 1 });
        }
        let mean = |head: &Head| {
            let sum = head.sum;
            head.weighted.iter().map(move |value| (f64::from(*value) / sum) as f32).collect()
        };
        let values: Vec<f32> =
            self.heads.iter().flat_map(|head| -> Vec<f32> { mean(head) }).collect();
        if values.iter().all(|value| value.is_finite()) {
            return Ok(values);
        }
        Err(TrainerError::NotFinite { what: "pool" })
    }

    /// What a forecast reads besides the pooled states.
    pub fn scalars(&self) -> PoolScalars {
        let count = f64::from(self.generated.max(1));
        PoolScalars {
            generated: self.generated,
            mean_entropy: self.entropy_sum / count,
            last_entropy: self.last_entropy,
            mean_log_probability: self.log_probability_sum / count,
        }
    }

    /// Positions that have been read, prompt included.
    pub fn positions(&self) -> u64 {
        self.positions
    }

    /// Generated tokens that have been read.
    pub fn generated(&self) -> u32 {
        self.generated
    }

    /// The first position that was not finite.
    pub fn broken_at(&self) -> Option<u64> {
        self.broken_at
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Numbers;

    const WIDTH: usize = 21;

    fn queries(numbers: &mut Numbers, size: f64) -> Arc<PoolQueries> {
        let values = (0..4 * WIDTH).map(|_| (size * numbers.normal()) as f32).collect();
        Arc::new(PoolQueries::new(values, WIDTH).unwrap())
    }

    // [n, width]
    fn states(numbers: &mut Numbers, n: usize) -> Vec<f32> {
        (0..n * WIDTH).map(|_| numbers.normal() as f32).collect()
    }

    /// Softmax pooling in two passes over all positions, in f64.
    // states [n, width] -> [heads, width]
    fn direct(queries: &PoolQueries, states: &[f32]) -> Vec<f64> {
        let mut pooled = Vec::new();
        for query in queries.rows() {
            let score = |h: &[f32]| {
                let wide = query.iter().zip(h).map(|(a, h)| f64::from(*a) * f64::from(*h));
                wide.sum::<f64>() / (WIDTH as f64).sqrt()
            };
            let scores: Vec<f64> = states.chunks(WIDTH).map(score).collect();
            let most = scores.iter().fold(f64::NEG_INFINITY, |most, s| most.max(*s));
            let total: f64 = scores.iter().map(|s| (s - most).exp()).sum();
            pooled.extend((0..WIDTH).map(|j| {
                let rows = states.chunks(WIDTH).zip(&scores);
                rows.map(|(h, s)| (s - most).exp() / total * f64::from(h[j])).sum::<f64>()
            }));
        }
        pooled
    }

    fn far(found: &[f32], expected: &[f64]) -> f64 {
        assert_eq!(found.len(), expected.len());
        let gaps = found.iter().zip(expected).map(|(a, b)| (f64::from(*a) - b).abs());
        gaps.fold(0.0, f64::max)
    }

    #[test]
    fn m01_the_online_pool_is_direct_softmax_pooling() {
        let mut numbers = Numbers::of(1);
        // Queries of size 12 give scores up to about 40, so that the largest keeps moving.
        for size in [0.5, 3.0, 12.0] {
            let queries = queries(&mut numbers, size);
            for n in [1, 2, 17, 300, 5000] {
                let states = states(&mut numbers, n);
                let mut pool = Pool::new(queries.clone());
                pool.read_prompt(&states).unwrap();
                let gap = far(&pool.pooled().unwrap(), &direct(&queries, &states));
                assert!(gap <= 1e-5, "{gap} at size {size}, {n} positions");
            }
        }
    }

    #[test]
    fn m01_chunks_of_any_size_give_the_same_bits() {
        let mut numbers = Numbers::of(2);
        let (queries, states) = (queries(&mut numbers, 3.0), states(&mut numbers, 100));
        let mut whole = Pool::new(queries.clone());
        whole.read_prompt(&states).unwrap();
        for size in [1, 3, 7, 64, 99] {
            let mut pool = Pool::new(queries.clone());
            for chunk in states.chunks(size * WIDTH) {
                pool.read_prompt(chunk).unwrap();
            }
            assert_eq!(pool, whole, "{size}");
        }
    }

    #[test]
    fn scalars_are_by_hand_and_a_prompt_leaves_them_alone() {
        let mut numbers = Numbers::of(3);
        let mut pool = Pool::new(queries(&mut numbers, 1.0));
        let states = states(&mut numbers, 3);
        pool.read_prompt(&states).unwrap();
        assert_eq!(pool.scalars(), PoolScalars::default());
        for (entropy, log_probability) in [(1.0, -0.5), (2.0, -1.5)] {
            pool.read(PoolToken { state: &states[..WIDTH], entropy, log_probability }).unwrap();
        }
        let scalars = pool.scalars();
        assert_eq!((scalars.generated, pool.positions()), (2, 5));
        let means = (scalars.mean_entropy, scalars.last_entropy, scalars.mean_log_probability);
        assert_eq!(means, (1.5, 2.0, -1.0));
    }

    #[test]
    fn a_pool_that_is_not_finite_stays_broken() {
        let mut numbers = Numbers::of(4);
        let queries = queries(&mut numbers, 1.0);
        let state = states(&mut numbers, 1);
        let good = PoolToken { state: &state, entropy: 1.0, log_probability: -1.0 };
        let mut bad_state = state.clone();
        bad_state[5] = f32::NAN;
        let mut large = state.clone();
        large.iter_mut().for_each(|h| *h = 3e38);
        let bad = [
            PoolToken { state: &bad_state, ..good },
            PoolToken { state: &large, ..good },
            PoolToken { entropy: f64::NAN, ..good },
            PoolToken { log_probability: f64::NEG_INFINITY, ..good },
        ];
        for bad in bad {
            let mut pool = Pool::new(queries.clone());
            pool.read(good).unwrap();
            let before = pool.clone();
            assert_eq!(pool.read(bad).unwrap_err().code(), "not_finite");
            assert_eq!(pool.read(good).unwrap_err().code(), "not_finite");
            assert!(pool.pooled().is_err() && before.pooled().is_ok());
            assert_eq!((pool.broken_at(), pool.positions()), (Some(1), 3));
        }
    }

    #[test]
    fn other_widths_are_refused_and_an_empty_pool_gives_nothing() {
        let mut pool = Pool::new(queries(&mut Numbers::of(5), 1.0));
        assert_eq!(pool.pooled().unwrap_err().code(), "too_few");
        let empty = pool.clone();
        assert_eq!(pool.read_prompt(&[0.0; WIDTH + 1]).unwrap_err().code(), "invalid_value");
        let token = PoolToken { state: &[0.0], entropy: 0.0, log_probability: 0.0 };
        assert_eq!(pool.read(token).unwrap_err().code(), "invalid_value");
        assert_eq!(pool, empty);
        assert!(PoolQueries::new(vec![0.0; 7], 3).is_err() && PoolQueries::new(vec![], 3).is_err());
    }
}
