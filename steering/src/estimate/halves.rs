//! Whether two halves of the items give the same direction.

use super::algebra::cosine;
use super::classes::{Classes, Pairing};
use super::folds::folds;
use super::moments::{Means, Moments};
use crate::error::Result;

/// The half of each item of both classes, dealt so that no group is in both.
#[derive(Debug, Clone)]
pub(crate) struct Deal([Vec<usize>; 2]);

impl Deal {
    /// The halves of pairs by their groups, or of states without partners by their number; `None` where there are not two.
    pub(crate) fn of(
        groups: &[u64],
        [positives, negatives]: [usize; 2],
        pairing: Pairing,
    ) -> Option<Deal> {
        let numbered = |count: usize| (0..count as u64).collect::<Vec<u64>>();
        let dealt = |groups: &[u64]| folds(groups, 2).ok();
        let first = if groups.is_empty() { numbered(positives) } else { groups.to_vec() };
        let first = dealt(&first)?;
        let second = match pairing {
            Pairing::Paired => first.clone(),
            Pairing::Separate => dealt(&numbered(negatives))?,
        };
        Some(Deal([first, second]))
    }
}

/// Sums of both halves, class by class, as states come.
#[derive(Debug, Clone)]
pub(crate) struct Halves {
    /// States seen of each class.
    seen: [usize; 2],
    /// By half, then by class.
    sums: [[Moments; 2]; 2],
}

impl Halves {
    pub(crate) fn new(width: usize) -> Halves {
        let none = || [Moments::new(width), Moments::new(width)];
        Halves { seen: [0; 2], sums: [none(), none()] }
    }

    /// Adds the next state of a class: 0 the positive one, 1 the negative one.
    // [width] -> Σ [width]
    pub(crate) fn add(&mut self, deal: &Deal, class: usize, state: &[f32]) -> Result<()> {
        let (Some(seen), Some(halves)) = (self.seen.get_mut(class), deal.0.get(class)) else {
            return Ok(());
        };
        let half = halves.get(*seen).copied();
        *seen += 1;
        let sums = half.and_then(|half| self.sums.get_mut(half)?.get_mut(class));
        sums.map_or(Ok(()), |sums| sums.add(state))
    }

    /// The cosine between the halves' differences of means. `None` if a half has no item of a class or no difference.
    pub(crate) fn cosine(&self) -> Option<f64> {
        let difference = |[positive, negative]: &[Moments; 2]| {
            Some(Means::of(positive, negative).ok()?.difference())
        };
        let [first, second] = &self.sums;
        let cosine = cosine(&difference(first)?, &difference(second)?);
        (!cosine.is_nan()).then_some(cosine)
    }
}

/// The cosine between the mean differences of two halves of the items; no group is in both. `None` if a half has no
/// item of a class or no difference.
// [n, width], [m, width] -> []
pub fn split_half(classes: &Classes<'_>) -> Option<f64> {
    let counts = [classes.positives(), classes.negatives()];
    let deal = Deal::of(classes.groups, counts, classes.pairing)?;
    let mut halves = Halves::new(classes.width);
    let (positive, negative) = classes.rows();
    for (class, rows) in [positive, negative].into_iter().enumerate() {
        for row in rows {
            halves.add(&deal, class, row).ok()?;
        }
    }
    halves.cosine()
}
