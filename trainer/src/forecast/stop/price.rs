//! The price per token.

use super::compare::{MeanOutcome, StopEpisode, mean};
use super::rule::{PRICES, StopRule};
use crate::error::{TrainerError, at_least, within};
use crate::forecast::split::{ProblemSplit, SplitPart};

/// Halvings of the range of prices; the last interval is 10⁻¹⁶ wide.
const HALVINGS: usize = 50;

/// A price and what it spends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PriceChoice {
    /// λ, reward per token.
    pub lambda: f64,
    /// What the rule gives at that price on the chains it was chosen on.
    pub outcome: MeanOutcome,
}

/// The tokens that one point (0.01) of reward is worth: `0.01/λ`; infinite at λ = 0.
pub fn tokens_per_point(lambda: f64) -> f64 {
    0.01 / lambda
}

/// The lowest price at which the rule spends at most `wanted` tokens per chain on the calibrate part. Tokens fall with
/// the price, in jumps, so the mean may stay below the wanted one.
///
/// # Errors
///
/// [`TrainerError::OtherPart`] for a chain of another part: a price is never chosen on the test part.
/// [`TrainerError::TooFew`] without chains, [`TrainerError::Range`] for a wish that is no number of tokens,
/// [`TrainerError::Budget`] if even the highest price spends more.
// [n] -> []
pub fn price_for_budget(
    split: &ProblemSplit,
    rule: &StopRule,
    episodes: &[StopEpisode],
    wanted: f64,
) -> Result<PriceChoice, TrainerError> {
    split.require(SplitPart::Calibrate, episodes.iter().map(|of| of.problem))?;
    at_least("chains", episodes.len(), 1)?;
    within("wanted tokens", wanted, [0.0, f64::MAX])?;
    let at = |lambda: f64| -> Result<PriceChoice, TrainerError> {
        let rule = rule.at_price(lambda);
        let run = episodes.iter().map(|of| of.run(&rule)).collect::<Result<Vec<_>, _>>()?;
        Ok(PriceChoice { lambda, outcome: mean(run) })
    };
    let [mut low, highest] = PRICES;
    let (free, mut best) = (at(low)?, at(highest)?);
    if free.outcome.tokens <= wanted {
        return Ok(free);
    }
    if best.outcome.tokens > wanted {
        let least = best.outcome.tokens;
        return Err(TrainerError::Budget { wanted, least, price: highest });
    }
    for _ in 0..HALVINGS {
        let middle = at(f64::midpoint(low, best.lambda))?;
        if middle.outcome.tokens <= wanted {
            best = middle;
        } else {
            low = middle.lambda;
        }
    }
    Ok(best)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forecast::grid::GridParams;
    use crate::forecast::simulate::Curve;
    use crate::forecast::stop::StopParams;
    use crate::testing::Numbers;

    fn episodes(count: u64) -> Vec<StopEpisode> {
        let grid = GridParams::default().check().unwrap();
        let mut numbers = Numbers::of(1);
        let draw = |problem| {
            let curve = Curve::mixture(&mut numbers);
            let noise = 0.05 + 0.1 * numbers.uniform();
            StopEpisode { problem, ..curve.episode(grid, noise, &mut numbers) }
        };
        (0..count).map(draw).collect()
    }

    fn rule() -> StopRule {
        let grid = GridParams::default().check().unwrap();
        StopParams { min_tokens: 0, ..StopParams::default() }.check(grid).unwrap()
    }

    #[test]
    fn the_price_meets_its_budget_and_a_lower_one_does_not() {
        let episodes = episodes(300);
        let ids: Vec<u64> = (0..300).collect();
        let split = ProblemSplit::load(&[1000], &ids, &[1001]).unwrap();
        let mut before = f64::INFINITY;
        for wanted in [20.0, 60.0, 100.0, 140.0] {
            let found = price_for_budget(&split, &rule(), &episodes, wanted).unwrap();
            assert!(found.outcome.tokens <= wanted && found.lambda < before);
            assert!(found.outcome.tokens > wanted - 20.0, "{found:?} for {wanted}");
            before = found.lambda;
            let cheaper = rule().at_price(found.lambda - 1e-9);
            let spent = mean(episodes.iter().map(|of| of.run(&cheaper).unwrap())).tokens;
            assert!(spent > wanted, "{spent} at a lower price");
        }
        let free = price_for_budget(&split, &rule(), &episodes, 1e6).unwrap();
        assert_eq!(free.lambda, 0.0);
    }

    #[test]
    fn a_budget_that_cannot_be_met_is_refused() {
        let grid = GridParams::default().check().unwrap();
        let rule = StopParams { min_tokens: 64, ..StopParams::default() }.check(grid).unwrap();
        let split = ProblemSplit::load(&[1000], &[0, 1, 2, 3], &[1001]).unwrap();
        let code =
            |wanted| price_for_budget(&split, &rule, &episodes(4), wanted).unwrap_err().code();
        assert_eq!(code(63.0), "budget_too_small");
        assert_eq!([code(f64::NAN), code(-1.0)], ["invalid_value"; 2]);
    }

    #[test]
    fn a_price_is_never_chosen_on_the_test_part() {
        let split = ProblemSplit::load(&[1000], &[0, 1], &[2]).unwrap();
        let found = price_for_budget(&split, &rule(), &episodes(3), 50.0).unwrap_err();
        assert_eq!(found.code(), "split_leaks");
    }

    #[test]
    fn a_thousandth_per_token_is_ten_tokens_per_point() {
        assert!((tokens_per_point(0.001) - 10.0).abs() < 1e-12);
        assert_eq!(tokens_per_point(0.0), f64::INFINITY);
    }
}
