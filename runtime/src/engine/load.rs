//! What an engine is doing, in numbers that may be read at any time, from any thread.

use crate::kv::PoolUse;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// What is going on in an engine, and what has been since it began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Load {
    /// Answers that run or wait.
    pub present: usize,
    /// Answers that run.
    pub active: usize,
    /// Rounds.
    pub rounds: u64,
    /// Rows of all rounds: divided by the rounds, the mean batch.
    pub rows: u64,
    /// Answers that gave their keys and values up for others.
    pub preempted: u64,
    /// Prompt tokens that were asked for.
    pub prompt_tokens: u64,
    /// Prompt tokens whose keys and values were there already.
    pub cached_tokens: u64,
    /// The key–value pool.
    pub pool: PoolUse,
}

impl Load {
    /// Answers that wait.
    pub fn waiting(&self) -> usize {
        self.present.saturating_sub(self.active)
    }
}

/// The counters behind it, written by the engine's thread only.
#[derive(Default)]
pub(super) struct Counts {
    pub(super) active: AtomicUsize,
    pub(super) rounds: AtomicU64,
    pub(super) rows: AtomicU64,
    pub(super) preempted: AtomicU64,
    pub(super) prompt_tokens: AtomicU64,
    pub(super) cached_tokens: AtomicU64,
}

impl Counts {
    pub(super) fn load(&self, pool: PoolUse, present: usize) -> Load {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Load {
            present,
            active: self.active.load(Ordering::Relaxed),
            rounds: read(&self.rounds),
            rows: read(&self.rows),
            preempted: read(&self.preempted),
            prompt_tokens: read(&self.prompt_tokens),
            cached_tokens: read(&self.cached_tokens),
            pool,
        }
    }
}

pub(super) fn add(count: &AtomicU64, more: usize) {
    count.fetch_add(more as u64, Ordering::Relaxed);
}
