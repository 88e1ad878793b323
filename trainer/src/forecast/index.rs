//! The index of a box: what its opening is worth, as one number.
//!
//! A box costs c and reveals a mean R ~ Beta(a, b). Its index σ solves `E[(R − σ)⁺] = c` (Weitzman, Econometrica 47,
//! 1979, "Pandora's box"; reported of Re-FORC, arXiv 2511.02130): with a value above σ in hand, opening does not pay.
//! With m = a/(a+b) and the regularised incomplete beta function I,
//!
//! ```text
//! E[(R−s)⁺] = m (1 − I_s(a+1, b)) − s (1 − I_s(a, b))   for 0 < s < 1,   m − s   for s ≤ 0
//! ```
//!
//! R is the forecast's mean after the tokens, not an outcome of 0 or 1: without a checker the outcome stays unknown, and
//! an outcome overvalues "try again". [`BoxReward::Outcome`] is that overvaluation, for comparison. Opening the box of
//! highest index is optimal for independent boxes only. Budgets of one chain are not independent, so the index of a
//! chain, its best over t, is a heuristic like Gittins' index.

use crate::error::{TrainerError, within};
use crate::forecast::beta_binomial::BetaParams;
use statrs::function::beta::{checked_beta_reg, checked_ln_beta};

/// Halvings of the interval (0, 1); 52 reach the spacing of f64 near 1.
const HALVINGS: usize = 60;

/// What a box is thought to reveal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BoxReward {
    /// The forecast's mean after the tokens, R ~ Beta(a, b).
    ForecastMean,
    /// The outcome itself, 1 with probability m and else 0. A comparison; it overvalues new chains.
    Outcome,
}

/// A box: what it reveals and what it costs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RewardBox {
    /// The distribution of the revealed mean.
    pub mean: BetaParams,
    /// Cost of opening, in reward, at least 0.
    pub cost: f64,
}

/// The best box of a chain or model.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BestBox {
    /// Its place among the boxes that were compared.
    pub at: usize,
    /// Its index.
    pub index: f64,
}

impl BoxReward {
    /// `E[(R − s)⁺]`: what opening adds to a value in hand of s, cost aside.
    ///
    /// # Errors
    ///
    /// [`TrainerError::Range`] for parameters that are no distribution, [`TrainerError::NotFinite`] for s.
    pub fn excess(self, mean: BetaParams, s: f64) -> Result<f64, TrainerError> {
        mean.check()?;
        if !s.is_finite() {
            return Err(TrainerError::NotFinite { what: "value in hand" });
        }
        let m = mean.mean();
        if s <= 0.0 {
            return Ok(m - s);
        }
        if s >= 1.0 {
            return Ok(0.0);
        }
        match self {
            BoxReward::Outcome => Ok(m * (1.0 - s)),
            BoxReward::ForecastMean => {
                let BetaParams { alpha: a, beta: b } = mean;
                let above = above(a, b, s)?;
                // 1 − I_s(a+1, b) exceeds 1 − I_s(a, b) by this: half the time of a second incomplete beta function.
                let ln_beta = checked_ln_beta(a, b).map_err(|_| not_finite())?;
                let further = (a * s.ln() + b * (-s).ln_1p() - ln_beta).exp() / a;
                // All is small for s near 1, and rounding may leave less than nothing.
                Ok((m * (above + further) - s * above).max(0.0))
            }
        }
    }

    /// The index of a box. At cost 0 it is 1, the limit: opening for nothing always pays.
    ///
    /// # Errors
    ///
    /// [`TrainerError::Range`] for parameters or a cost outside their range, [`TrainerError::NoBracket`] if the
    /// equation has no root in (0, 1), which cannot happen for finite a, b > 0 and c > 0.
    pub fn index(self, of: RewardBox) -> Result<f64, TrainerError> {
        let RewardBox { mean, cost } = of;
        mean.check()?;
        within("cost", cost, [0.0, f64::MAX])?;
        if cost >= mean.mean() {
            return Ok(mean.mean() - cost);
        }
        if cost == 0.0 {
            return Ok(1.0);
        }
        let (mut low, mut high) = (0.0, 1.0);
        if self.excess(mean, low)? < cost || self.excess(mean, high)? > cost {
            let BetaParams { alpha: a, beta: b } = mean;
            return Err(TrainerError::NoBracket { a, b, c: cost });
        }
        for _ in 0..HALVINGS {
            let middle = f64::midpoint(low, high);
            if self.excess(mean, middle)? > cost {
                low = middle;
            } else {
                high = middle;
            }
        }
        Ok(f64::midpoint(low, high))
    }

    /// The box of highest index among those above `floor`; of equals the first. One bisection serves all boxes: the
    /// highest index is above s if some box pays at s, `E[(R − s)⁺] > c`, and boxes that do not pay where another one
    /// does are out.
    ///
    /// # Errors
    ///
    /// As [`BoxReward::index`].
    // [n] -> []
    pub fn best(
        self,
        boxes: impl IntoIterator<Item = RewardBox>,
        floor: f64,
    ) -> Result<Option<BestBox>, TrainerError> {
        let boxes: Vec<(usize, RewardBox)> = boxes.into_iter().enumerate().collect();
        for (_, of) in &boxes {
            within("cost", of.cost, [0.0, f64::MAX])?;
        }
        let above = self.paying(&boxes, floor)?;
        let mut alive = self.paying(&above, floor.max(0.0))?;
        if let Some((at, _)) = alive.iter().find(|(_, of)| of.cost == 0.0) {
            return Ok(Some(BestBox { at: *at, index: 1.0 }));
        }
        if alive.is_empty() {
            // Only below 0 an index can be above the floor, and there it is m − c.
            let each = above.iter().map(|(at, of)| (*at, of.mean.mean() - of.cost));
            let better =
                |best: (usize, f64), next: (usize, f64)| if next.1 > best.1 { next } else { best };
            return Ok(each.reduce(better).map(|(at, index)| BestBox { at, index }));
        }
        let (mut low, mut high) = (0.0, 1.0);
        for _ in 0..HALVINGS {
            let middle = f64::midpoint(low, high);
            let paying = self.paying(&alive, middle)?;
            if paying.is_empty() {
                high = middle;
            } else {
                (low, alive) = (middle, paying);
            }
        }
        let first = alive.first().map(|(at, _)| *at);
        Ok(first.map(|at| BestBox { at, index: f64::midpoint(low, high) }))
    }

    /// The boxes whose index is above s.
    // [n] -> [at most n]
    fn paying(
        self,
        boxes: &[(usize, RewardBox)],
        s: f64,
    ) -> Result<Vec<(usize, RewardBox)>, TrainerError> {
        let mut paying = Vec::with_capacity(boxes.len());
        for of in boxes {
            if self.excess(of.1.mean, s)? > of.1.cost {
                paying.push(*of);
            }
        }
        Ok(paying)
    }
}

/// `1 − I_s(a, b) = I_{1−s}(b, a)`. `1 − s` is exact from ½ on; below, it would lose the digits of s.
fn above(a: f64, b: f64, s: f64) -> Result<f64, TrainerError> {
    let found = if s < 0.5 {
        checked_beta_reg(a, b, s).map(|below| 1.0 - below)
    } else {
        checked_beta_reg(b, a, 1.0 - s)
    };
    found.map_err(|_| not_finite())
}

fn not_finite() -> TrainerError {
    TrainerError::NotFinite { what: "beta function" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Numbers;

    const REWARD: BoxReward = BoxReward::ForecastMean;

    fn beta(alpha: f64, beta: f64) -> BetaParams {
        BetaParams { alpha, beta }
    }

    fn index(mean: BetaParams, cost: f64) -> f64 {
        REWARD.index(RewardBox { mean, cost }).unwrap()
    }

    const PARAMS: [[f64; 2]; 9] = [
        [2.0, 5.0],
        [0.3, 0.3],
        [0.001, 0.001],
        [1.0, 1.0],
        [30.0, 2.0],
        [700.0, 300.0],
        [0.001, 999.0],
        [999.0, 0.001],
        [0.5, 8.0],
    ];

    #[test]
    fn m03_the_excess_is_that_of_a_million_draws() {
        let mut numbers = Numbers::of(1);
        for [a, b] in [[2.0, 5.0], [0.4, 0.7]] {
            let draws: Vec<f64> = (0..1_000_000).map(|_| numbers.beta(a, b)).collect();
            for s in [-0.5, 0.0, 0.1, 0.3, 0.7, 0.95, 1.0] {
                let mean = draws.iter().map(|r| (r - s).max(0.0)).sum::<f64>() / 1e6;
                let found = REWARD.excess(beta(a, b), s).unwrap();
                assert!((found - mean).abs() <= 1e-3, "{found} for {mean} at {a}, {b}, {s}");
            }
        }
    }

    #[test]
    fn m03_the_excess_is_that_of_two_incomplete_beta_functions() {
        for [a, b] in PARAMS {
            for s in [1e-9, 0.01, 0.2, 0.5, 0.7, 0.99, 1.0 - 1e-9] {
                let m = beta(a, b).mean();
                let expected = m * above(a + 1.0, b, s).unwrap() - s * above(a, b, s).unwrap();
                let found = REWARD.excess(beta(a, b), s).unwrap();
                assert!((found - expected).abs() <= 1e-12, "{found} for {expected}: {a}, {b}, {s}");
            }
        }
    }

    #[test]
    fn m03_the_index_solves_its_equation() {
        for [a, b] in PARAMS {
            for share in [1e-6, 0.01, 0.3, 0.9, 0.999] {
                let cost = share * beta(a, b).mean();
                let found = index(beta(a, b), cost);
                let residual = REWARD.excess(beta(a, b), found).unwrap() - cost;
                assert!(residual.abs() <= 1e-9, "{residual:e} at {a}, {b}, {cost}");
                assert!((0.0..=1.0).contains(&found));
            }
        }
    }

    #[test]
    fn m03_the_index_falls_with_the_cost_and_rises_with_a() {
        for [a, b] in PARAMS {
            let costs = (1..60).map(|i| f64::from(i) * 0.01);
            let found: Vec<f64> = costs.map(|cost| index(beta(a, b), cost)).collect();
            assert!(found.windows(2).all(|pair| pair[1] < pair[0]), "{a}, {b}: {found:?}");
            let grown = (0..30).map(|i| index(beta(a + 0.2 * f64::from(i), b), 0.05));
            let found: Vec<f64> = grown.collect();
            assert!(found.windows(2).all(|pair| pair[1] > pair[0]), "{a}, {b}: {found:?}");
        }
    }

    #[test]
    fn m03_a_dear_box_is_worth_its_mean_less_its_cost() {
        for [a, b] in PARAMS {
            let m = beta(a, b).mean();
            for cost in [m, m + 0.1, m + 5.0] {
                assert_eq!(index(beta(a, b), cost), m - cost);
            }
            // No jump where the two forms meet.
            assert!(index(beta(a, b), m * (1.0 - 1e-9)).abs() < 1e-6, "{a}, {b}");
        }
    }

    #[test]
    fn m03_toy_check_of_beta_2_5() {
        let found = index(beta(2.0, 5.0), 0.05);
        assert!((found - 0.3223).abs() < 5e-5, "{found}");
        // The same number by another way: E[(R−s)⁺] = ∫ (r−s) 30 r (1−r)⁴ dr, a polynomial in s.
        let excess = |s: f64| {
            let n = 20_000;
            let step = (1.0 - s) / f64::from(n);
            let at = |i: u32| s + (f64::from(i) + 0.5) * step;
            (0..n).map(|i| (at(i) - s) * 30.0 * at(i) * (1.0 - at(i)).powi(4) * step).sum::<f64>()
        };
        assert!((excess(found) - 0.05).abs() < 1e-8);
    }

    #[test]
    fn outcomes_overvalue_another_try() {
        for [a, b] in PARAMS {
            let of = RewardBox { mean: beta(a, b), cost: 0.3 * beta(a, b).mean() };
            let outcome = BoxReward::Outcome.index(of).unwrap();
            assert!((outcome - 0.7).abs() < 1e-12, "{outcome}");
            assert!(REWARD.index(of).unwrap() <= outcome + 1e-12, "{a}, {b}");
        }
    }

    #[test]
    fn the_best_of_some_boxes_is_the_best_of_all_indices() {
        let mut numbers = Numbers::of(2);
        for _ in 0..50 {
            let draw = |numbers: &mut Numbers| RewardBox {
                mean: beta(0.1 + 5.0 * numbers.uniform(), 0.1 + 5.0 * numbers.uniform()),
                cost: 0.2 * numbers.uniform(),
            };
            let boxes: Vec<RewardBox> = (0..17).map(|_| draw(&mut numbers)).collect();
            let all: Vec<f64> = boxes.iter().map(|of| REWARD.index(*of).unwrap()).collect();
            let most = all.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let best = REWARD.best(boxes.iter().copied(), -1.0).unwrap().unwrap();
            assert_eq!((best.index, all[best.at]), (most, most));
            assert_eq!(REWARD.best(boxes.iter().copied(), most + 1e-12).unwrap(), None);
        }
    }

    #[test]
    fn the_best_of_dear_boxes_and_of_free_ones_is_by_hand() {
        let of = |cost| RewardBox { mean: beta(1.0, 1.0), cost };
        let best = |boxes: &[RewardBox], floor| REWARD.best(boxes.iter().copied(), floor).unwrap();
        let dear = [of(0.9), of(0.7), of(0.7)];
        assert_eq!(best(&dear, -1.0), Some(BestBox { at: 1, index: 0.5 - 0.7 }));
        assert_eq!(best(&dear, -0.1), None);
        assert_eq!(best(&dear, 0.0), None);
        let free = [of(0.1), of(0.0), of(0.0)];
        assert_eq!(best(&free, 0.5), Some(BestBox { at: 1, index: 1.0 }));
        assert_eq!(best(&free, 1.0), None);
        assert_eq!(best(&[], 0.0), None);
        assert!(REWARD.best([of(-0.1)], 0.0).is_err());
    }

    #[test]
    fn what_is_no_box_is_refused() {
        let good = RewardBox { mean: beta(2.0, 5.0), cost: 0.1 };
        for bad in [
            RewardBox { cost: -0.1, ..good },
            RewardBox { cost: f64::NAN, ..good },
            RewardBox { cost: f64::INFINITY, ..good },
            RewardBox { mean: beta(0.0, 1.0), ..good },
            RewardBox { mean: beta(1.0, f64::NAN), ..good },
        ] {
            assert_eq!(REWARD.index(bad).unwrap_err().code(), "invalid_value", "{bad:?}");
        }
        assert_eq!(index(good.mean, 0.0), 1.0);
        assert!(REWARD.excess(good.mean, f64::NAN).is_err());
    }
}
