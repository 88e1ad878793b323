//! Where the states of an extraction come from: from memory, or from the model again.
//!
//! Estimation asks for two things only: what was fitted on at every candidate, one after the other, and projections of
//! other items on directions it has found. So states need not be kept.

use super::Result;
use super::states::{About, BLOCK, States};
use super::sums::{Fitted, Plan, Sums};
use crate::estimate;
use crate::pairs::{Class, Part};

/// Where states come from.
pub(super) trait Source {
    /// What is known of the extraction.
    fn about(&self) -> &About;

    /// Hands over what was fitted on at every candidate, in their order.
    fn fit(&mut self, take: &mut dyn FnMut(usize, Fitted) -> Result<()>) -> Result<()>;

    /// Projections of a part's states on a direction at a candidate each: of the positives, and of the negatives.
    fn project(&mut self, part: Part, asked: &[Asked]) -> Result<Vec<[Vec<f64>; 2]>>;
}

/// A direction at a candidate.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    /// The candidate's number.
    pub candidate: usize,
    /// `[width]`
    pub row: Vec<f64>,
}

/// States that are in memory.
pub(super) struct Held<'s>(pub &'s States);

impl Source for Held<'_> {
    fn about(&self) -> &About {
        &self.0.about
    }

    fn fit(&mut self, take: &mut dyn FnMut(usize, Fitted) -> Result<()>) -> Result<()> {
        let plan = Plan::of(self.about());
        for candidate in 0..self.about().candidates() {
            take(candidate, self.0.fitted(candidate, &plan)?)?;
        }
        Ok(())
    }

    fn project(&mut self, part: Part, asked: &[Asked]) -> Result<Vec<[Vec<f64>; 2]>> {
        let width = self.about().width;
        let on = |asked: &Asked| {
            [Class::Positive, Class::Negative].map(|class| {
                let rows = self.0.of(asked.candidate, class, part);
                rows.chunks_exact(width).map(|x| estimate::project(x, &asked.row)).collect()
            })
        };
        Ok(asked.iter().map(on).collect())
    }
}

impl States {
    /// What is fitted on at a candidate.
    // [rows, candidates, width] -> Σ [width]
    pub(super) fn fitted(&self, candidate: usize, plan: &Plan) -> Result<Fitted> {
        let (width, mut sums, mut block) = (self.about.width, Sums::new(plan), 0);
        let rows = self.values.chunks_exact(self.about.candidates() * width);
        for ((class, item, known), row) in self.about.rows().zip(rows) {
            if known.part != Part::Fit {
                continue;
            }
            if item / BLOCK != block {
                sums.end_block()?;
                block = item / BLOCK;
            }
            let state = row.get(candidate * width..(candidate + 1) * width);
            sums.add(plan, class, state.unwrap_or_default())?;
        }
        sums.fitted(plan)
    }
}
