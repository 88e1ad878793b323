//! The served policy, and fixed strengths, on the items of a table.

use crate::error::TrainerError;
use crate::ponder::net::PreparedController;
use crate::ponder::table::{ActionAnswers, AnswerGrade, RewardRule, RewardTable, TableItem};

/// What a score is computed with.
#[derive(Debug, Clone, Copy)]
pub struct Scoring<'a> {
    /// The items, and all of their answers.
    pub table: &'a RewardTable,
    /// The reward, with T_ref of the fit split.
    pub rule: &'a RewardRule,
    /// w_c, what T_ref tokens cost.
    pub cost: f64,
    /// τ of the greedy rule.
    pub tau: f64,
}

/// Means over items and their answers under one choice of strengths.
#[derive(Debug, Clone, PartialEq)]
pub struct PolicyScore {
    /// Mean reward.
    pub reward: f64,
    /// Mean pass rate.
    pub pass: f64,
    /// Mean token count.
    pub tokens: f64,
    /// How many items get each strength, `[K + 1]`.
    pub counts: Vec<usize>,
    /// The least `|q_k − τ|` of all decisions; none where no decision was taken.
    pub margin: Option<f64>,
}

impl PolicyScore {
    /// The mean of n over the items.
    pub fn mean_steps(&self) -> f64 {
        let sum: usize = self.counts.iter().enumerate().map(|(n, count)| n * count).sum();
        sum as f64 / self.counts.iter().sum::<usize>().max(1) as f64
    }

    /// The strength most items get, with its part of the items; of equals the smaller strength.
    pub fn most_frequent(&self) -> (usize, f64) {
        let total = self.counts.iter().sum::<usize>().max(1) as f64;
        let most = self.counts.iter().copied().max().unwrap_or(0);
        let n = self.counts.iter().position(|count| *count == most).unwrap_or(0);
        (n, most as f64 / total)
    }
}

impl Scoring<'_> {
    /// The score of the greedy policy.
    ///
    /// # Errors
    ///
    /// [`TrainerError::Item`] with the item whose state the controller cannot read, or whose strength the table does not have.
    // [items, d] -> [K + 1]
    pub fn greedy(&self, controller: &PreparedController) -> Result<PolicyScore, TrainerError> {
        let mut score = self.empty();
        for item in self.table.items() {
            let steps = controller.decide(&item.state, self.tau);
            let steps = steps.map_err(|problem| problem.of_item(&item.id))?;
            score.margin = match (score.margin, steps.margin) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            };
            self.add(&mut score, item, steps.n)?;
        }
        Ok(score)
    }

    /// The score of one strength on all items.
    ///
    /// # Errors
    ///
    /// [`TrainerError::Item`] with the first item for an n above K.
    // [items, M] -> []
    pub fn fixed(&self, n: usize) -> Result<PolicyScore, TrainerError> {
        let mut score = self.empty();
        self.table.items().iter().try_for_each(|item| self.add(&mut score, item, n))?;
        Ok(score)
    }

    /// The best fixed strength by mean reward; of equals the smaller one.
    ///
    /// # Errors
    ///
    /// [`TrainerError::Item`] if table and reward differ in K.
    // [items, K + 1, M] -> []
    pub fn best_fixed(&self) -> Result<(usize, PolicyScore), TrainerError> {
        let mut best = (0, self.fixed(0)?);
        for n in 1..=self.table.shape().steps {
            let score = self.fixed(n)?;
            if score.reward > best.1.reward {
                best = (n, score);
            }
        }
        Ok(best)
    }

    fn empty(&self) -> PolicyScore {
        let counts = vec![0; self.table.shape().steps + 1];
        PolicyScore { reward: 0.0, pass: 0.0, tokens: 0.0, counts, margin: None }
    }

    // [M] -> []
    fn add(&self, score: &mut PolicyScore, item: &TableItem, n: usize) -> Result<(), TrainerError> {
        let of_item = |problem: TrainerError| problem.of_item(&item.id);
        let answers = self.table.answers(item, n).map_err(of_item)?;
        let action = ActionAnswers { n, answers };
        let items = self.table.items().len() as f64;
        let part = 1.0 / (items * answers.len() as f64);
        score.reward += self.rule.mean(action, self.cost).map_err(of_item)? / items;
        for answer in answers {
            score.tokens += part * f64::from(answer.tokens);
            score.pass += match answer.grade {
                AnswerGrade::Correct => part,
                AnswerGrade::Wrong => 0.0,
            };
        }
        if let Some(count) = score.counts.get_mut(n) {
            *count += 1;
        }
        Ok(())
    }
}
