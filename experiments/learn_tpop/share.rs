//! Shares of a gap with intervals: a bootstrap over prompts and, within each draw, over seeds.

use super::duels::uniform;

/// How often prompts and seeds are drawn anew.
const DRAWS: usize = 2000;

/// A figure and its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    pub mean: f64,
    pub low: f64,
    pub high: f64,
}

impl Interval {
    fn of(mean: f64, mut drawn: Vec<f64>) -> Interval {
        drawn.retain(|value| value.is_finite());
        drawn.sort_unstable_by(f64::total_cmp);
        let last = drawn.len().saturating_sub(1) as f64;
        let at = |q: f64| drawn.get((q * last).round() as usize).copied().unwrap_or(f64::NAN);
        Interval { mean, low: at(0.025), high: at(0.975) }
    }
}

impl std::fmt::Display for Interval {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Without a gap, or without answers, there is no share.
        if !self.mean.is_finite() {
            return write!(f, "–");
        }
        write!(f, "{:.2} [{:.2}, {:.2}]", self.mean, self.low, self.high)
    }
}

/// The same draws of prompts and seeds for every figure.
pub struct Bootstrap {
    prompts: Vec<Vec<usize>>,
    seeds: Vec<Vec<usize>>,
}

impl Bootstrap {
    pub fn new(prompts: usize, seeds: usize) -> Bootstrap {
        let drawn = |n: usize, purpose: &'static str| {
            let one = |draw: usize| {
                let below = |at| (uniform(draw as u64, purpose, at) * n as f64) as usize;
                (0..n).map(|at| below(at).min(n.saturating_sub(1))).collect()
            };
            (0..DRAWS).map(one).collect()
        };
        let prompts = drawn(prompts, "experiment.prompts");
        Bootstrap { prompts, seeds: drawn(seeds, "experiment.seeds") }
    }

    /// The mean of values by prompt.
    pub fn mean(&self, values: &[f64]) -> Interval {
        let all: Vec<usize> = (0..values.len()).collect();
        let drawn = self.prompts.iter().map(|draw| over(values, draw)).collect();
        Interval::of(over(values, &all), drawn)
    }

    /// (got − low) over (high − low), each the mean over prompts; `got` also over seeds.
    // got [seeds][prompts], low and high [prompts]
    pub fn share(&self, got: &[&[f64]], low: &[f64], high: &[f64]) -> Interval {
        let share = |prompts: &[usize], seeds: &[usize]| {
            let got: Vec<f64> = seeds
                .iter()
                .filter_map(|seed| got.get(*seed))
                .map(|of_seed| over(of_seed, prompts))
                .collect();
            let got = got.iter().sum::<f64>() / got.len() as f64;
            let (low, high) = (over(low, prompts), over(high, prompts));
            (got - low) / (high - low)
        };
        let prompts: Vec<usize> = (0..low.len()).collect();
        let seeds: Vec<usize> = (0..got.len()).collect();
        let within = |draw: &Vec<usize>| draw.iter().map(|seed| seed % got.len().max(1)).collect();
        let both = self.prompts.iter().zip(&self.seeds);
        let drawn = both.map(|(prompts, draw)| {
            let seeds: Vec<usize> = within(draw);
            share(prompts, seeds.get(..got.len()).unwrap_or(&seeds))
        });
        Interval::of(share(&prompts, &seeds), drawn.collect())
    }
}

/// The mean of some places.
fn over(values: &[f64], places: &[usize]) -> f64 {
    let sum: f64 = places.iter().filter_map(|at| values.get(*at)).sum();
    sum / places.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_lie_between_the_ends_and_vary_over_seeds() {
        let bootstrap = Bootstrap::new(50, 10);
        let (low, high) = (vec![0.0; 50], vec![0.5; 50]);
        let (best, worst) = (vec![0.5; 50], vec![0.0; 50]);
        let all = bootstrap.share(&[best.as_slice(); 10], &low, &high);
        assert_eq!((all.mean, all.low, all.high), (1.0, 1.0, 1.0));
        let half: Vec<&[f64]> =
            (0..10).map(|seed| if seed < 5 { best.as_slice() } else { worst.as_slice() }).collect();
        let half = bootstrap.share(&half, &low, &high);
        assert!(half.mean == 0.5 && half.low < 0.3 && half.high > 0.7, "{half}");
        let coins: Vec<f64> = (0..50).map(|at| f64::from(at % 2)).collect();
        assert_eq!(bootstrap.share(&[], &low, &high).to_string(), "–");
        let mean = bootstrap.mean(&coins);
        assert!(mean.mean == 0.5 && mean.low > 0.3 && mean.low < 0.45, "{mean}");
    }
}
