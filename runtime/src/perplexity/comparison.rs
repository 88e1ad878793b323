//! What several plans make of the same text, held against one of them.

use super::Perplexity;
use super::pass::Score;
use serde::Serialize;

/// A text scored under one plan and under others.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Comparison {
    /// Under the trial's own plan.
    pub plain: Perplexity,
    /// Under each of the others, in their order.
    pub steered: Vec<Steered>,
}

/// A text scored under a plan, and how far its predictions are from the plain ones.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Steered {
    /// How well the text is predicted.
    pub perplexity: Perplexity,
    agreed: usize,
    divergences: Vec<f64>,
    rises: Vec<f64>,
}

/// KL(plain ‖ steered) in nats over the scored tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Divergence {
    /// Mean.
    pub mean: f64,
    /// Median.
    pub median: f64,
    /// 99th percentile.
    pub p99: f64,
    /// The largest.
    pub max: f64,
}

impl Steered {
    /// Share of the scored tokens where the plain prediction's likeliest token is the likeliest here too. Of several
    /// that are equally likely, the plain one is the first; here each counts.
    pub fn top1_agreement(&self) -> f64 {
        self.agreed as f64 / self.divergences.len() as f64
    }

    /// How far the predictions are from the plain ones.
    pub fn divergence(&self) -> Divergence {
        let mut sorted = self.divergences.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        Divergence {
            mean: sorted.iter().sum::<f64>() / sorted.len() as f64,
            median: quantile(&sorted, 0.5),
            p99: quantile(&sorted, 0.99),
            max: quantile(&sorted, 1.0),
        }
    }

    /// By window, the mean over its tokens of how much more negative log-likelihood there is than plain.
    pub fn rises(&self) -> &[f64] {
        &self.rises
    }

    fn add(&mut self, plain: &[Score], steered: &[Score]) {
        self.perplexity.add(steered.iter().map(|s| s.loss));
        self.agreed += steered.iter().map(|s| s.agreed).sum::<usize>();
        self.divergences.extend(steered.iter().map(|s| s.kl));
        let rise: f64 = plain.iter().zip(steered).map(|(p, s)| s.loss - p.loss).sum();
        self.rises.push(rise / steered.len() as f64);
    }
}

impl Comparison {
    pub(super) fn of(plans: usize) -> Comparison {
        Comparison { plain: Perplexity::default(), steered: vec![Steered::default(); plans] }
    }

    /// Adds one window: its scores under every plan, the plain ones first, of which those from `first` on count.
    pub(super) fn add(&mut self, scores: &[Vec<Score>], first: usize) {
        let counted = |scores: &'_ [Score]| -> Vec<Score> {
            scores.get(first..).unwrap_or_default().to_vec()
        };
        let Some((plain, steered)) = scores.split_first() else {
            return;
        };
        let plain = counted(plain);
        self.plain.add(plain.iter().map(|s| s.loss));
        for (total, scores) in self.steered.iter_mut().zip(steered) {
            total.add(&plain, &counted(scores));
        }
    }
}

/// The value below which the share `q` of sorted values lies, on a straight line between neighbours; NaN of none.
pub fn quantile(sorted: &[f64], q: f64) -> f64 {
    let place = q.clamp(0.0, 1.0) * sorted.len().saturating_sub(1) as f64;
    let at = |i: f64| sorted.get(i as usize).copied().unwrap_or(f64::NAN);
    let (below, above) = (at(place.floor()), at(place.ceil()));
    below + (above - below) * place.fract()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_numpy() {
        // np.quantile([1, 2, 4, 8, 16], q)
        let sorted = [1.0, 2.0, 4.0, 8.0, 16.0];
        for (q, expected) in [(0.0, 1.0), (0.5, 4.0), (0.6, 5.6), (0.95, 14.4), (1.0, 16.0)] {
            assert!((quantile(&sorted, q) - expected).abs() < 1e-12, "{q}");
        }
        assert_eq!(quantile(&[3.0], 0.99), 3.0);
        assert!(quantile(&[], 0.5).is_nan());
    }
}
