//! One update's groups: what is drawn, and the gradient that follows.

use super::curriculum::CurriculumPoint;
use super::loss::{ActionSample, LossTerms, group_loss};
use super::params::Train;
use crate::draw::Draws;
use crate::error::TrainerError;
use crate::ponder::advantage::{CanonMetric, GroupRewards, GroupSignal};
use crate::ponder::net::PreparedController;
use crate::ponder::policy::HaltingPolicy;
use crate::ponder::table::{ActionAnswers, RewardRule, RewardTable, TableItem};

/// What the groups of an update need.
#[derive(Debug, Clone, Copy)]
pub(super) struct BatchSetting<'a> {
    pub(super) controller: &'a PreparedController,
    /// P_ref; none where its distance costs nothing.
    pub(super) reference: Option<&'a PreparedController>,
    pub(super) table: &'a RewardTable,
    pub(super) rule: &'a RewardRule,
    pub(super) train: &'a Train,
    pub(super) point: CurriculumPoint,
}

/// Counts and means over the groups of one update.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct BatchReport {
    /// All groups.
    pub groups: usize,
    /// Groups whose actions have equal mean rewards. They are skipped.
    pub dead: usize,
    /// Groups whose mean rewards are equal, or would be without the term that breaks ties.
    pub unsignalled: usize,
    /// Groups all of whose actions have the same strength.
    pub single: usize,
    /// The loss, with 0 for skipped groups.
    pub loss: f64,
    /// Mean reward under the update's cost weight.
    pub reward: f64,
    /// Mean entropy of the policy, nats.
    pub entropy: f64,
    /// Mean of the expected number of steps.
    pub steps: f64,
}

/// The sum over groups, and its gradient with respect to the weights.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Batch {
    pub(super) report: BatchReport,
    /// `[m · (d + 3) + 1]`
    pub(super) gradient: Vec<f64>,
}

/// What one group drew.
struct Played {
    /// `[K_g]`
    chosen: Vec<usize>,
    /// `[K_g, M]`
    rewards: GroupRewards,
    /// `[K_g]`, what CANON splits by
    metric: Vec<f64>,
    /// `[K_g]`, mean rewards without the term that breaks ties
    tasks: Vec<f64>,
}

impl BatchSetting<'_> {
    /// Plays a group for each item and sums the gradients. All groups count in the means, skipped ones with 0, so that the
    /// gradient of `loo` has no bias.
    ///
    /// # Errors
    ///
    /// [`TrainerError::Item`] with the item whose group failed, and [`TrainerError::NotUniform`] in it.
    // items [groups] -> [m · (d + 3) + 1]
    pub(super) fn play(
        &self,
        items: &[&TableItem],
        draws: &mut Draws<'_>,
    ) -> Result<Batch, TrainerError> {
        let gradient = vec![0.0; self.controller.controller().weights().len()];
        let mut batch = Batch { report: BatchReport::default(), gradient };
        let weight = 1.0 / items.len().max(1) as f64;
        for item in items {
            let added = self.add_group(item, weight, &mut batch, draws);
            added.map_err(|problem| problem.of_item(&item.id))?;
        }
        Ok(batch)
    }

    // z_0 [d] -> [m · (d + 3) + 1]
    fn add_group(
        &self,
        item: &TableItem,
        weight: f64,
        batch: &mut Batch,
        draws: &mut Draws<'_>,
    ) -> Result<(), TrainerError> {
        let pass = self.controller.pass(&item.state)?;
        let policy = HaltingPolicy::new(pass.logits())?;
        let played = self.group(item, &policy, draws)?;
        batch.report.count(&policy, &played, weight);
        if played.rewards.signal() == GroupSignal::Dead {
            return Ok(());
        }
        let reference = self.reference.map(|controller| policy_of(controller, item)).transpose()?;
        let terms = LossTerms {
            entropy: self.point.entropy,
            reference: reference.as_ref().map(|policy| (self.train.params().kl, policy)),
        };
        let found = group_loss(&policy, &self.samples(&policy, &played)?, terms)?;
        let slopes: Vec<f64> = found.slopes.iter().map(|slope| slope * weight).collect();
        batch.report.loss += weight * found.loss;
        self.controller.add_gradient(&pass, &slopes, &mut batch.gradient)
    }

    /// Draws K_g actions and M answers of each: `1 + M` random numbers per action.
    // [] -> [K_g, M]
    fn group(
        &self,
        item: &TableItem,
        policy: &HaltingPolicy,
        draws: &mut Draws<'_>,
    ) -> Result<Played, TrainerError> {
        let params = self.train.params();
        let mut chosen = Vec::with_capacity(params.group);
        let mut rewards = Vec::with_capacity(params.group * params.answers);
        let mut metric = Vec::with_capacity(params.group);
        let mut ties = Vec::with_capacity(params.group);
        for _ in 0..params.group {
            let n = policy.sample(draws.uniform()?)?;
            let drawn = self.table.draw_from(item, n, params.answers, draws)?;
            let action = ActionAnswers { n, answers: &drawn };
            rewards.extend(self.rule.rewards(action, self.point.cost)?);
            let tie = self.rule.steering(n)?;
            // Only the order counts: the tie's term grows with s_n, and all actions have M answers.
            metric.push(match params.advantage.canon_metric {
                CanonMetric::Strength => tie,
                CanonMetric::Tokens => drawn.iter().map(|answer| f64::from(answer.tokens)).sum(),
            });
            ties.push(tie);
            chosen.push(n);
        }
        let rewards = GroupRewards::new(rewards, params.answers)?;
        let tasks = rewards.values().iter().zip(&ties).map(|(value, tie)| value + tie).collect();
        Ok(Played { chosen, rewards, metric, tasks })
    }

    // [K_g] -> [K_g]
    fn samples(
        &self,
        policy: &HaltingPolicy,
        played: &Played,
    ) -> Result<Vec<ActionSample>, TrainerError> {
        let advantages = self.train.advantage().of(&played.rewards, &played.metric)?;
        let pairs = played.chosen.iter().zip(advantages);
        // One pass per batch: the policy that drew is the one that learns.
        let sample = |(n, advantage): (&usize, f64)| {
            let old_log_probability = policy.log_probability(*n)?;
            Ok(ActionSample { n: *n, old_log_probability, advantage })
        };
        pairs.map(sample).collect()
    }
}

// z_0 [d] -> [K]
fn policy_of(
    controller: &PreparedController,
    item: &TableItem,
) -> Result<HaltingPolicy, TrainerError> {
    HaltingPolicy::new(controller.pass(&item.state)?.logits())
}

impl BatchReport {
    fn count(&mut self, policy: &HaltingPolicy, played: &Played, weight: f64) {
        let is_dead = |signal: GroupSignal| usize::from(signal == GroupSignal::Dead);
        let dead = is_dead(played.rewards.signal());
        self.groups += 1;
        self.dead += dead;
        self.single += usize::from(played.chosen.iter().all(|n| played.chosen.first() == Some(n)));
        self.unsignalled += dead.max(is_dead(GroupSignal::of(&played.tasks)));
        let values = played.rewards.values();
        self.reward += weight * values.iter().sum::<f64>() / values.len() as f64;
        self.entropy += weight * policy.entropy();
        self.steps += weight * policy.mean_steps();
    }
}
