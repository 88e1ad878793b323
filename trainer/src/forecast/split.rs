//! Three parts that share no problem.
//!
//! Chains of one problem are alike, so a split by chain would let the fit see its test. Every loader asks the split
//! whether its problems are in the part it reads: fit, calibrate or test.

use crate::draw::Draws;
use crate::error::{TrainerError, at_least, within};
pub use crate::forecast::part::SplitPart;
use std::collections::BTreeMap;

/// Shares of the parts; the test part has the rest.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SplitShares {
    /// Share of problems to fit on, above 0.
    pub fit: f64,
    /// Share to calibrate on, above 0; both shares together are below 1.
    pub calibrate: f64,
}

impl Default for SplitShares {
    fn default() -> SplitShares {
        SplitShares { fit: 0.5, calibrate: 0.2 }
    }
}

/// Which problem is in which part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProblemSplit {
    parts: BTreeMap<u64, SplitPart>,
}

impl ProblemSplit {
    /// Draws a split of the distinct ids in `problems`. The result depends on the set of ids and the numbers drawn,
    /// not on the order of the ids. `uniform` gives numbers in [0, 1).
    ///
    /// # Errors
    ///
    /// [`TrainerError::Range`] for a share, [`TrainerError::TooFew`] if a part would be empty.
    // [n] -> [distinct problems]
    pub fn draw(
        problems: &[u64],
        shares: SplitShares,
        uniform: &mut dyn FnMut() -> f64,
    ) -> Result<ProblemSplit, TrainerError> {
        within("split.fit", shares.fit, [f64::MIN_POSITIVE, 1.0])?;
        within("split.calibrate", shares.calibrate, [f64::MIN_POSITIVE, 1.0 - shares.fit])?;
        let mut ids = problems.to_vec();
        ids.sort_unstable();
        ids.dedup();
        let count = ids.len();
        let ids = Draws::of(uniform).choose(ids, count)?;
        let of = |share: f64| (share * ids.len() as f64).round() as usize;
        let (fit, rest) = ids.split_at(of(shares.fit).min(ids.len()));
        let (calibrate, test) = rest.split_at(of(shares.calibrate).min(rest.len()));
        ProblemSplit::load(fit, calibrate, test)
    }

    /// The split with these parts. An id may stand several times in one part, once for each of its chains.
    ///
    /// # Errors
    ///
    /// [`TrainerError::TwoParts`] for an id in two of them, [`TrainerError::TooFew`] for an empty part.
    // [a], [b], [c] -> [distinct problems]
    pub fn load(fit: &[u64], calibrate: &[u64], test: &[u64]) -> Result<Self, TrainerError> {
        let mut parts = BTreeMap::new();
        for (part, ids) in SplitPart::ALL.into_iter().zip([fit, calibrate, test]) {
            at_least("problems of a part", ids.len(), 1)?;
            for problem in ids.iter().copied() {
                let first = *parts.entry(problem).or_insert(part);
                if first != part {
                    return Err(TrainerError::TwoParts { problem, first, second: part });
                }
            }
        }
        Ok(ProblemSplit { parts })
    }

    /// The part of a problem.
    pub fn part(&self, problem: u64) -> Option<SplitPart> {
        self.parts.get(&problem).copied()
    }

    /// The problems of a part, by id.
    pub fn problems(&self, part: SplitPart) -> Vec<u64> {
        let all = self.parts.iter().filter(|(_, of)| **of == part);
        all.map(|(problem, _)| *problem).collect()
    }

    /// Checks that all problems are in `part`.
    ///
    /// # Errors
    ///
    /// [`TrainerError::OtherPart`] for the first that is not.
    pub fn require(
        &self,
        part: SplitPart,
        problems: impl IntoIterator<Item = u64>,
    ) -> Result<(), TrainerError> {
        for problem in problems {
            if self.part(problem) != Some(part) {
                return Err(TrainerError::OtherPart { problem, expected: part });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Numbers;

    #[test]
    fn m10_no_problem_is_in_two_parts() {
        let ids: Vec<u64> = (0..600).flat_map(|id| [id * 7; 4]).collect();
        let mut numbers = Numbers::of(1);
        let mut uniform = || numbers.uniform();
        let split = ProblemSplit::draw(&ids, SplitShares::default(), &mut uniform).unwrap();
        let parts = SplitPart::ALL.map(|part| split.problems(part));
        assert_eq!(parts.each_ref().map(Vec::len), [300, 120, 180]);
        let mut all = parts.concat();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 600);
        assert!(parts[0].windows(2).any(|pair| pair[1] - pair[0] > 7), "not shuffled");
    }

    #[test]
    fn m10_the_loader_refuses_an_id_in_two_parts() {
        let found = ProblemSplit::load(&[1, 1, 2], &[3], &[4, 2]);
        let (first, second) = (SplitPart::Fit, SplitPart::Test);
        assert_eq!(found, Err(TrainerError::TwoParts { problem: 2, first, second }));
        let split = ProblemSplit::load(&[1, 1, 2], &[3], &[4]).unwrap();
        assert!(split.require(SplitPart::Fit, [1, 2, 1]).is_ok());
        for problem in [3, 9] {
            let expected = SplitPart::Fit;
            let found = split.require(expected, [1, problem]);
            assert_eq!(found, Err(TrainerError::OtherPart { problem, expected }));
        }
    }

    #[test]
    fn a_split_depends_on_the_set_and_the_draws_alone() {
        let draw = |ids: &[u64], seed| {
            let mut numbers = Numbers::of(seed);
            ProblemSplit::draw(ids, SplitShares::default(), &mut || numbers.uniform()).unwrap()
        };
        let (ids, back): (Vec<u64>, Vec<u64>) = ((0..40).collect(), (0..40).rev().collect());
        assert_eq!(draw(&ids, 5), draw(&back, 5));
        assert_ne!(draw(&ids, 5), draw(&ids, 6));
    }

    #[test]
    fn wrong_shares_and_too_few_problems_are_refused() {
        let draw = |fit, calibrate, ids: &[u64]| {
            ProblemSplit::draw(ids, SplitShares { fit, calibrate }, &mut || 0.5)
        };
        let many: Vec<u64> = (0..100).collect();
        for (fit, calibrate) in [(0.0, 0.2), (0.8, 0.3), (f64::NAN, 0.2), (0.5, f64::NAN)] {
            assert_eq!(draw(fit, calibrate, &many).unwrap_err().code(), "invalid_value");
        }
        assert_eq!(draw(0.5, 0.5, &many).unwrap_err().code(), "too_few");
        assert_eq!(draw(0.5, 0.2, &[1, 2]).unwrap_err().code(), "too_few");
    }
}
