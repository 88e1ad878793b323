//! The keys `train.*`, with their defaults and ranges.

use crate::error::{TrainerError, positive, within};
use crate::ponder::advantage::{Advantage, AdvantageParams};

/// The keys `train.*` as users write them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TrainParams {
    /// `train.advantage`, `train.rs_beta` and `train.canon_mu`.
    pub advantage: AdvantageParams,
    /// K_g: actions per item and update, 2–64.
    pub group: usize,
    /// M: answers per action, 1–16.
    pub answers: usize,
    /// S: updates of a run, above 0.
    pub updates: usize,
    /// Items per update, above 0.
    pub items: usize,
    /// The learning rate, above 0.
    pub lr: f64,
    /// w_c in stage 3, 0–1.
    pub cost: f64,
    /// The entropy weight in stage 1, 0–0.1.
    pub entropy: f64,
    /// The entropy weight in stage 3, 0–0.1.
    pub entropy_end: f64,
    /// β_KL, 0–1: how much the distance from the starting policy costs; 0 for a fresh controller. The range is ours.
    pub kl: f64,
    /// What the caller keys its generator with; kept here so that a record of a run is complete.
    pub seed: u64,
}

impl Default for TrainParams {
    fn default() -> Self {
        TrainParams {
            advantage: AdvantageParams::default(),
            group: 8,
            answers: 4,
            updates: 600,
            items: 16,
            lr: 3e-4,
            cost: 0.1,
            entropy: 0.02,
            entropy_end: 0.002,
            kl: 0.0,
            seed: 0,
        }
    }
}

impl TrainParams {
    /// The checked form.
    ///
    /// # Errors
    ///
    /// [`TrainerError::Range`] with the key, its value and its range, [`TrainerError::TooFew`] for no updates or items, and
    /// [`TrainerError::NotPositive`] for a learning rate that is not above 0.
    pub fn check(self) -> Result<Train, TrainerError> {
        for (what, found) in [("train.updates", self.updates), ("train.items", self.items)] {
            if found == 0 {
                return Err(TrainerError::TooFew { what, found, least: 1 });
            }
        }
        let ranges = [
            ("train.group", self.group as f64, [2.0, 64.0]),
            ("train.answers", self.answers as f64, [1.0, 16.0]),
            ("train.cost", self.cost, [0.0, 1.0]),
            ("train.entropy", self.entropy, [0.0, 0.1]),
            ("train.entropy_end", self.entropy_end, [0.0, 0.1]),
            ("train.kl", self.kl, [0.0, 1.0]),
        ];
        for (key, value, range) in ranges {
            within(key, value, range)?;
        }
        positive("train.lr", self.lr)?;
        Ok(Train { advantage: self.advantage.check()?, params: self })
    }
}

/// Checked keys of a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Train {
    params: TrainParams,
    advantage: Advantage,
}

impl Train {
    /// The keys, each in its range.
    pub fn params(&self) -> &TrainParams {
        &self.params
    }

    /// The advantage function.
    pub fn advantage(&self) -> &Advantage {
        &self.advantage
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_outside_their_ranges_are_refused() {
        let usual = TrainParams::default;
        let advantage = AdvantageParams { canon_mu: 2.0, ..AdvantageParams::default() };
        let bad = [
            ("train.group", TrainParams { group: 1, ..usual() }),
            ("train.group", TrainParams { group: 65, ..usual() }),
            ("train.answers", TrainParams { answers: 0, ..usual() }),
            ("train.answers", TrainParams { answers: 17, ..usual() }),
            ("train.updates", TrainParams { updates: 0, ..usual() }),
            ("train.items", TrainParams { items: 0, ..usual() }),
            ("train.lr", TrainParams { lr: 0.0, ..usual() }),
            ("train.cost", TrainParams { cost: 1.1, ..usual() }),
            ("train.entropy", TrainParams { entropy: f64::NAN, ..usual() }),
            ("train.entropy_end", TrainParams { entropy_end: 0.2, ..usual() }),
            ("train.kl", TrainParams { kl: -1.0, ..usual() }),
            ("train.canon_mu", TrainParams { advantage, ..usual() }),
        ];
        for (key, params) in bad {
            let error = params.check().unwrap_err().to_string();
            assert!(error.starts_with(key), "{error} for {key}");
        }
        assert_eq!(usual().check().unwrap().params(), &usual());
    }
}
