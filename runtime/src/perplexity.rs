//! How well the model predicts a text: mean negative log-likelihood over windows, and its exponential.
//!
//! Windows of a fixed number of tokens, no BOS, an incomplete one at the end left out. Without a stride windows do
//! not overlap and every token but a window's first is scored; with one, windows begin that many tokens apart and
//! the last that many tokens of each are scored. Sums are in f64.

use crate::device::to_host;
use crate::error::{Error, Result};
use crate::generate::Flow;
use crate::kv::KvPool;
use crate::model::{Decoder, LogitsAt, Want};
use crate::plan::Plan;
use crate::session::Session;
use std::sync::Arc;

/// The most windows that share a pass.
const PASS_WINDOWS: usize = 4;
/// Logits that one pass should hold.
const PASS_LOGIT_BYTES: usize = 256 << 20;

/// How a text is cut and scored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Windows {
    /// Tokens of a window, at least 2.
    pub size: usize,
    /// Tokens between the beginnings of two windows; `None` for windows that do not overlap.
    pub stride: Option<usize>,
    /// The most windows that are measured.
    pub most: Option<usize>,
    /// The most tokens of a window in one pass.
    pub chunk: usize,
}

/// Log-likelihood of the tokens scored so far.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Perplexity {
    /// Windows measured.
    pub windows: usize,
    /// Tokens scored.
    pub scored: usize,
    sum: f64,
    sum_of_squares: f64,
}

impl Perplexity {
    /// Mean negative log-likelihood in nats.
    pub fn nll(&self) -> f64 {
        self.sum / self.scored as f64
    }

    /// exp of [`Perplexity::nll`].
    pub fn ppl(&self) -> f64 {
        self.nll().exp()
    }

    /// Standard error of [`Perplexity::ppl`] over tokens, to first order.
    pub fn ppl_stderr(&self) -> f64 {
        let n = self.scored as f64;
        let variance = (self.sum_of_squares / n - self.nll().powi(2)).max(0.0);
        self.ppl() * (variance / (n - 1.0)).sqrt()
    }

    fn add(&mut self, losses: &[f64]) {
        self.windows += 1;
        self.scored += losses.len();
        self.sum += losses.iter().sum::<f64>();
        self.sum_of_squares += losses.iter().map(|l| l * l).sum::<f64>();
    }
}

impl Windows {
    /// How many windows `tokens` tokens give.
    pub fn count(&self, tokens: usize) -> usize {
        let step = self.stride.unwrap_or(self.size).max(1);
        let all = tokens.checked_sub(self.size).map_or(0, |rest| rest / step + 1);
        self.most.map_or(all, |most| all.min(most))
    }

    /// Scores a text's tokens. `progress` sees the result so far after each pass; what it ends is returned as it
    /// stands.
    pub fn measure(
        &self,
        decoder: &Arc<Decoder>,
        pool: &KvPool,
        tokens: &[u32],
        progress: &mut dyn FnMut(&Perplexity) -> Flow,
    ) -> Result<Perplexity> {
        self.check(tokens.len())?;
        let step = self.stride.unwrap_or(self.size);
        let windows: Vec<&[u32]> =
            tokens.windows(self.size).step_by(step).take(self.count(tokens.len())).collect();
        let bytes = 4 * self.size.min(self.chunk) * decoder.spec().vocab_size;
        let together = (PASS_LOGIT_BYTES / bytes.max(1)).clamp(1, PASS_WINDOWS);
        let mut total = Perplexity::default();
        for group in windows.chunks(together) {
            for losses in self.losses(group, decoder, pool)? {
                total.add(losses.get(self.first_scored()..).unwrap_or_default());
            }
            if progress(&total) == Flow::Cancel {
                break;
            }
        }
        Ok(total)
    }

    fn check(&self, tokens: usize) -> Result<()> {
        let invalid = |field, problem: String| Err(Error::Invalid { field, problem });
        if self.size < 2 {
            return invalid("ctx-size", format!("is {}, a window needs 2 tokens", self.size));
        }
        if self.stride.is_some_and(|s| s == 0 || s >= self.size) {
            let last = self.size - 1;
            return invalid("ppl-stride", format!("is not between 1 and {last}"));
        }
        if self.count(tokens) == 0 {
            return invalid("text", format!("has {tokens} tokens, a window needs {}", self.size));
        }
        Ok(())
    }

    /// Index of the first loss that counts, of the `size - 1` that a window has.
    fn first_scored(&self) -> usize {
        self.stride.map_or(0, |stride| self.size - 1 - stride)
    }

    /// −ln p of every token but the first, window by window.
    fn losses(
        &self,
        group: &[&[u32]],
        decoder: &Arc<Decoder>,
        pool: &KvPool,
    ) -> Result<Vec<Vec<f64>>> {
        let want = Want { logits: LogitsAt::All, ..Want::default() };
        let mut runs = Vec::with_capacity(group.len());
        for window in group {
            let mut session = Session::new(decoder.clone(), pool, Plan::empty())?;
            session.set_chunk(self.chunk);
            session.push_prompt(window)?;
            runs.push((session, Vec::with_capacity(self.size)));
        }
        // Windows are equally long, so they end in the same pass.
        while runs.iter().any(|(session, _)| session.pending() > 0) {
            let mut rows: Vec<_> = runs.iter_mut().map(|(s, _)| s.row(want.clone())).collect();
            let output = decoder.forward(&mut rows)?;
            for (row, ((_, losses), window)) in runs.iter_mut().zip(group).enumerate() {
                let next = window.get(losses.len() + 1..).unwrap_or_default();
                let Some(logits) = output.logits(row)? else {
                    return Err(Error::Misuse("a window's logits were not computed"));
                };
                let values = to_host(&logits)?;
                let lines = values.chunks(decoder.spec().vocab_size).zip(next);
                losses.extend(lines.map(|(line, token)| loss(line, *token)));
            }
        }
        Ok(runs.into_iter().map(|(_, losses)| losses).collect())
    }
}

fn loss(logits: &[f32], token: u32) -> f64 {
    let own = logits.get(token as usize).copied().map_or(f64::NEG_INFINITY, f64::from);
    crate::kernels::logits::spread(logits).log_sum_exp - own
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::Step;
    use crate::testing::tiny;

    fn windows(size: usize, stride: Option<usize>) -> Windows {
        Windows { size, stride, most: None, chunk: 512 }
    }

    /// The losses of one window, one token at a time.
    fn slowly(decoder: &Arc<Decoder>, window: &[u32]) -> Vec<f64> {
        let pool = decoder.pool(64).unwrap();
        let mut session = Session::new(decoder.clone(), &pool, Plan::empty()).unwrap();
        let pairs = window.windows(2);
        let loss = |pair: &[u32]| {
            let logits = session.advance(&pair[..1]).unwrap().logits.pop().unwrap();
            -Step::of(pair[1], &logits, 0).logprob
        };
        pairs.map(loss).collect()
    }

    #[test]
    fn windows_equal_token_by_token_scores() {
        let decoder = tiny::decoder().unwrap();
        let pool = decoder.pool(256).unwrap();
        let text: Vec<u32> = (0..50u32).map(|i| i * i % 61).collect();
        for (stride, first) in [(None, 0), (Some(4), 7)] {
            let windows = Windows { chunk: 5, ..windows(12, stride) };
            let got = windows.measure(&decoder, &pool, &text, &mut |_| Flow::Continue).unwrap();
            let starts = (0..50 - 11).step_by(stride.unwrap_or(12));
            let losses: Vec<f64> = starts
                .clone()
                .flat_map(|at| slowly(&decoder, &text[at..at + 12])[first..].to_vec())
                .collect();
            let mean = losses.iter().sum::<f64>() / losses.len() as f64;
            assert_eq!((got.windows, got.scored), (starts.count(), losses.len()));
            assert!((got.nll() - mean).abs() < 1e-9, "{} {mean}", got.nll());
            let square = |l: &f64| (l - mean).powi(2);
            let n = losses.len() as f64;
            let error = (losses.iter().map(square).sum::<f64>() / n / (n - 1.0)).sqrt();
            assert!((got.ppl_stderr() - mean.exp() * error).abs() < 1e-6);
        }
    }

    #[test]
    fn limits_hold() {
        let decoder = tiny::decoder().unwrap();
        let pool = decoder.pool(256).unwrap();
        let text = [7u32; 40];
        let measure = |w: Windows, flow| w.measure(&decoder, &pool, &text, &mut |_| flow);
        let two = Windows { most: Some(2), ..windows(8, None) };
        assert_eq!(measure(two, Flow::Continue).unwrap().windows, 2);
        assert_eq!(measure(windows(8, None), Flow::Cancel).unwrap().windows, 4);
        for bad in [windows(1, None), windows(41, None), windows(8, Some(8)), windows(8, Some(0))] {
            assert!(measure(bad, Flow::Continue).is_err(), "{bad:?}");
        }
    }
}
