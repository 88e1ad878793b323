//! Whether a run goes on, and why one stops that needs no model to tell.

use super::batch::BatchReport;
use crate::error::TrainerError;
use crate::ponder::table::{RewardTable, TableStatistics};
use std::collections::VecDeque;

/// Updates over which groups without a signal are counted.
pub const SIGNAL_WINDOW: usize = 50;
/// A larger part of groups without a signal ends a run.
pub const UNSIGNALLED_SHARE: f64 = 0.8;
/// A larger part of items with the same strength is a collapse.
pub const COLLAPSE_SHARE: f64 = 0.99;

/// Whether a run goes on.
#[derive(Debug, Clone, PartialEq)]
pub enum TrainStanding {
    /// There are updates left.
    Running,
    /// All updates were made.
    Finished,
    /// It stopped before its end.
    Stopped(TrainStop),
}

/// Why a run stopped. The controller is the last good one.
#[derive(Debug, Clone, PartialEq)]
pub enum TrainStop {
    /// More than [`UNSIGNALLED_SHARE`] of the groups of the last [`SIGNAL_WINDOW`] updates had no signal.
    NoSignal {
        /// Groups without a signal.
        unsignalled: usize,
        /// All groups.
        groups: usize,
        /// Groups all of whose actions had the same strength: where these are the reason, the policy has settled, and the table
        /// may well have a signal.
        single: usize,
        /// The fit table.
        statistics: TableStatistics,
    },
    /// A loss, gradient, weight or logit was NaN or infinite. The update was not made.
    NotFinite {
        /// The number or vector.
        what: &'static str,
        /// The item, or those of the update where it was no single one.
        items: Vec<String>,
    },
}

impl TrainStop {
    /// The name of the reason in logs.
    pub fn as_str(&self) -> &'static str {
        match self {
            TrainStop::NoSignal { .. } => "no_signal",
            TrainStop::NotFinite { .. } => "not_finite",
        }
    }

    /// The stop that an error of an update over `items` is.
    ///
    /// # Errors
    ///
    /// Every error that does not say that a number is not finite, as it was.
    pub(super) fn of(error: TrainerError, items: Vec<String>) -> Result<TrainStop, TrainerError> {
        if let TrainerError::NotFinite { what } = error {
            return Ok(TrainStop::NotFinite { what, items });
        }
        let TrainerError::Item { id, problem } = error else { return Err(error) };
        if let TrainerError::NotFinite { what } = *problem {
            return Ok(TrainStop::NotFinite { what, items: vec![id] });
        }
        Err(TrainerError::Item { id, problem })
    }
}

/// A policy that gives nearly all items of the select split one strength before stage 3: a warning, not an end.
#[derive(Debug, Clone, PartialEq)]
pub struct PolicyCollapse {
    /// Updates made when it was seen.
    pub update: usize,
    /// The strength.
    pub n: usize,
    /// The part of items that get it.
    pub share: f64,
    /// The policy's mean reward.
    pub reward: f64,
    /// The mean reward of that strength on all items.
    pub fixed_reward: f64,
}

/// The groups of the last updates.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct SignalWindow {
    updates: VecDeque<BatchReport>,
}

impl SignalWindow {
    pub(super) fn push(&mut self, batch: BatchReport) {
        self.updates.push_back(batch);
        if self.updates.len() > SIGNAL_WINDOW {
            self.updates.pop_front();
        }
    }

    /// The stop of a full window with too few signals.
    pub(super) fn stop(&self, fit: &RewardTable) -> Option<TrainStop> {
        let sum = |count: fn(&BatchReport) -> usize| self.updates.iter().map(count).sum::<usize>();
        let (unsignalled, groups) = (sum(|batch| batch.unsignalled), sum(|batch| batch.groups));
        let single = sum(|batch| batch.single);
        let full = self.updates.len() == SIGNAL_WINDOW;
        let few = unsignalled as f64 > UNSIGNALLED_SHARE * groups as f64;
        (full && few).then(|| {
            let statistics = TableStatistics::of(fit);
            TrainStop::NoSignal { unsignalled, groups, single, statistics }
        })
    }
}
