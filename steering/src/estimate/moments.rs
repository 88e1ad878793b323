//! Sums of the states of one class at one candidate, in f64.
//!
//! Sums and not running means: sums over fixed blocks of items, merged in the order of the blocks, are the same bits on
//! one machine and on several. States are f32, so their squares are exact in f64 and only the additions round.

use super::algebra::norm;
use crate::error::{Error, Result};

/// Number, sum and sum of squares of the states of one class, coordinate by coordinate.
#[derive(Debug, Clone, PartialEq)]
pub struct Moments {
    /// How many states.
    pub n: u64,
    /// Σx, `[width]`.
    pub sum: Vec<f64>,
    /// Σx², `[width]`.
    pub squares: Vec<f64>,
}

impl Moments {
    /// No states of this width.
    pub fn new(width: usize) -> Moments {
        Moments { n: 0, sum: vec![0.0; width], squares: vec![0.0; width] }
    }

    /// The states of a block, one behind the other.
    // [n * width] -> Σ [width]
    pub fn of(width: usize, states: &[f32]) -> Result<Moments> {
        let mut moments = Moments::new(width);
        for state in states.chunks(width.max(1)) {
            moments.add(state)?;
        }
        Ok(moments)
    }

    /// Values of a state.
    pub fn width(&self) -> usize {
        self.sum.len()
    }

    /// Adds a state, which must be finite and of this width; nothing changes otherwise.
    // [width] -> Σ [width]
    pub fn add(&mut self, state: &[f32]) -> Result<()> {
        fits(self.width(), state.len())?;
        crate::direction::finite("state", state)?;
        self.n += 1;
        for ((sum, square), value) in self.sum.iter_mut().zip(&mut self.squares).zip(state) {
            let value = f64::from(*value);
            *sum += value;
            *square += value * value;
        }
        Ok(())
    }

    /// Adds what another block summed. The order of merging is part of the result's last bits.
    // [width], [width] -> [width]
    pub fn merge(&mut self, later: &Moments) -> Result<()> {
        fits(self.width(), later.width())?;
        self.n += later.n;
        self.sum.iter_mut().zip(&later.sum).for_each(|(sum, more)| *sum += more);
        self.squares.iter_mut().zip(&later.squares).for_each(|(sum, more)| *sum += more);
        Ok(())
    }

    /// Makes it the sums of no states again.
    pub(crate) fn clear(&mut self) {
        self.n = 0;
        self.sum.fill(0.0);
        self.squares.fill(0.0);
    }

    /// The mean state, `[width]`; of no states, an error.
    pub fn mean(&self) -> Result<Vec<f64>> {
        if self.n == 0 {
            return Err(Error::TooFewPairs { what: "states of a class", found: 0, least: 1 });
        }
        Ok(self.sum.iter().map(|sum| sum / self.n as f64).collect())
    }

    /// The variance of each coordinate with divisor n − 1, `[width]`; of fewer than two states, an error.
    pub fn variance(&self) -> Result<Vec<f64>> {
        if self.n < 2 {
            let found = self.n as usize;
            return Err(Error::TooFewPairs { what: "states of a class", found, least: 2 });
        }
        let n = self.n as f64;
        let both = self.sum.iter().zip(&self.squares);
        Ok(both.map(|(sum, square)| ((square - sum * sum / n) / (n - 1.0)).max(0.0)).collect())
    }
}

fn fits(width: usize, found: usize) -> Result<()> {
    if width == found && width > 0 {
        return Ok(());
    }
    Err(Error::estimate("state", format!("has {found} values, expected {width}, at least 1")))
}

/// The means of both classes.
#[derive(Debug, Clone)]
pub(crate) struct Means {
    pub positive: Vec<f64>,
    pub negative: Vec<f64>,
}

/// Below this share of ‖μ⁺‖ a difference of means is rounding.
pub(crate) const NO_DIFFERENCE: f64 = 1e-6;

impl Means {
    pub fn of(positive: &Moments, negative: &Moments) -> Result<Means> {
        fits(positive.width(), negative.width())?;
        Ok(Means { positive: positive.mean()?, negative: negative.mean()? })
    }

    /// μ⁺ − μ⁻.
    // [width], [width] -> [width]
    pub fn difference(&self) -> Vec<f64> {
        self.positive.iter().zip(&self.negative).map(|(p, n)| p - n).collect()
    }

    /// μ⁺ − μ⁻, or an error if it is rounding.
    pub fn distinct(&self) -> Result<Vec<f64>> {
        let difference = self.difference();
        let length = norm(&difference);
        if length == 0.0 || length < NO_DIFFERENCE * norm(&self.positive) {
            return Err(Error::NoDifference { candidates: 1 });
        }
        Ok(difference)
    }
}
