//! A pool that can be rolled back.
//!
//! A weighted sum cannot forget a token exactly, so snapshots are kept: at the start, after the prompt, where a
//! forecast is due, and wherever the caller has a checkpoint. A rollback goes to the last snapshot at or before the
//! position; the few tokens between the two are read again. Snapshots are shared by forks. One is 9.2 KB at four heads
//! of 576, so those that no rollback can reach should be released.

use super::online::{Pool, PoolToken};
use super::queries::PoolQueries;
use crate::error::TrainerError;
use crate::forecast::grid::ForecastGrid;
use std::sync::Arc;

/// The positions that must be read again after a rollback, from the first to before the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolReplay {
    /// Where the pool is.
    pub from: u64,
    /// Where it should be.
    pub to: u64,
}

/// A pool and its snapshots, by position. Cloned for a fork.
#[derive(Debug, Clone, PartialEq)]
pub struct PoolHistory {
    grid: ForecastGrid,
    pool: Pool,
    snapshots: Vec<Arc<Pool>>,
}

impl PoolHistory {
    /// A pool before the first position; the grid says where snapshots are taken.
    pub fn new(queries: Arc<PoolQueries>, grid: ForecastGrid) -> PoolHistory {
        let pool = Pool::new(queries);
        PoolHistory { grid, snapshots: vec![Arc::new(pool.clone())], pool }
    }

    /// Reads a prompt or a part of it, and takes a snapshot behind it.
    ///
    /// # Errors
    ///
    /// As [`Pool::read_prompt`].
    // states [n, width] -> [heads, width]
    pub fn read_prompt(&mut self, states: &[f32]) -> Result<(), TrainerError> {
        self.pool.read_prompt(states)?;
        self.mark();
        Ok(())
    }

    /// Reads a generated token, and takes a snapshot if a forecast is due behind it.
    ///
    /// # Errors
    ///
    /// As [`Pool::read`].
    // state [width] -> [heads, width]
    pub fn read(&mut self, token: PoolToken<'_>) -> Result<(), TrainerError> {
        self.pool.read(token)?;
        if self.grid.steps_at(self.pool.generated()).is_some() {
            self.mark();
        }
        Ok(())
    }

    /// Takes a snapshot here, for a checkpoint. A second one at the same position changes nothing; a broken pool has
    /// none.
    pub fn mark(&mut self) {
        let at = self.pool.positions();
        let is_new = self.snapshots.last().is_none_or(|last| last.positions() < at);
        if is_new && self.pool.broken_at().is_none() {
            self.snapshots.push(Arc::new(self.pool.clone()));
        }
    }

    /// Goes back to the last snapshot at or before `position`. Later ones are dropped.
    ///
    /// # Errors
    ///
    /// [`TrainerError::NoPosition`] for a position that was not read, or that was released; nothing changes then.
    pub fn rollback(&mut self, position: u64) -> Result<PoolReplay, TrainerError> {
        let positions = self.pool.positions();
        let kept = self.snapshots.partition_point(|snapshot| snapshot.positions() <= position);
        let last = self.snapshots.get(..kept).and_then(<[_]>::last);
        let Some(last) = last.filter(|_| position <= positions) else {
            return Err(TrainerError::NoPosition { position, positions });
        };
        // The end itself needs no snapshot, unless the pool broke on the way.
        if position < positions || self.pool.broken_at().is_some() {
            self.pool = Pool::clone(last);
        }
        self.snapshots.truncate(kept);
        Ok(PoolReplay { from: self.pool.positions(), to: position })
    }

    /// Drops the snapshots that a rollback to `position` or later does not need.
    pub fn release_before(&mut self, position: u64) {
        let reached = self.snapshots.partition_point(|snapshot| snapshot.positions() <= position);
        self.snapshots.drain(..reached.saturating_sub(1));
    }

    /// The pool as it is.
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    /// How many snapshots there are.
    pub fn snapshots(&self) -> usize {
        self.snapshots.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forecast::grid::GridParams;
    use crate::testing::Numbers;

    const WIDTH: usize = 12;
    const PROMPT: usize = 5;

    struct Sequence {
        states: Vec<f32>,
        history: PoolHistory,
    }

    impl Sequence {
        fn token(&self, position: usize) -> PoolToken<'_> {
            let state = &self.states[position * WIDTH..(position + 1) * WIDTH];
            let entropy = position as f64 * 0.01;
            PoolToken { state, entropy, log_probability: -entropy }
        }

        /// Reads the tokens at these positions into a history.
        fn read(&self, history: &mut PoolHistory, positions: std::ops::Range<usize>) {
            positions.for_each(|position| history.read(self.token(position)).unwrap());
        }
    }

    fn sequence(seed: u64) -> Sequence {
        let mut numbers = Numbers::of(seed);
        let mut draw = |n: usize| (0..n).map(|_| numbers.normal() as f32).collect::<Vec<_>>();
        let queries = Arc::new(PoolQueries::new(draw(2 * WIDTH), WIDTH).unwrap());
        let grid = GridParams { step: 8, max: 64 }.check().unwrap();
        let states = draw(200 * WIDTH);
        let mut history = PoolHistory::new(queries, grid);
        history.read_prompt(&states[..PROMPT * WIDTH]).unwrap();
        Sequence { states, history }
    }

    #[test]
    fn m01_a_fork_leaves_the_other_alone() {
        let sequence = sequence(1);
        let mut main = sequence.history.clone();
        sequence.read(&mut main, PROMPT..40);
        let (before, mut fork) = (main.clone(), main.clone());
        sequence.read(&mut fork, 100..130);
        assert_eq!(main, before);
        fork.rollback(40).unwrap();
        assert_eq!(main, before);
        sequence.read(&mut main, 40..60);
        let mut fresh = sequence.history.clone();
        sequence.read(&mut fresh, PROMPT..60);
        assert_eq!(main, fresh);
    }

    #[test]
    fn m01_rollback_and_resume_equal_a_fresh_pass() {
        let sequence = sequence(2);
        for to in [0, 3, PROMPT, 12, 13, 14, 29, 60, 61] {
            let mut history = sequence.history.clone();
            sequence.read(&mut history, PROMPT..61);
            let replay = history.rollback(to as u64).unwrap();
            assert_eq!(replay.to, to as u64);
            if to < PROMPT {
                assert_eq!(replay.from, 0);
                continue;
            }
            // Snapshots stand behind the prompt and every eight tokens.
            let last = PROMPT + (to - PROMPT) / 8 * 8;
            let expected = if to == 61 { 61 } else { last };
            assert_eq!(replay.from, expected as u64, "to {to}");
            sequence.read(&mut history, expected..to);
            // Other tokens than before follow.
            sequence.read(&mut history, 100..131);
            let mut fresh = sequence.history.clone();
            sequence.read(&mut fresh, PROMPT..to);
            sequence.read(&mut fresh, 100..131);
            assert_eq!(history, fresh, "to {to}");
        }
    }

    #[test]
    fn a_checkpoint_needs_no_replay_and_released_positions_are_gone() {
        let sequence = sequence(3);
        let mut history = sequence.history.clone();
        sequence.read(&mut history, PROMPT..27);
        history.mark();
        history.mark();
        let count = history.snapshots();
        sequence.read(&mut history, 27..50);
        let mut released = history.clone();
        assert_eq!(history.rollback(27).unwrap(), PoolReplay { from: 27, to: 27 });
        assert_eq!(history.snapshots(), count);
        released.release_before(28);
        assert_eq!(released.rollback(26).unwrap_err().code(), "invalid_value");
        assert_eq!(released.rollback(51).unwrap_err().code(), "invalid_value");
        assert_eq!(released.rollback(28).unwrap(), PoolReplay { from: 27, to: 28 });
    }

    #[test]
    fn a_rollback_mends_a_broken_pool() {
        let sequence = sequence(4);
        let mut history = sequence.history.clone();
        sequence.read(&mut history, PROMPT..20);
        let nan = [f32::NAN; WIDTH];
        let bad = PoolToken { state: &nan, entropy: 0.0, log_probability: 0.0 };
        assert!(history.read(bad).is_err());
        history.mark();
        for position in 21..40 {
            assert!(history.read(sequence.token(position)).is_err());
        }
        let replay = history.rollback(20).unwrap();
        sequence.read(&mut history, replay.from as usize..20);
        sequence.read(&mut history, 20..40);
        let mut fresh = sequence.history.clone();
        sequence.read(&mut fresh, PROMPT..40);
        assert_eq!(history, fresh);
    }
}
