//! The reward table: sampled answers of each item at each strength, from which all training draws.
//!
//! The model runs once, to fill it. A run of the trainer then costs seconds, can be repeated bit for bit, and every arm is
//! compared on the same answers. Ours, as is the reward.

mod reward;
mod statistics;

pub use reward::{ActionAnswers, LIMIT_PENALTY, RewardRule, STRENGTH_PENALTY};
pub use statistics::TableStatistics;

use crate::draw::Draws;
use crate::error::{TrainerError, width};

/// Mean pass rates of items that are neither always right nor always wrong: those of stages 1 and 2.
pub const LEARNABLE_PASS: [f64; 2] = [0.1, 0.9];

/// What the grader said of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AnswerGrade {
    /// The right answer.
    Correct,
    /// Any other.
    Wrong,
}

/// How an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AnswerEnd {
    /// By itself, within the limit of tokens.
    Finished,
    /// The limit of tokens came first.
    AtLimit,
}

/// One sampled answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TableAnswer {
    /// Whether it is right.
    pub grade: AnswerGrade,
    /// Generated tokens.
    pub tokens: u32,
    /// How it ended.
    pub end: AnswerEnd,
}

/// One item with its answers at all strengths.
#[derive(Debug, Clone, PartialEq)]
pub struct TableItem {
    /// Its name in logs.
    pub id: String,
    /// z_0: the state of the last prompt position at the site, `[d]`.
    pub state: Vec<f32>,
    /// Answers at n = 0, then those at n = 1, and so on to K, `[(K + 1) · M]`.
    pub answers: Vec<TableAnswer>,
}

/// The sizes that all items of a table share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableShape {
    /// K, the most steps.
    pub steps: usize,
    /// d, the width of a state.
    pub width: usize,
    /// Answers of an item at one strength.
    pub answers: usize,
}

/// Items of one split, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct RewardTable {
    shape: TableShape,
    items: Vec<TableItem>,
}

impl RewardTable {
    /// A table of items that have the same sizes.
    ///
    /// # Errors
    ///
    /// [`TrainerError::TooFew`] without items or answers; [`TrainerError::Item`] with the item whose state or answers have
    /// another size, or whose state is not finite.
    // states [items, d], answers [items, K + 1, M]
    pub fn new(shape: TableShape, items: Vec<TableItem>) -> Result<RewardTable, TrainerError> {
        let counts = [("items of a table", items.len()), ("answers at a strength", shape.answers)];
        for (what, found) in counts {
            if found == 0 {
                return Err(TrainerError::TooFew { what, found, least: 1 });
            }
        }
        for item in &items {
            shape.check(item).map_err(|problem| problem.of_item(&item.id))?;
        }
        Ok(RewardTable { shape, items })
    }

    /// The sizes of its items.
    pub fn shape(&self) -> TableShape {
        self.shape
    }

    /// All items.
    pub fn items(&self) -> &[TableItem] {
        &self.items
    }

    /// The answers of an item of this table at strength n, `[M]`.
    ///
    /// # Errors
    ///
    /// [`TrainerError::NoStrength`] for n > K.
    pub fn answers<'a>(
        &self,
        item: &'a TableItem,
        n: usize,
    ) -> Result<&'a [TableAnswer], TrainerError> {
        let found = item.answers.chunks(self.shape.answers).nth(n);
        found.ok_or(TrainerError::NoStrength { found: n, steps: self.shape.steps })
    }

    /// `count` of the answers at strength n, drawn without replacement. `uniform` gives numbers in [0, 1); `count` are taken.
    ///
    /// # Errors
    ///
    /// [`TrainerError::NoStrength`] for n > K, [`TrainerError::TooFew`] if the table has fewer answers, and
    /// [`TrainerError::NotUniform`].
    // [M] -> [count]
    pub fn draw(
        &self,
        item: &TableItem,
        n: usize,
        count: usize,
        uniform: &mut dyn FnMut() -> f64,
    ) -> Result<Vec<TableAnswer>, TrainerError> {
        self.draw_from(item, n, count, &mut Draws::of(uniform))
    }

    // [M] -> [count]
    pub(crate) fn draw_from(
        &self,
        item: &TableItem,
        n: usize,
        count: usize,
        draws: &mut Draws<'_>,
    ) -> Result<Vec<TableAnswer>, TrainerError> {
        let all = self.answers(item, n)?;
        if count > all.len() {
            let what = "answers at a strength";
            return Err(TrainerError::TooFew { what, found: all.len(), least: count });
        }
        draws.choose(all.to_vec(), count)
    }

    /// Indices of the items whose mean pass rate over all strengths lies in [`LEARNABLE_PASS`], in order.
    // [] -> [items]
    pub fn learnable(&self) -> Vec<usize> {
        let [low, high] = LEARNABLE_PASS;
        let lies_in = |item: &TableItem| (low..=high).contains(&pass_rate(&item.answers));
        self.items.iter().enumerate().filter(|(_, item)| lies_in(item)).map(|(at, _)| at).collect()
    }
}

impl TableShape {
    fn check(&self, item: &TableItem) -> Result<(), TrainerError> {
        width("state", item.state.len(), self.width)?;
        width("answers", item.answers.len(), (self.steps + 1) * self.answers)?;
        if item.state.iter().all(|z| z.is_finite()) {
            return Ok(());
        }
        Err(TrainerError::NotFinite { what: "state" })
    }
}

/// The part of answers that is right; 0 of none.
// [n] -> []
fn pass_rate(answers: &[TableAnswer]) -> f64 {
    let right = answers.iter().filter(|answer| answer.grade == AnswerGrade::Correct).count();
    right as f64 / answers.len().max(1) as f64
}

#[cfg(test)]
mod tests;
