//! What a table says before anything is learnt from it.

use super::{AnswerEnd, RewardTable, TableAnswer, pass_rate};
use std::fmt;

/// Counts and means of a table, printed where a run ends without a signal.
#[derive(Debug, Clone, PartialEq)]
pub struct TableStatistics {
    /// Its items.
    pub items: usize,
    /// Items whose pass rate is neither near 0 nor near 1.
    pub learnable: usize,
    /// Items without a right answer at any strength.
    pub never_right: usize,
    /// Items without a wrong answer at any strength.
    pub always_right: usize,
    /// Mean pass rate at each strength, `[K + 1]`.
    pub pass: Vec<f64>,
    /// Mean token count at each strength, `[K + 1]`.
    pub tokens: Vec<f64>,
    /// Part of the answers that end at each strength, `[K + 1]`.
    pub finished: Vec<f64>,
}

impl TableStatistics {
    /// The statistics of a table.
    // [items, K + 1, M] -> [K + 1]
    pub fn of(table: &RewardTable) -> TableStatistics {
        let rates: Vec<f64> = table.items().iter().map(|item| pass_rate(&item.answers)).collect();
        let finished = |answers: &[TableAnswer]| {
            let ended = answers.iter().filter(|answer| answer.end == AnswerEnd::Finished).count();
            ended as f64 / answers.len().max(1) as f64
        };
        let tokens = |answers: &[TableAnswer]| {
            let sum: f64 = answers.iter().map(|answer| f64::from(answer.tokens)).sum();
            sum / answers.len().max(1) as f64
        };
        TableStatistics {
            items: rates.len(),
            learnable: table.learnable().len(),
            never_right: rates.iter().filter(|rate| **rate == 0.0).count(),
            always_right: rates.iter().filter(|rate| **rate == 1.0).count(),
            pass: by_strength(table, pass_rate),
            tokens: by_strength(table, tokens),
            finished: by_strength(table, finished),
        }
    }
}

/// The mean over items of a function of the answers at one strength.
// [items, K + 1, M] -> [K + 1]
fn by_strength(table: &RewardTable, f: impl Fn(&[TableAnswer]) -> f64) -> Vec<f64> {
    let mut means = vec![0.0; table.shape().steps + 1];
    let count = table.items().len() as f64;
    for item in table.items() {
        let answers = item.answers.chunks(table.shape().answers);
        means.iter_mut().zip(answers).for_each(|(mean, answers)| *mean += f(answers) / count);
    }
    means
}

impl fmt::Display for TableStatistics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let TableStatistics { items, learnable, never_right, always_right, .. } = self;
        write!(f, "{items} items, {learnable} learnable, {never_right} never right, ")?;
        write!(f, "{always_right} always right")?;
        let rows = self.pass.iter().zip(&self.tokens).zip(&self.finished).enumerate();
        for (n, ((pass, tokens), finished)) in rows {
            write!(f, "\nn = {n}: pass {pass:.3}, tokens {tokens:.1}, finished {finished:.3}")?;
        }
        Ok(())
    }
}
