//! Chains whose probability of a right answer is known after every step.

use crate::forecast::grid::ForecastGrid;
use crate::forecast::stop::StopEpisode;
use crate::testing::Numbers;

/// The probability after 0, 1, … steps; level behind the last.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Curve(pub(crate) Vec<f64>);

const STEPS: usize = 16;

impl Curve {
    pub(crate) fn at(&self, steps: usize) -> f64 {
        self.0[steps.min(self.0.len() - 1)]
    }

    pub(crate) fn saturating(start: f64, end: f64, pace: f64) -> Curve {
        let at = |step: usize| end - (end - start) * (-(step as f64) / pace).exp();
        Curve((0..=STEPS).map(at).collect())
    }

    /// Level at `start`, and at `end` from step `jump` on.
    pub(crate) fn level_then_jump(start: f64, end: f64, jump: usize, steps: usize) -> Curve {
        Curve((0..=steps).map(|step| if step < jump { start } else { end }).collect())
    }

    /// A third saturates, a third jumps, a third is hopeless; some of those fall.
    pub(crate) fn mixture(numbers: &mut Numbers) -> Curve {
        let start = 0.1 + 0.3 * numbers.uniform();
        let end = start + 0.5 * numbers.uniform();
        match numbers.between(0, 2) {
            0 => Curve::saturating(start, end, 1.0 + 5.0 * numbers.uniform()),
            1 => Curve::level_then_jump(start, end, numbers.between(2, STEPS - 2), STEPS),
            _ => Curve::saturating(start, start * (0.5 + 0.5 * numbers.uniform()), 4.0),
        }
    }

    /// A chain along this curve. Every forecast m_t has its own error of standard deviation `noise`.
    pub(crate) fn episode(
        &self,
        grid: ForecastGrid,
        noise: f64,
        numbers: &mut Numbers,
    ) -> StopEpisode {
        let steps = self.0.len() - 1;
        let mut forecast = |at: usize| -> Vec<f64> {
            let mean = |t| (self.at(at + t) + noise * numbers.normal()).clamp(0.0, 1.0);
            (0..grid.count()).map(mean).collect()
        };
        let forecasts = (0..=steps).map(|at| Some(forecast(at))).collect();
        StopEpisode { problem: 0, rewards: self.0.clone(), forecasts }
    }
}
