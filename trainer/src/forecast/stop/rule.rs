//! The rule that stops a chain.
//!
//! `gain(t) = m_t − m_0 − λ t` for t > 0. The chain goes on while it has fewer than `min_tokens` or some gain is
//! positive. The answer that is forced at the end costs the same now or later and cancels. The rule looks over the
//! whole horizon: after one block of a curve that is level first and jumps later, nothing is gained, and a rule of one
//! block never sees the jump. Published is the utility `E[R] − λ T`; the whole-horizon rule is ours.

use crate::error::{TrainerError, within};
use crate::forecast::grid::ForecastGrid;

/// The key `forecast.lambda`, reward per token.
pub(super) const PRICES: [f64; 2] = [0.0, 0.1];

/// How far ahead a rule looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopHorizon {
    /// Over all points of the grid.
    Whole,
    /// Over the next point only; a comparison.
    OneBlock,
}

/// Keys of the rule, unchecked.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StopParams {
    /// `forecast.lambda`, reward per token: 0 to 0.1.
    pub lambda: f64,
    /// `forecast.min_tokens`: 0 to the grid's last point.
    pub min_tokens: u32,
    /// `forecast.hard_cap`, tokens: at least the grid's last point.
    pub hard_cap: u32,
    /// The length of a chain whose forecast is missing, tokens: at most the hard cap.
    pub default_length: u32,
    /// How far it looks.
    pub horizon: StopHorizon,
}

impl Default for StopParams {
    fn default() -> StopParams {
        StopParams {
            lambda: 0.001,
            min_tokens: 16,
            hard_cap: 1024,
            default_length: 256,
            horizon: StopHorizon::Whole,
        }
    }
}

impl StopParams {
    /// The rule with these keys.
    ///
    /// # Errors
    ///
    /// [`TrainerError::Range`] names the key.
    pub fn check(self, grid: ForecastGrid) -> Result<StopRule, TrainerError> {
        let max = f64::from(grid.max());
        within("forecast.lambda", self.lambda, PRICES)?;
        within("forecast.min_tokens", f64::from(self.min_tokens), [0.0, max])?;
        within("forecast.hard_cap", f64::from(self.hard_cap), [max, f64::from(u32::MAX)])?;
        let cap = f64::from(self.hard_cap);
        within("forecast.default_length", f64::from(self.default_length), [0.0, cap])?;
        Ok(StopRule { params: self, grid })
    }
}

/// A checked rule.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StopRule {
    params: StopParams,
    grid: ForecastGrid,
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopAction {
    /// Think on, to the next grid point.
    Continue,
    /// Force the answer.
    Stop,
}

/// What decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopCause {
    /// Fewer than `min_tokens` so far.
    MinTokens,
    /// Some gain is positive.
    Gain,
    /// No gain is.
    NoGain,
    /// No further grid point fits under the hard cap.
    HardCap,
    /// The forecast is missing: the chain has the default length. To be flagged.
    MissingForecast,
}

/// A decision with what it was made by.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StopDecision {
    /// What to do.
    pub action: StopAction,
    /// Why.
    pub cause: StopCause,
    /// The largest gain, in reward: the margin of the decision. `None` where no point could be looked at.
    pub gain: Option<f64>,
    /// The additional tokens of the largest gain, 0 without one. Of equals the fewest.
    pub tokens: u32,
}

impl StopRule {
    /// Decides for a chain of `generated` tokens. `means` is m_t at each grid point; `None`, or any mean that is not
    /// finite, is a missing forecast, which never stops a chain before its default length.
    ///
    /// # Errors
    ///
    /// [`TrainerError::Width`] for another number of means.
    // means [points] -> []
    pub fn decide(
        &self,
        means: Option<&[f64]>,
        generated: u32,
    ) -> Result<StopDecision, TrainerError> {
        if let Some(means) = means {
            crate::error::width("means", means.len(), self.grid.count())?;
        }
        let StopParams { hard_cap, default_length, min_tokens, .. } = self.params;
        let left = hard_cap.saturating_sub(generated);
        let best = means.filter(|m| m.iter().all(|m| m.is_finite())).map(|m| self.best(m, left));
        let [go_on, stop] = [StopAction::Continue, StopAction::Stop];
        let (action, cause) = match best {
            _ if left < self.grid.step() => (stop, StopCause::HardCap),
            None if generated < default_length => (go_on, StopCause::MissingForecast),
            None => (stop, StopCause::MissingForecast),
            Some(_) if generated < min_tokens => (go_on, StopCause::MinTokens),
            Some(Some((gain, _))) if gain > 0.0 => (go_on, StopCause::Gain),
            Some(_) => (stop, StopCause::NoGain),
        };
        let best = best.flatten();
        let tokens = best.map_or(0, |(_, tokens)| tokens);
        Ok(StopDecision { action, cause, gain: best.map(|(gain, _)| gain), tokens })
    }

    /// The largest gain and its tokens, of the points that fit into `left`.
    // means [points] -> []
    fn best(&self, means: &[f64], left: u32) -> Option<(f64, u32)> {
        let seen = match self.params.horizon {
            StopHorizon::Whole => self.grid.count(),
            StopHorizon::OneBlock => 2,
        };
        let (first, later) = means.split_first()?;
        let points = self.grid.points().skip(1).zip(later).take(seen - 1);
        let gain = |(t, m): (u32, &f64)| (m - first - self.params.lambda * f64::from(t), t);
        let gains = points.take_while(|(t, _)| *t <= left).map(gain);
        gains.reduce(|best, next| if next.0 > best.0 { next } else { best })
    }

    /// Its keys.
    pub fn params(&self) -> StopParams {
        self.params
    }

    /// Its grid.
    pub fn grid(&self) -> ForecastGrid {
        self.grid
    }

    /// The same rule at another price.
    pub(super) fn at_price(&self, lambda: f64) -> StopRule {
        StopRule { params: StopParams { lambda, ..self.params }, grid: self.grid }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forecast::grid::GridParams;

    fn rule(params: StopParams) -> StopRule {
        params.check(GridParams { step: 16, max: 64 }.check().unwrap()).unwrap()
    }

    const LEVEL_THEN_JUMP: [f64; 5] = [0.3, 0.3, 0.3, 0.7, 0.7];

    #[test]
    fn the_whole_horizon_sees_a_jump_that_one_block_does_not() {
        let params = StopParams { lambda: 0.005, min_tokens: 0, ..StopParams::default() };
        let found = rule(params).decide(Some(&LEVEL_THEN_JUMP), 0).unwrap();
        assert_eq!(
            (found.action, found.cause, found.tokens),
            (StopAction::Continue, StopCause::Gain, 48)
        );
        assert!((found.gain.unwrap() - (0.4 - 0.24)).abs() < 1e-12);
        let params = StopParams { horizon: StopHorizon::OneBlock, ..params };
        let found = rule(params).decide(Some(&LEVEL_THEN_JUMP), 0).unwrap();
        assert_eq!(
            (found.action, found.cause, found.tokens),
            (StopAction::Stop, StopCause::NoGain, 16)
        );
    }

    #[test]
    fn m04_a_price_beyond_all_gains_stops_at_min_tokens() {
        let rule = rule(StopParams { lambda: 0.1, min_tokens: 32, ..StopParams::default() });
        let sure = [0.0, 1.0, 1.0, 1.0, 1.0];
        let action = |generated| rule.decide(Some(&sure), generated).unwrap();
        for generated in [0, 16, 31] {
            let found = action(generated);
            assert_eq!((found.action, found.cause), (StopAction::Continue, StopCause::MinTokens));
        }
        assert_eq!((action(32).action, action(32).cause), (StopAction::Stop, StopCause::NoGain));
    }

    #[test]
    fn m04_without_a_price_no_rise_is_given_up() {
        let rule = rule(StopParams { lambda: 0.0, min_tokens: 0, ..StopParams::default() });
        for at in 1..5 {
            let mut means = [0.4; 5];
            means[at] = 0.4 + 1e-12;
            assert_eq!(rule.decide(Some(&means), 0).unwrap().action, StopAction::Continue);
        }
        for means in [[0.4; 5], [0.4, 0.3, 0.2, 0.1, 0.0]] {
            assert_eq!(rule.decide(Some(&means), 0).unwrap().action, StopAction::Stop);
        }
    }

    #[test]
    fn a_missing_forecast_never_stops_before_the_default_length() {
        let rule = rule(StopParams { default_length: 96, min_tokens: 0, ..StopParams::default() });
        let nan = [0.9, 0.1, f64::NAN, 0.1, 0.1];
        for means in [None, Some(&nan[..])] {
            for (generated, action) in
                [(0, StopAction::Continue), (80, StopAction::Continue), (96, StopAction::Stop)]
            {
                let found = rule.decide(means, generated).unwrap();
                assert_eq!((found.action, found.cause), (action, StopCause::MissingForecast));
                assert_eq!(found.gain, None);
            }
        }
    }

    #[test]
    fn tokens_beyond_the_hard_cap_are_not_looked_at() {
        let params = StopParams {
            lambda: 0.0,
            min_tokens: 0,
            hard_cap: 64,
            default_length: 64,
            ..StopParams::default()
        };
        let rule = rule(params);
        let cause = |generated| rule.decide(Some(&LEVEL_THEN_JUMP), generated).unwrap().cause;
        let found = [0, 16, 32, 48, 49, 64, 80].map(cause);
        let [gain, none, cap] = [StopCause::Gain, StopCause::NoGain, StopCause::HardCap];
        assert_eq!(found, [gain, gain, none, none, cap, cap, cap]);
    }

    #[test]
    fn a_wrong_key_or_width_is_named() {
        let grid = GridParams { step: 16, max: 64 }.check().unwrap();
        let good = StopParams::default();
        for (bad, key) in [
            (StopParams { lambda: -0.1, ..good }, "lambda"),
            (StopParams { lambda: f64::NAN, ..good }, "lambda"),
            (StopParams { min_tokens: 65, ..good }, "min_tokens"),
            (StopParams { hard_cap: 63, ..good }, "hard_cap"),
            (StopParams { default_length: 1025, ..good }, "default_length"),
        ] {
            assert!(bad.check(grid).unwrap_err().to_string().contains(key));
        }
        assert!(good.check(grid).unwrap().decide(Some(&[0.5; 4]), 0).is_err());
    }
}
