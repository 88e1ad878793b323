//! Choosing a token.
//!
//! [`Sampling`] is an enum and a function. A random draw is keyed by (seed, choice, purpose, attempt, position): it
//! is a hash, not the next number of a generator, so a rewind has no generator state to restore and a batch-mate
//! cannot use up somebody's numbers. Order: temperature, then top-k, top-p, min-p.

use crate::error::{Error, Result};
use crate::fingerprint::Fingerprint;
use crate::kernels::logits::{Spread, spread};
use std::cmp::Ordering;

/// How tokens are chosen, as users write it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SamplingParams {
    /// Divides logits; 0 takes the most likely token.
    pub temperature: f32,
    /// Keeps the k most likely tokens; 0 keeps all.
    pub top_k: usize,
    /// Keeps the fewest tokens whose probabilities sum to this (arXiv 1904.09751); 1 keeps all.
    pub top_p: f32,
    /// Keeps tokens at least this likely relative to the most likely one; 0 keeps all.
    pub min_p: f32,
}

impl Default for SamplingParams {
    fn default() -> Self {
        SamplingParams { temperature: 1.0, top_k: 0, top_p: 1.0, min_p: 0.0 }
    }
}

impl SamplingParams {
    /// The checked form.
    pub fn check(self) -> Result<Sampling> {
        let within = |field, value: f32, low: f32, high: f32| {
            if (low..=high).contains(&value) {
                return Ok(());
            }
            let problem = format!("is {value}, not between {low} and {high}");
            Err(Error::Invalid { field, problem })
        };
        within("temperature", self.temperature, 0.0, 100.0)?;
        within("top_p", self.top_p, 0.0, 1.0)?;
        within("min_p", self.min_p, 0.0, 1.0)?;
        if self.temperature == 0.0 {
            return Ok(Sampling::Greedy);
        }
        Ok(Sampling::Random(Truncation {
            temperature: f64::from(self.temperature),
            top_k: if self.top_k == 0 { usize::MAX } else { self.top_k },
            top_p: f64::from(self.top_p),
            min_p: f64::from(self.min_p),
        }))
    }
}

/// How tokens are chosen, checked.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Sampling {
    /// The most likely token; of equals the smallest id.
    Greedy,
    /// A draw from the truncated distribution.
    Random(Truncation),
}

/// The checked numbers of a random draw.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Truncation {
    temperature: f64,
    top_k: usize,
    top_p: f64,
    min_p: f64,
}

/// What a draw is for, so that different decisions at one position are independent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The next token.
    Token,
    /// Any other decision, by name.
    Named(&'static str),
}

/// Everything a random draw depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Draw {
    /// The request's seed.
    pub seed: u64,
    /// Which of several answers to one request.
    pub choice: u32,
    /// What it is for.
    pub purpose: Purpose,
    /// How often the answer was rewound before.
    pub attempt: u32,
    /// Absolute position in the sequence.
    pub position: usize,
}

impl Draw {
    /// A number in [0, 1), the same for the same key.
    pub fn uniform(&self) -> f64 {
        let purpose = match self.purpose {
            Purpose::Token => "token",
            Purpose::Named(name) => name,
        };
        let bits = Fingerprint::builder("trimtab.draw")
            .number(self.seed)
            .number(u64::from(self.choice))
            .text(purpose)
            .number(u64::from(self.attempt))
            .number(self.position as u64)
            .finish()
            .to_u64();
        (bits >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// What the random draws of one answer share.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DrawKey {
    /// The request's seed.
    pub seed: u64,
    /// Which of several answers to one request.
    pub choice: u32,
    /// How often the answer was rewound before.
    pub attempt: u32,
}

/// The key of every position of a sequence.
///
/// Kept tokens keep the key they were first run under, so a pass that is repeated (a rewind, keys and values that were
/// given up) draws what it drew before.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DrawKeys {
    /// First position of each key, in rising order.
    spans: Vec<(usize, DrawKey)>,
}

impl DrawKeys {
    /// Positions from `position` on draw under this key.
    pub fn set(&mut self, position: usize, key: DrawKey) {
        self.spans.retain(|(from, _)| *from < position);
        self.spans.push((position, key));
    }

    /// The draw for a purpose at an absolute position.
    pub fn draw(&self, purpose: Purpose, position: usize) -> Draw {
        let span = self.spans.iter().rfind(|(from, _)| *from <= position);
        let DrawKey { seed, choice, attempt } = span.map(|(_, key)| *key).unwrap_or_default();
        Draw { seed, choice, purpose, attempt, position }
    }
}

impl Sampling {
    /// A token for these logits, `[vocab_size]`. Logits that leave no choice are an error.
    pub fn choose(&self, logits: &[f32], draw: &Draw) -> Result<u32> {
        let best = greedy(logits)
            .ok_or(Error::NotFinite { at: "logits".to_owned(), position: draw.position })?;
        match self {
            Sampling::Greedy => Ok(best),
            Sampling::Random(t) => Ok(t.draw(logits, best, draw.uniform())),
        }
    }
}

/// The largest logit's id; `None` if one is NaN or +∞, or if every token is banned.
fn greedy(logits: &[f32]) -> Option<u32> {
    let mut best: Option<(usize, f32)> = None;
    for (id, &l) in logits.iter().enumerate() {
        if l.is_nan() || l == f32::INFINITY {
            return None;
        }
        if l > best.map_or(f32::NEG_INFINITY, |(_, b)| b) {
            best = Some((id, l));
        }
    }
    best.map(|(id, _)| id as u32)
}

impl Truncation {
    fn draw(&self, logits: &[f32], best: u32, uniform: f64) -> u32 {
        let most = logits.get(best as usize).copied().map_or(0.0, f64::from);
        let weight = |l: f32| ((f64::from(l) - most) / self.temperature).exp();
        let all = logits.iter().enumerate().map(|(id, l)| (id as u32, weight(*l)));
        // Weights are relative to the most likely token's 1, which is what min-p compares with.
        let kept: Vec<(u32, f64)> = all.filter(|(_, w)| *w > 0.0 && *w >= self.min_p).collect();
        let kept = self.most_likely(kept);
        let total: f64 = kept.iter().map(|(_, w)| w).sum();
        let mut left = uniform * total;
        for (id, w) in &kept {
            left -= w;
            if left < 0.0 {
                return *id;
            }
        }
        kept.last().map_or(best, |(id, _)| *id)
    }

    /// Applies top-k and top-p; without either, the order of ids is kept and nothing is sorted.
    fn most_likely(&self, mut kept: Vec<(u32, f64)>) -> Vec<(u32, f64)> {
        if self.top_k < kept.len() {
            kept.select_nth_unstable_by(self.top_k, likelier);
            kept.truncate(self.top_k);
        }
        if self.top_p >= 1.0 {
            kept.sort_unstable_by_key(|(id, _)| *id);
            return kept;
        }
        let enough = self.top_p * kept.iter().map(|(_, w)| w).sum::<f64>();
        // Sorting the vocabulary costs milliseconds; the nucleus is mostly within the first few.
        let mut sorted = 64.min(kept.len());
        loop {
            if sorted < kept.len() {
                kept.select_nth_unstable_by(sorted, likelier);
            }
            let head = &mut kept[..sorted];
            head.sort_unstable_by(likelier);
            let mut sum = 0.0;
            let reached = head.iter().position(|(_, w)| {
                sum += w;
                sum >= enough
            });
            if let Some(last) = reached {
                kept.truncate(last + 1);
                return kept;
            }
            if sorted == kept.len() {
                return kept;
            }
            sorted = (sorted * 4).min(kept.len());
        }
    }
}

fn likelier(a: &(u32, f64), b: &(u32, f64)) -> Ordering {
    b.1.total_cmp(&a.1).then(a.0.cmp(&b.0))
}

/// What was chosen and how likely it was under the logits it was sampled from: after the processors, before
/// temperature and truncation.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// The token.
    pub token: u32,
    /// Its log-probability.
    pub logprob: f64,
    /// ln Σ exp(logit).
    pub log_sum_exp: f64,
    /// Entropy in nats.
    pub entropy: f64,
    /// The most likely tokens with their log-probabilities, as many as were asked for.
    pub top: Vec<(u32, f64)>,
    /// The activation at `final`, if it was asked for.
    pub reading: Option<Vec<f32>>,
}

impl Step {
    /// Reads the statistics of a token off logits.
    pub fn of(token: u32, logits: &[f32], top: usize) -> Step {
        let Spread { log_sum_exp, entropy } = spread(logits);
        let logprob = |l: f32| f64::from(l) - log_sum_exp;
        Step {
            token,
            logprob: logits.get(token as usize).map_or(f64::NEG_INFINITY, |l| logprob(*l)),
            log_sum_exp,
            entropy,
            top: top_of(logits, top).into_iter().map(|(id, l)| (id, logprob(l))).collect(),
            reading: None,
        }
    }
}

fn top_of(logits: &[f32], count: usize) -> Vec<(u32, f32)> {
    if count == 0 {
        return Vec::new();
    }
    let mut all: Vec<(u32, f32)> = logits.iter().enumerate().map(|(i, l)| (i as u32, *l)).collect();
    let order = |a: &(u32, f32), b: &(u32, f32)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
    if count < all.len() {
        all.select_nth_unstable_by(count, order);
        all.truncate(count);
    }
    all.sort_unstable_by(order);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draw(position: usize) -> Draw {
        Draw { seed: 7, choice: 0, purpose: Purpose::Token, attempt: 0, position }
    }

    fn shares(params: SamplingParams, logits: &[f32]) -> Vec<f64> {
        let sampling = params.check().unwrap();
        let mut counts = vec![0.0; logits.len()];
        for position in 0..20_000 {
            counts[sampling.choose(logits, &draw(position)).unwrap() as usize] += 1.0 / 20_000.0;
        }
        counts
    }

    #[test]
    fn draws_follow_the_softmax() {
        let logits = [1.0f32, 0.0, -1.0, 2.0];
        let total: f64 = logits.iter().map(|l| f64::from(*l).exp()).sum();
        let got = shares(SamplingParams::default(), &logits);
        for (l, share) in logits.iter().zip(got) {
            assert!((f64::from(*l).exp() / total - share).abs() < 0.012, "{l}: {share}");
        }
    }

    #[test]
    fn truncation_keeps_what_it_says() {
        // Probabilities 0.4, 0.3, 0.2, 0.1.
        let logits = [0.1f32, 0.4, 0.2, 0.3].map(f32::ln);
        let kept = |p: SamplingParams| {
            let shares = shares(p, &logits);
            shares.iter().map(|s| if *s > 0.0 { '1' } else { '0' }).collect::<String>()
        };
        let base = SamplingParams::default();
        assert_eq!(kept(base), "1111");
        assert_eq!(kept(SamplingParams { top_k: 2, ..base }), "0101");
        assert_eq!(kept(SamplingParams { top_p: 0.65, ..base }), "0101");
        assert_eq!(kept(SamplingParams { top_p: 0.0, ..base }), "0100");
        assert_eq!(kept(SamplingParams { min_p: 0.45, ..base }), "0111");
    }

    #[test]
    fn a_nucleus_wider_than_the_first_guess_is_found() {
        let logits: Vec<f32> = (0..1000).map(|i| -(i as f32) * 1e-4).collect();
        let shares = shares(SamplingParams { top_p: 0.5, ..SamplingParams::default() }, &logits);
        let last = shares.iter().rposition(|s| *s > 0.0).unwrap();
        assert!((450..520).contains(&last), "{last}");
    }

    #[test]
    fn every_part_of_the_key_counts() {
        let base = draw(3);
        let others = [
            Draw { seed: 8, ..base },
            Draw { choice: 1, ..base },
            Draw { purpose: Purpose::Named("halt"), ..base },
            Draw { attempt: 1, ..base },
            Draw { position: 4, ..base },
        ];
        assert_eq!(base.uniform(), draw(3).uniform());
        assert!(others.iter().all(|o| o.uniform() != base.uniform()));
    }

    #[test]
    fn positions_keep_the_key_they_were_first_run_under() {
        let key = |attempt| DrawKey { seed: 7, choice: 0, attempt };
        let mut keys = DrawKeys::default();
        for (position, attempt) in [(0, 0), (9, 1), (5, 2)] {
            keys.set(position, key(attempt));
        }
        let attempt = |position| keys.draw(Purpose::Named("halt"), position).attempt;
        assert_eq!([0, 4, 5, 9, 100].map(attempt), [0, 0, 2, 2, 2]);
        assert_eq!(keys.draw(Purpose::Token, 3), draw(3));
    }

    #[test]
    fn logits_without_a_choice_are_an_error() {
        for bad in
            [vec![f32::NAN, 1.0], vec![f32::INFINITY, 1.0], vec![f32::NEG_INFINITY; 3], vec![]]
        {
            assert!(Sampling::Greedy.choose(&bad, &draw(0)).is_err(), "{bad:?}");
        }
        let one = [f32::NEG_INFINITY, 0.0];
        let sampling = SamplingParams::default().check().unwrap();
        assert_eq!(sampling.choose(&one, &draw(0)).unwrap(), 1);
    }

    #[test]
    fn step_statistics_are_those_of_the_distribution() {
        let step = Step::of(1, &[0.0, 0.0, f32::NEG_INFINITY], 2);
        assert!((step.logprob + 2f64.ln()).abs() < 1e-6);
        assert!((step.entropy - 2f64.ln()).abs() < 1e-6);
        assert_eq!(step.top.iter().map(|t| t.0).collect::<Vec<_>>(), [0, 1]);
    }
}
