//! Means with intervals: a bootstrap over prompts, all seeds of a prompt together.

use trimtab_runtime::sample::{Draw, Purpose};

/// How often prompts are drawn anew.
const DRAWS: usize = 2000;

/// A mean and its 95 % interval.
#[derive(Debug, Clone, Copy)]
pub struct Estimate {
    pub mean: f64,
    pub low: f64,
    pub high: f64,
}

/// The same draws of prompts for every figure.
pub struct Bootstrap(Vec<Vec<usize>>);

impl Bootstrap {
    pub fn new(prompts: usize) -> Bootstrap {
        let draw = |round: usize, position: usize| {
            let purpose = Purpose::Named("bootstrap");
            let key = Draw { seed: round as u64, choice: 0, purpose, attempt: 0, position };
            ((key.uniform() * prompts as f64) as usize).min(prompts.saturating_sub(1))
        };
        Bootstrap((0..DRAWS).map(|round| (0..prompts).map(|i| draw(round, i)).collect()).collect())
    }

    /// Of values by prompt, over seeds or whatever else a prompt has several of.
    pub fn mean(&self, clusters: &[Vec<f64>]) -> Option<Estimate> {
        let sums: Vec<(f64, f64)> =
            clusters.iter().map(|c| (c.iter().sum::<f64>(), c.len() as f64)).collect();
        let mean = |who: &mut dyn Iterator<Item = usize>| {
            let add = |(a, b): (f64, f64), (c, d): &(f64, f64)| (a + c, b + d);
            let (sum, count) = who.filter_map(|i| sums.get(i)).fold((0.0, 0.0), add);
            (count > 0.0).then(|| sum / count)
        };
        let all = mean(&mut (0..sums.len()))?;
        let mut drawn: Vec<f64> =
            self.0.iter().filter_map(|draw| mean(&mut draw.iter().copied())).collect();
        drawn.sort_unstable_by(f64::total_cmp);
        let at = |q: f64| drawn.get((q * (drawn.len().saturating_sub(1)) as f64).round() as usize);
        Some(Estimate { mean: all, low: *at(0.025)?, high: *at(0.975)? })
    }
}

/// The difference of two lists of clusters, value by value; what is missing on either side is left out.
pub fn difference(a: &[Vec<Option<f64>>], b: &[Vec<Option<f64>>]) -> Vec<Vec<f64>> {
    let pairs = |(a, b): (&Vec<Option<f64>>, &Vec<Option<f64>>)| {
        a.iter().zip(b).filter_map(|(a, b)| Some((*a)? - (*b)?)).collect()
    };
    a.iter().zip(b).map(pairs).collect()
}

/// Clusters without what is missing.
pub fn present(all: &[Vec<Option<f64>>]) -> Vec<Vec<f64>> {
    all.iter().map(|cluster| cluster.iter().flatten().copied().collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_surrounds_the_mean_and_shrinks() {
        let values = |n: usize| (0..n).map(|i| vec![(i % 2) as f64]).collect::<Vec<_>>();
        let wide = Bootstrap::new(20).mean(&values(20)).unwrap();
        let narrow = Bootstrap::new(200).mean(&values(200)).unwrap();
        assert!(wide.low < 0.5 && 0.5 < wide.high && wide.mean == 0.5);
        assert!(narrow.high - narrow.low < wide.high - wide.low);
        // The normal interval of 200 coins is ±0.069.
        assert!((narrow.high - narrow.low - 0.1386).abs() < 0.02, "{narrow:?}");
        assert!(Bootstrap::new(3).mean(&[vec![], vec![], vec![]]).is_none());
    }

    #[test]
    fn differences_are_paired() {
        let (a, b) =
            (vec![vec![Some(1.0), None, Some(3.0)]], vec![vec![Some(0.5), Some(1.0), None]]);
        assert_eq!(difference(&a, &b), [vec![0.5]]);
        assert_eq!(present(&a), [vec![1.0, 3.0]]);
    }
}
