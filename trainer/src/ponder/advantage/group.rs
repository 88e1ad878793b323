//! The rewards of one group, and whether they say anything.

use crate::error::TrainerError;

/// The smallest difference between mean rewards that is a signal; what is below is rounding. The number is ours.
pub const LEAST_SPREAD: f64 = 1e-9;

/// Whether the actions of a group differ in reward.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupSignal {
    /// `max V − min V` is at least [`LEAST_SPREAD`].
    Live,
    /// All actions are equally good: there is nothing to learn from the group.
    Dead,
}

impl GroupSignal {
    /// Whether mean rewards differ.
    // [n] -> []
    pub fn of(values: &[f64]) -> GroupSignal {
        let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let least = values.iter().copied().fold(f64::INFINITY, f64::min);
        if most - least >= LEAST_SPREAD { GroupSignal::Live } else { GroupSignal::Dead }
    }
}

/// The rewards R of one prompt's actions, M answers each, with their means V.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupRewards {
    /// `[K_g, M]`, action by action
    rewards: Vec<f64>,
    /// `[K_g]`
    values: Vec<f64>,
}

impl GroupRewards {
    /// The rewards of K_g actions one after the other, `answers` (M) of each.
    ///
    /// # Errors
    ///
    /// [`TrainerError::TooFew`] for fewer than two actions or no answer, [`TrainerError::Width`] if an action has fewer answers
    /// than the others, and [`TrainerError::NotFinite`] if a reward is not finite.
    // [K_g · M] -> [K_g, M]
    pub fn new(rewards: Vec<f64>, answers: usize) -> Result<GroupRewards, TrainerError> {
        if answers == 0 {
            return Err(TrainerError::TooFew { what: "answers of an action", found: 0, least: 1 });
        }
        let actions = rewards.len() / answers;
        if actions < 2 {
            return Err(TrainerError::TooFew {
                what: "actions of a group",
                found: actions,
                least: 2,
            });
        }
        crate::error::width("rewards", rewards.len(), actions * answers)?;
        if !rewards.iter().all(|reward| reward.is_finite()) {
            return Err(TrainerError::NotFinite { what: "reward" });
        }
        let values = rewards.chunks(answers).map(|own| mean(own.iter().copied())).collect();
        Ok(GroupRewards { rewards, values })
    }

    /// R: all rewards, action by action, `[K_g · M]`.
    pub fn rewards(&self) -> &[f64] {
        &self.rewards
    }

    /// V: the mean reward of each action, `[K_g]`.
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// Whether the actions differ in V.
    pub fn signal(&self) -> GroupSignal {
        GroupSignal::of(&self.values)
    }
}

/// The mean, taken about the first value: of equal numbers it is that number exactly. 0 of none.
// [n] -> []
pub(super) fn mean(mut values: impl Iterator<Item = f64>) -> f64 {
    let Some(first) = values.next() else { return 0.0 };
    let (mut sum, mut count) = (0.0, 1.0);
    for value in values {
        sum += value - first;
        count += 1.0;
    }
    first + sum / count
}

/// The population's standard deviation.
// [n] -> []
pub(super) fn deviation(values: &[f64]) -> f64 {
    let centre = mean(values.iter().copied());
    mean(values.iter().map(|value| (value - centre).powi(2))).max(0.0).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_means_over_answers() {
        let group = GroupRewards::new(vec![1.0, 0.0, 0.5, 0.5, 1.0, 1.0], 2).unwrap();
        assert_eq!(group.values(), [0.5, 0.5, 1.0]);
        assert_eq!(group.signal(), GroupSignal::Live);
    }

    #[test]
    fn a_spread_below_the_least_is_dead() {
        let of = |spread: f64| GroupSignal::of(&[0.0, spread, spread / 2.0]);
        assert_eq!(of(0.99 * LEAST_SPREAD), GroupSignal::Dead);
        assert_eq!(of(1.01 * LEAST_SPREAD), GroupSignal::Live);
        // Different answers of equally good actions are no signal.
        let group = GroupRewards::new(vec![1.0, 0.0, 0.0, 1.0], 2).unwrap();
        assert_eq!(group.signal(), GroupSignal::Dead);
    }

    #[test]
    fn rewards_that_are_no_group_are_refused() {
        let new = |rewards: &[f64], answers| GroupRewards::new(rewards.to_vec(), answers);
        assert!(matches!(new(&[1.0, 0.0], 0), Err(TrainerError::TooFew { .. })));
        assert!(matches!(new(&[1.0, 0.0], 2), Err(TrainerError::TooFew { .. })));
        assert!(matches!(new(&[1.0; 5], 2), Err(TrainerError::Width { .. })));
        assert!(matches!(new(&[1.0, f64::NAN], 1), Err(TrainerError::NotFinite { .. })));
    }

    #[test]
    fn the_mean_and_deviation_of_equal_numbers_are_exact() {
        // The plain sum of three tenths is not three times one.
        let values = [0.1; 3];
        assert_eq!((mean(values.into_iter()), deviation(&values)), (0.1, 0.0));
        assert_eq!(mean(std::iter::empty()), 0.0);
        assert_eq!(deviation(&[1.0, 3.0]), 1.0);
    }
}
