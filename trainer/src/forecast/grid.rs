//! The additional tokens a forecast is made for.
//!
//! G = {0, step, …, max} counts from the prefix, not from the start of the chain: t is what would still be spent.
//! Forecasts are made where the tokens of the chain are a multiple of the step, and before its first token.

use crate::error::{TrainerError, within};

/// Steps are at most this long and at least 8 tokens.
const STEP: [f64; 2] = [8.0, 1024.0];
/// How many steps there may be. The upper end is ours: it bounds the outputs of the net at 258.
const STEPS: [f64; 2] = [2.0, 128.0];

/// The keys `forecast.step` and `forecast.max`, unchecked. Tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GridParams {
    /// Distance between two points, 8 to 1024.
    pub step: u32,
    /// The last point: a multiple of the step, at least two steps.
    pub max: u32,
}

impl Default for GridParams {
    fn default() -> GridParams {
        GridParams { step: 16, max: 256 }
    }
}

impl GridParams {
    /// The grid of these keys.
    ///
    /// # Errors
    ///
    /// [`TrainerError::Range`] and [`TrainerError::Multiple`] name the key.
    pub fn check(self) -> Result<ForecastGrid, TrainerError> {
        let GridParams { step, max } = self;
        within("forecast.step", f64::from(step), STEP)?;
        let [least, most] = STEPS.map(|steps| steps * f64::from(step));
        within("forecast.max", f64::from(max), [least, most])?;
        if !max.is_multiple_of(step) {
            let (value, step) = (u64::from(max), u64::from(step));
            return Err(TrainerError::Multiple { field: "forecast.max", value, step });
        }
        Ok(ForecastGrid { step, steps: max / step })
    }
}

/// A checked grid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ForecastGrid {
    step: u32,
    steps: u32,
}

impl ForecastGrid {
    /// Tokens between two points.
    pub fn step(self) -> u32 {
        self.step
    }

    /// The last point, in tokens.
    pub fn max(self) -> u32 {
        self.step * self.steps
    }

    /// How many points there are, 0 among them.
    pub fn count(self) -> usize {
        self.steps as usize + 1
    }

    /// The points in order, in tokens.
    // [] -> [count]
    pub fn points(self) -> impl DoubleEndedIterator<Item = u32> {
        (0..=self.steps).map(move |index| index * self.step)
    }

    /// The number of steps that make up `tokens`: what is due at a chain's position. `None` between steps; past the
    /// last point it goes on counting, because chains may be longer than the grid.
    pub fn steps_at(self, tokens: u32) -> Option<usize> {
        tokens.is_multiple_of(self.step).then_some((tokens / self.step) as usize)
    }

    /// The index of the point of `tokens` additional tokens.
    pub fn index(self, tokens: u32) -> Option<usize> {
        self.steps_at(tokens).filter(|index| *index < self.count())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_has_seventeen_points() {
        let grid = GridParams::default().check().unwrap();
        let points: Vec<u32> = grid.points().collect();
        assert_eq!(points.len(), 17);
        assert_eq!((grid.count(), grid.max(), points[16]), (17, 256, 256));
        assert_eq!(points[..3], [0, 16, 32]);
        assert_eq!((grid.index(32), grid.index(33), grid.index(272)), (Some(2), None, None));
        assert_eq!((grid.steps_at(272), grid.steps_at(8)), (Some(17), None));
    }

    #[test]
    fn a_wrong_key_is_named() {
        let wrong = [(7, 256), (1025, 4100), (16, 16), (16, 40), (16, 16 * 129), (0, 0)];
        for (step, max) in wrong {
            let found = GridParams { step, max }.check().unwrap_err().to_string();
            assert!(found.starts_with("forecast."), "{found}");
        }
        assert!(GridParams { step: 512, max: 8192 }.check().is_ok());
    }
}
