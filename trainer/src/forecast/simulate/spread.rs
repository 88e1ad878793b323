//! Allocation in simulation: number of samples, and choice of model and length.
//!
//! Before its first token a chain is one of a mixture of curves, and the forecast is that mixture; after it the chain's
//! own curve is known up to an error. A box of a new chain is therefore wide, one of an open chain narrow.

use super::Curve;
use crate::forecast::allocate::{
    AllocateParams, Allocation, AllocationMove, ForcedAnswer, ModelEntry, SpendTarget, Spent,
};
use crate::forecast::beta_binomial::BetaParams;
use crate::forecast::chain::ChainEnd;
use crate::forecast::grid::{ForecastGrid, GridParams};
use crate::forecast::index::BoxReward;
use crate::testing::Numbers;

const SEEDS: u64 = 20;
const PROBLEMS: usize = 40;

fn grid() -> ForecastGrid {
    GridParams { step: 16, max: 128 }.check().unwrap()
}

/// A model on one problem: curves, each as likely as the others.
#[derive(Clone)]
struct Mixture {
    price: f64,
    curves: Vec<Curve>,
}

impl Mixture {
    /// Mean and variance over curves, as Beta distributions.
    fn entry(&self) -> ModelEntry {
        let count = self.curves.len() as f64;
        let at = |step: usize| {
            let mean = self.curves.iter().map(|curve| curve.at(step)).sum::<f64>() / count;
            let square =
                self.curves.iter().map(|curve| (curve.at(step) - mean).powi(2)).sum::<f64>();
            let sum = mean * (1.0 - mean) / (square / count).max(1e-6) - 1.0;
            BetaParams::of_mean(mean, sum.clamp(0.1, 1000.0))
        };
        let forecast = (0..grid().count()).map(at).collect();
        ModelEntry { price: self.price, prefill_tokens: 20, forecast }
    }
}

struct Run {
    reward: f64,
    cost: f64,
}

/// Runs the loop on one problem. Reward is the probability that the chosen chain is right.
fn run(params: AllocateParams, models: &[Mixture], noise: f64, numbers: &mut Numbers) -> Run {
    let entries: Vec<ModelEntry> = models.iter().map(Mixture::entry).collect();
    let mut all = Allocation::new(params, grid(), entries).unwrap();
    // Curve and steps of each chain.
    let mut chains: Vec<(Curve, usize)> = Vec::new();
    loop {
        match all.next_move().clone() {
            AllocationMove::Spend(spend) => {
                let at = match spend.target {
                    SpendTarget::Chain(at) => at,
                    SpendTarget::NewChain(model) => {
                        let curves = &models[model].curves;
                        let curve = curves[numbers.between(0, curves.len() - 1)].clone();
                        chains.push((curve, 0));
                        chains.len() - 1
                    }
                };
                let (curve, steps) = &mut chains[at];
                *steps += (spend.tokens / 16) as usize;
                let mut mean = |t: usize| {
                    (curve.at(*steps + t) + noise * numbers.normal()).clamp(0.001, 0.999)
                };
                let forecast = (0..grid().count()).map(|t| BetaParams::of_mean(mean(t), 900.0));
                let forecast = Some(forecast.collect());
                let end = ChainEnd::Open;
                all.spent(Spent { generated: spend.tokens, end, forecast }).unwrap();
            }
            AllocationMove::Force(asked) => {
                let answer = |chain: usize| ForcedAnswer {
                    chain,
                    tokens: 8,
                    answer: Some(chain.to_string()),
                };
                all.answered(&asked.into_iter().map(answer).collect::<Vec<_>>()).unwrap();
            }
            AllocationMove::Done(outcome) => {
                let (curve, steps) = &chains[outcome.chain];
                let cost = outcome.ledger.cost(all.models(), params.lambda);
                return Run { reward: curve.at(*steps), cost };
            }
        }
    }
}

/// So many chains of one length each; the one of highest m_0 answers.
fn fixed(lambda: f64, of: &Mixture, [count, steps]: [usize; 2], numbers: &mut Numbers) -> Run {
    let mut reward = 0f64;
    for _ in 0..count {
        let curve = &of.curves[numbers.between(0, of.curves.len() - 1)];
        reward = reward.max(curve.at(steps));
    }
    let tokens = count as f64 * steps as f64 * 16.0 + 20.0;
    Run { reward, cost: lambda * of.price * tokens }
}

fn utility(runs: impl Iterator<Item = Run>) -> f64 {
    let (sum, count) =
        runs.fold((0.0, 0.0), |(sum, n), run| (sum + run.reward - run.cost, n + 1.0));
    sum / count
}

/// Half the chains are hopeless, half saturate.
fn lottery() -> Mixture {
    let curves = vec![
        Curve::saturating(0.1, 0.1, 1.0),
        Curve::saturating(0.1, 0.8, 2.0),
        Curve::level_then_jump(0.1, 0.7, 4, 16),
        Curve::saturating(0.1, 0.05, 3.0),
    ];
    Mixture { price: 1.0, curves }
}

#[test]
fn spreading_by_the_index_beats_fixed_samples_and_outcomes_on_every_seed() {
    let lambda = 0.001;
    let params = AllocateParams { lambda, default_length: 128, ..AllocateParams::default() };
    let models = [lottery()];
    let by = |reward, noise, seed| {
        let mut numbers = Numbers::of(seed);
        let params = AllocateParams { reward, ..params };
        utility((0..PROBLEMS).map(|_| run(params, &models, noise, &mut numbers)))
    };
    // Length and number are chosen on many other problems.
    let shapes = (1..=6).flat_map(|count| (1..=8).map(move |steps| [count, steps]));
    let score = |shape: [usize; 2], seed: u64, problems: usize| {
        let mut numbers = Numbers::of(seed);
        utility((0..problems).map(|_| fixed(lambda, &models[0], shape, &mut numbers)))
    };
    let chosen = shapes.map(|shape| (score(shape, 999, 2000), shape));
    let (_, shape) = chosen.reduce(|a, b| if b.0 > a.0 { b } else { a }).unwrap();
    let mut exact = 0.0;
    for seed in 0..SEEDS {
        let found = by(BoxReward::ForecastMean, 0.0, seed);
        exact += found;
        let outcome = by(BoxReward::Outcome, 0.0, seed);
        let fixed = score(shape, seed, PROBLEMS);
        assert!(found > outcome + 0.02, "{found} against {outcome} by outcomes");
        assert!(found > fixed + 0.01, "{found} against {fixed} of {shape:?}");
    }
    let sum =
        |noise| -> f64 { (0..SEEDS).map(|seed| by(BoxReward::ForecastMean, noise, seed)).sum() };
    let [little, much] = [0.1, 0.4].map(sum);
    assert!(exact > little && little > much, "{exact} {little} {much}");
}

/// An easy problem is done by the small model, a hard one by the large.
fn pair(is_easy: usize) -> [Mixture; 2] {
    let ends = if is_easy == 1 { [0.8, 0.85] } else { [0.15, 0.75] };
    let of = |end: f64| {
        vec![Curve::saturating(0.1, end, 2.0), Curve::saturating(0.1, (end - 0.1).max(0.1), 3.0)]
    };
    let [small, large] = ends.map(of);
    [Mixture { price: 1.0, curves: small }, Mixture { price: 5.0, curves: large }]
}

#[test]
fn choosing_model_and_length_beats_either_model_on_every_seed() {
    let lambda = 0.0005;
    let params = AllocateParams { lambda, default_length: 128, ..AllocateParams::default() };
    let score = |used: &dyn Fn([Mixture; 2]) -> Vec<Mixture>, noise: f64, seed: u64| {
        let mut numbers = Numbers::of(seed);
        utility((0..PROBLEMS).map(|_| {
            let models = used(pair(numbers.between(0, 1)));
            run(params, &models, noise, &mut numbers)
        }))
    };
    for seed in 0..SEEDS {
        let both = score(&|pair| pair.to_vec(), 0.02, seed);
        let small = score(&|[small, _]| vec![small], 0.02, seed);
        let large = score(&|[_, large]| vec![large], 0.02, seed);
        assert!(both > small + 0.01 && both > large + 0.01, "{both}: {small} and {large}");
    }
}
