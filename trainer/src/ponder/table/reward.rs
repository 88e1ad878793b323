//! The reward: right answers, few tokens, an end, and little steering.

use super::{AnswerEnd, AnswerGrade, RewardTable, TableAnswer};
use crate::error::{TrainerError, width};
use crate::ponder::strength::Ladder;

/// What an answer loses that does not end within the limit.
pub const LIMIT_PENALTY: f64 = 0.1;
/// What the largest strength loses; it only breaks ties towards less steering.
pub const STRENGTH_PENALTY: f64 = 0.01;

/// `R = 1[correct] − w_c·tokens/T_ref − 0.1·1[no end] − 0.01·s_n/s_K`. The published reward is not known; this one is ours.
#[derive(Debug, Clone, PartialEq)]
pub struct RewardRule {
    reference_tokens: f64,
    /// `[K + 1]`, s_n/s_K
    shares: Vec<f64>,
}

/// The answers of one action.
#[derive(Debug, Clone, Copy)]
pub struct ActionAnswers<'a> {
    /// The strength they were sampled at.
    pub n: usize,
    /// At least one of them, `[M]`.
    pub answers: &'a [TableAnswer],
}

impl RewardRule {
    /// The rule whose T_ref is the mean token count at n = 0 of the fit split. It serves all splits.
    ///
    /// # Errors
    ///
    /// [`TrainerError::Width`] unless table and ladder have the same K, [`TrainerError::NotPositive`] if no answer at n = 0 has
    /// a token.
    pub fn new(fit: &RewardTable, ladder: &Ladder) -> Result<RewardRule, TrainerError> {
        width("ladder", ladder.steps(), fit.shape().steps)?;
        let (mut tokens, mut count) = (0.0, 0.0);
        for item in fit.items() {
            let answers = fit.answers(item, 0)?;
            tokens += answers.iter().map(|answer| f64::from(answer.tokens)).sum::<f64>();
            count += answers.len() as f64;
        }
        let reference_tokens = tokens / count;
        crate::error::positive("mean tokens without steering", reference_tokens)?;
        Ok(RewardRule { reference_tokens, shares: ladder.shares() })
    }

    /// T_ref, tokens.
    pub fn reference_tokens(&self) -> f64 {
        self.reference_tokens
    }

    /// The reward of each answer of an action under cost weight w_c.
    ///
    /// # Errors
    ///
    /// [`TrainerError::NoStrength`] for n > K.
    // [M] -> [M]
    pub fn rewards<'a>(
        &'a self,
        action: ActionAnswers<'a>,
        cost: f64,
    ) -> Result<impl Iterator<Item = f64> + 'a, TrainerError> {
        let steering = self.steering(action.n)?;
        Ok(action.answers.iter().map(move |answer| self.task(answer, cost) - steering))
    }

    /// The mean reward of an action under cost weight w_c.
    ///
    /// # Errors
    ///
    /// [`TrainerError::NoStrength`] for n > K, [`TrainerError::TooFew`] without answers.
    // [M] -> []
    pub fn mean(&self, action: ActionAnswers<'_>, cost: f64) -> Result<f64, TrainerError> {
        if action.answers.is_empty() {
            return Err(TrainerError::TooFew { what: "answers of an action", found: 0, least: 1 });
        }
        let sum: f64 = action.answers.iter().map(|answer| self.task(answer, cost)).sum();
        Ok(sum / action.answers.len() as f64 - self.steering(action.n)?)
    }

    /// The reward without the term that breaks ties.
    fn task(&self, answer: &TableAnswer, cost: f64) -> f64 {
        let right = match answer.grade {
            AnswerGrade::Correct => 1.0,
            AnswerGrade::Wrong => 0.0,
        };
        let limit = match answer.end {
            AnswerEnd::Finished => 0.0,
            AnswerEnd::AtLimit => LIMIT_PENALTY,
        };
        right - cost * f64::from(answer.tokens) / self.reference_tokens - limit
    }

    /// The term that breaks ties.
    ///
    /// # Errors
    ///
    /// [`TrainerError::NoStrength`] for n > K.
    pub fn steering(&self, n: usize) -> Result<f64, TrainerError> {
        let steps = self.shares.len().saturating_sub(1);
        let share = self.shares.get(n).map(|share| STRENGTH_PENALTY * share);
        share.ok_or(TrainerError::NoStrength { found: n, steps })
    }
}
