//! Chains that end by themselves.
//!
//! A chain that has ended keeps its answer: however many tokens a forecast adds, they are not spent and change
//! nothing. A chain that was cut off at the length limit says nothing about tokens beyond it.

use crate::error::{TrainerError, at_least};
use crate::forecast::beta_binomial::Count;
use crate::forecast::grid::ForecastGrid;

/// Whether a chain can go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChainEnd {
    /// It can, or was cut off.
    Open,
    /// It ended by itself: its answer stays, and further tokens cost nothing.
    Finished,
}

/// What is known of one grid point of a forecast.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TargetCell {
    /// The grid point's index.
    pub point: usize,
    /// Right answers among those tried there.
    pub count: Count,
}

/// Targets of the prefix after `at` steps from the answers that were forced along the same chain: the answer t tokens
/// later is the target at t ("reuse"). `answers` holds one count per step of the chain, 0 among them, the last at its
/// end. Of a finished chain the last one holds for all later points; of an open one later points are left out.
///
/// # Errors
///
/// [`TrainerError::TooFew`] for a chain without the prefix, [`TrainerError::Range`] for a count that is none.
// [steps + 1] -> [at most points]
pub fn reuse_targets(
    grid: ForecastGrid,
    answers: &[Count],
    end: ChainEnd,
    at: usize,
) -> Result<Vec<TargetCell>, TrainerError> {
    answers.iter().try_for_each(|count| count.check())?;
    at_least("answers of a chain", answers.len(), at + 1)?;
    let last = answers.last().copied().filter(|_| end == ChainEnd::Finished);
    let later = answers.iter().copied().skip(at).map(Some).chain(std::iter::repeat(last));
    let cells = later.take(grid.count()).enumerate();
    Ok(cells.filter_map(|(point, count)| Some(TargetCell { point, count: count? })).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forecast::grid::GridParams;

    #[test]
    fn m08_a_finished_chain_keeps_its_answer_for_all_t() {
        let grid = GridParams { step: 16, max: 64 }.check().unwrap();
        let answers = [0, 0, 1].map(|right| Count { right, of: 1 });
        let rights = |end, at| -> Vec<(usize, u32)> {
            let cells = reuse_targets(grid, &answers, end, at).unwrap();
            cells.iter().map(|cell| (cell.point, cell.count.right)).collect()
        };
        assert_eq!(rights(ChainEnd::Finished, 0), [(0, 0), (1, 0), (2, 1), (3, 1), (4, 1)]);
        assert_eq!(rights(ChainEnd::Finished, 2), [(0, 1), (1, 1), (2, 1), (3, 1), (4, 1)]);
        assert_eq!(rights(ChainEnd::Open, 0), [(0, 0), (1, 0), (2, 1)]);
        assert_eq!(rights(ChainEnd::Open, 2), [(0, 1)]);
        let found = reuse_targets(grid, &answers, ChainEnd::Open, 3).unwrap_err();
        assert_eq!(found.code(), "too_few");
        let wrong = [Count { right: 2, of: 1 }];
        assert!(reuse_targets(grid, &wrong, ChainEnd::Open, 0).is_err());
    }
}
