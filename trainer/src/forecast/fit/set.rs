//! Chains with their targets, checked.

use crate::error::{TrainerError, at_least, width, within};
use crate::forecast::chain::TargetCell;
use crate::forecast::net::ForecastShape;
use crate::forecast::pool::PoolScalars;
use crate::forecast::split::{ProblemSplit, SplitPart};
use std::collections::BTreeMap;

/// Mean rates between these can be forecast.
const MEANS: [f64; 2] = [0.05, 0.95];
/// The smallest standard deviation of problem means; that "spread" is the standard deviation is ours.
const SPREAD: f64 = 0.02;

/// A prefix of a chain and what came after it.
#[derive(Debug, Clone, PartialEq)]
pub struct FitPrefix {
    /// Positions that are pooled, prompt and generated tokens: at least 1.
    pub positions: usize,
    /// What else a forecast reads there.
    pub scalars: PoolScalars,
    /// Known grid points, at least one with an answer.
    pub cells: Vec<TargetCell>,
}

/// A chain with its prefixes.
#[derive(Debug, Clone, PartialEq)]
pub struct FitChain {
    /// The problem's id.
    pub problem: u64,
    /// Standardised states of the prompt and the generated tokens, `[positions, width]`.
    pub states: Vec<f32>,
    /// Prefixes by rising length.
    pub prefixes: Vec<FitPrefix>,
}

/// The chains of one part of a split.
#[derive(Debug, Clone, PartialEq)]
pub struct FitSet {
    part: SplitPart,
    shape: ForecastShape,
    chains: Vec<FitChain>,
    /// Sum of rates and number of cells of each problem.
    problems: BTreeMap<u64, [f64; 2]>,
}

impl FitSet {
    /// These chains as `part` of the split.
    ///
    /// # Errors
    ///
    /// [`TrainerError::OtherPart`] for a problem of another part; [`TrainerError::Width`],
    /// [`TrainerError::Range`], [`TrainerError::Order`], [`TrainerError::TooFew`] or [`TrainerError::NotFinite`]
    /// for chains that do not fit the shape.
    pub fn new(
        split: &ProblemSplit,
        part: SplitPart,
        shape: ForecastShape,
        chains: Vec<FitChain>,
    ) -> Result<FitSet, TrainerError> {
        let shape = shape.check()?;
        at_least("chains", chains.len(), 1)?;
        split.require(part, chains.iter().map(|chain| chain.problem))?;
        chains.iter().try_for_each(|chain| chain.check(shape))?;
        let mut problems: BTreeMap<u64, [f64; 2]> = BTreeMap::new();
        for chain in &chains {
            let [rates, cells] = problems.entry(chain.problem).or_default();
            for rate in chain.prefixes.iter().flat_map(FitPrefix::rates) {
                *rates += rate;
                *cells += 1.0;
            }
        }
        Ok(FitSet { part, shape, chains, problems })
    }

    /// Mean and standard deviation of the problems' mean rates.
    pub fn targets(&self) -> [f64; 2] {
        let count = self.problems.len() as f64;
        let means = || self.problems.values().map(|[rates, cells]| rates / cells);
        let mean = means().sum::<f64>() / count;
        let variance = means().map(|of| (of - mean).powi(2)).sum::<f64>() / count;
        [mean, variance.sqrt()]
    }

    /// Refuses targets that are all alike.
    pub(super) fn check_targets(&self) -> Result<(), TrainerError> {
        let [mean, spread] = self.targets();
        let [low, high] = MEANS;
        if (low..=high).contains(&mean) && spread >= SPREAD {
            return Ok(());
        }
        Err(TrainerError::ConstantTarget { mean, spread, low, high, least: SPREAD })
    }

    pub(super) fn require(&self, part: SplitPart) -> Result<(), TrainerError> {
        match self.chains.first().filter(|_| self.part != part) {
            None => Ok(()),
            Some(chain) => {
                let problem = chain.problem;
                Err(TrainerError::OtherPart { problem, expected: part })
            }
        }
    }

    /// The weight of one cell of a problem: all weights sum to 1, and those of each problem to the same.
    pub(super) fn cell_weight(&self, problem: u64) -> f64 {
        let cells = self.problems.get(&problem).map_or(f64::INFINITY, |[_, cells]| *cells);
        (cells * self.problems.len() as f64).recip()
    }

    /// Its sizes.
    pub fn shape(&self) -> ForecastShape {
        self.shape
    }

    /// Its chains.
    pub fn chains(&self) -> &[FitChain] {
        &self.chains
    }

    /// How many prefixes there are.
    pub fn prefixes(&self) -> usize {
        self.chains.iter().map(|chain| chain.prefixes.len()).sum()
    }
}

impl FitPrefix {
    /// Rates of the cells that have an answer.
    fn rates(&self) -> impl Iterator<Item = f64> {
        self.cells.iter().filter_map(|cell| cell.count.rate())
    }
}

impl FitChain {
    fn check(&self, shape: ForecastShape) -> Result<(), TrainerError> {
        let positions = self.states.len() / shape.width;
        width("states of a chain", self.states.len(), positions * shape.width)?;
        if !self.states.iter().all(|h| h.is_finite()) {
            return Err(TrainerError::NotFinite { what: "state of a chain" });
        }
        at_least("prefixes of a chain", self.prefixes.len(), 1)?;
        let ends: Vec<usize> = self.prefixes.iter().map(|prefix| prefix.positions).collect();
        if !ends.is_sorted_by(|a, b| a < b) {
            return Err(TrainerError::Order { what: "prefixes", expected: "rising lengths" });
        }
        for prefix in &self.prefixes {
            within("positions", prefix.positions as f64, [1.0, positions as f64])?;
            let last = shape.points as f64 - 1.0;
            for TargetCell { point, count } in &prefix.cells {
                within("point of a cell", *point as f64, [0.0, last])?;
                count.check()?;
            }
            at_least("answers of a prefix", prefix.rates().count(), 1)?;
            let PoolScalars { mean_entropy, last_entropy, mean_log_probability, .. } =
                prefix.scalars;
            if ![mean_entropy, last_entropy, mean_log_probability].iter().all(|of| of.is_finite()) {
                return Err(TrainerError::NotFinite { what: "scalars of a prefix" });
            }
        }
        Ok(())
    }
}
