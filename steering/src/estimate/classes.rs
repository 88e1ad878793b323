//! States of both classes at one candidate, checked once.

use super::algebra::project;
use super::moments::Moments;
use crate::error::{Error, Result};
use ndarray::Array2;
use std::slice::ChunksExact;

/// States of both classes at one candidate: shapes fit, values are finite, no class is empty.
#[derive(Debug, Clone, Copy)]
pub struct Classes<'a> {
    pub(crate) width: usize,
    pub(crate) positive: &'a [f32],
    pub(crate) negative: &'a [f32],
    pub(crate) groups: &'a [u64],
    pub(crate) pairing: Pairing,
}

/// Whether row i of both classes is one pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pairing {
    /// Row i of both is pair i.
    Paired,
    /// Labelled states without partners.
    Separate,
}

impl<'a> Classes<'a> {
    /// Row i of both is pair i, and `groups[i]` its group, which no fold divides. Without groups (an empty slice)
    /// every pair is its own.
    // [n * width], [n * width], [n]
    pub fn paired(
        width: usize,
        positive: &'a [f32],
        negative: &'a [f32],
        groups: &'a [u64],
    ) -> Result<Self> {
        let classes = Classes { width, positive, negative, groups, pairing: Pairing::Paired };
        classes.check()?;
        let (n, m) = (classes.positives(), classes.negatives());
        if n != m {
            return Err(Error::estimate(
                "pairs",
                format!("have {n} positive and {m} negative states"),
            ));
        }
        if !groups.is_empty() && groups.len() != n {
            let problem = format!("are {}, expected one for each of {n} pairs", groups.len());
            return Err(Error::estimate("groups", problem));
        }
        Ok(classes)
    }

    /// Labelled states without partners.
    // [n * width], [m * width]
    pub fn separate(width: usize, positive: &'a [f32], negative: &'a [f32]) -> Result<Self> {
        let classes =
            Classes { width, positive, negative, groups: &[], pairing: Pairing::Separate };
        classes.check()?;
        Ok(classes)
    }

    fn check(&self) -> Result<()> {
        for (what, states) in
            [("positive states", self.positive), ("negative states", self.negative)]
        {
            if self.width == 0 || !states.len().is_multiple_of(self.width) {
                let problem = format!("have {} values, no rows of {}", states.len(), self.width);
                return Err(Error::estimate(what, problem));
            }
            if states.is_empty() {
                return Err(Error::TooFewPairs { what, found: 0, least: 1 });
            }
            crate::direction::finite(what, states)?;
        }
        Ok(())
    }

    /// Values of a state.
    pub fn width(&self) -> usize {
        self.width
    }

    /// How many positive states.
    pub fn positives(&self) -> usize {
        self.positive.len() / self.width
    }

    /// How many negative states.
    pub fn negatives(&self) -> usize {
        self.negative.len() / self.width
    }

    /// Sums of the positive and of the negative states.
    pub fn moments(&self) -> Result<(Moments, Moments)> {
        Ok((Moments::of(self.width, self.positive)?, Moments::of(self.width, self.negative)?))
    }

    /// Positive and negative states, row by row.
    pub(crate) fn rows(&self) -> (ChunksExact<'a, f32>, ChunksExact<'a, f32>) {
        (self.positive.chunks_exact(self.width), self.negative.chunks_exact(self.width))
    }

    /// δ_i = x_i⁺ − x_i⁻, or an error if states have no partners.
    // [n, width], [n, width] -> [n, width]
    pub(crate) fn differences(&self) -> Result<Array2<f64>> {
        if self.pairing == Pairing::Separate {
            let problem = "have no partners, and this estimator needs pairs";
            return Err(Error::estimate("states", problem));
        }
        let each = self.positive.iter().zip(self.negative);
        let values = each.map(|(p, n)| f64::from(*p) - f64::from(*n)).collect();
        table(self.positives(), self.width, values)
    }

    /// All states, positives first, each less a mean given for its class.
    // [n, width], [m, width], [width], [width] -> [n + m, width]
    pub(crate) fn about(&self, positive: &[f64], negative: &[f64]) -> Result<Array2<f64>> {
        let mut values = Vec::with_capacity(self.positive.len() + self.negative.len());
        for (states, mean) in [(self.positive, positive), (self.negative, negative)] {
            let all = states.iter().zip(mean.iter().cycle());
            values.extend(all.map(|(x, mean)| f64::from(*x) - mean));
        }
        table(self.positives() + self.negatives(), self.width, values)
    }

    /// The group of each pair; pairs without groups are their own.
    pub(crate) fn group_of_each(&self) -> Vec<u64> {
        if self.groups.is_empty() {
            (0..self.positives() as u64).collect()
        } else {
            self.groups.to_vec()
        }
    }

    /// Projections of the positive and of the negative states on a direction.
    // [n, width], [m, width], [width] -> [n], [m]
    pub fn projections(&self, direction: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let (positive, negative) = self.rows();
        let on = |rows: ChunksExact<'_, f32>| rows.map(|x| project(x, direction)).collect();
        (on(positive), on(negative))
    }
}

// [rows * width] -> [rows, width]
fn table(rows: usize, width: usize, values: Vec<f64>) -> Result<Array2<f64>> {
    Array2::from_shape_vec((rows, width), values)
        .map_err(|error| Error::estimate("states", error.to_string()))
}
