//! What is fitted on at one candidate, as its states come: sums by block and by half, and the states themselves for
//! estimators that need them.
//!
//! Sums are made block by block and merged in the order of the blocks, so that they are the same bits whether the states
//! were kept in memory, in shards, or not at all.

use super::Result;
use super::states::About;
use crate::estimate::{Deal, Halves, Moments, Pairing};
use crate::file::card::MethodName;
use crate::pairs::{Class, Part};

/// What must be kept of the states that are fitted on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keeping {
    Sums,
    States,
}

/// What all candidates share.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    width: usize,
    keeping: Keeping,
    /// The halves of the fitted items; `None` where there are not two.
    deal: Option<Deal>,
    /// States of each class.
    counts: [usize; 2],
}

/// What was fitted on at one candidate.
pub(super) struct Fitted {
    /// Sums of the positive and of the negative states.
    pub sums: [Moments; 2],
    /// Cosine of the differences of two halves.
    pub split_half: Option<f64>,
    /// The states of both classes, if they were kept.
    pub states: [Vec<f32>; 2],
}

impl Plan {
    /// Of an extraction.
    pub fn of(about: &About) -> Plan {
        let of_means =
            matches!(about.recipe.method, MethodName::Palrs | MethodName::MeanDifference);
        let keeping =
            if of_means && about.recipe.eta.is_none() { Keeping::Sums } else { Keeping::States };
        let counts = [Class::Positive, Class::Negative].map(|class| about.sides(class, Part::Fit));
        let deal = match about.are_paired() {
            true => Deal::of(&about.groups(Part::Fit), counts, Pairing::Paired),
            false => Deal::of(&[], counts, Pairing::Separate),
        };
        Plan { width: about.width, keeping, deal, counts }
    }

    /// Bytes of one candidate while it is summed: of both classes a block, the whole and two halves, each a sum and a sum
    /// of squares, and the states that are kept.
    pub fn bytes(&self) -> usize {
        let sums = 2 * 4 * 2 * size_of::<f64>();
        let states = match self.keeping {
            Keeping::Sums => 0,
            Keeping::States => self.counts.iter().sum::<usize>().saturating_mul(size_of::<f32>()),
        };
        self.width.saturating_mul(sums.saturating_add(states))
    }
}

/// A candidate whose states come one by one.
pub(super) struct Sums {
    block: [Moments; 2],
    total: [Moments; 2],
    halves: Halves,
    states: [Vec<f32>; 2],
}

impl Sums {
    /// Nothing yet.
    pub fn new(plan: &Plan) -> Sums {
        let none = || [Moments::new(plan.width), Moments::new(plan.width)];
        let kept = |count| match plan.keeping {
            Keeping::Sums => Vec::new(),
            Keeping::States => Vec::with_capacity(count * plan.width),
        };
        Sums {
            block: none(),
            total: none(),
            halves: Halves::new(plan.width),
            states: plan.counts.map(kept),
        }
    }

    /// Adds the next state of a class.
    // [width] -> Σ [width]
    pub fn add(&mut self, plan: &Plan, class: Class, state: &[f32]) -> Result<()> {
        let at = match class {
            Class::Positive => 0,
            Class::Negative => 1,
        };
        if let Some(block) = self.block.get_mut(at) {
            block.add(state)?;
        }
        if let Some(deal) = &plan.deal {
            self.halves.add(deal, at, state)?;
        }
        match (plan.keeping, self.states.get_mut(at)) {
            (Keeping::States, Some(states)) => states.extend_from_slice(state),
            (Keeping::States, None) | (Keeping::Sums, _) => {}
        }
        Ok(())
    }

    /// Ends a block of items.
    pub fn end_block(&mut self) -> Result<()> {
        for (total, block) in self.total.iter_mut().zip(&mut self.block) {
            if block.n > 0 {
                total.merge(block)?;
                block.clear();
            }
        }
        Ok(())
    }

    /// What was fitted on, once all states came.
    pub fn fitted(mut self, plan: &Plan) -> Result<Fitted> {
        self.end_block()?;
        let split_half = plan.deal.as_ref().and_then(|_| self.halves.cosine());
        Ok(Fitted { sums: self.total, split_half, states: self.states })
    }
}
