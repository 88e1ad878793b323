//! How well the model predicts a text, and what a plan changes about that.
//!
//! The measure is the mean negative log-likelihood over windows, and its exponential. Windows of a fixed number of
//! tokens, no BOS, an incomplete one at the end left out. Without a stride windows do not overlap and every token but
//! a window's first is scored; with one, windows begin that many tokens apart and the last that many tokens of each
//! are scored. Sums are in f64.
//!
//! A window's first tokens count as its prompt and the others as its answer, so that a plan that leaves the prompt alone
//! acts on the text as it acts on what it serves; only the answer is scored.
//!
//! Plans are compared in one pass: a window runs under every plan at once, each pair of distributions is reduced to a
//! few numbers where it stands, and no logits outlive their pass.

mod comparison;
mod pass;

pub use comparison::{Comparison, Divergence, Steered, quantile};

use crate::decoder::Decoder;
use crate::error::{Error, Result};
use crate::generate::Flow;
use crate::hook::Intervention;
use crate::kv::{BLOCK_LEN, KvPool};
use crate::plan::Plan;
use pass::{Batch, Score};
use std::sync::Arc;

/// The most windows that share a pass, where nothing is compared.
const PASS_WINDOWS: usize = 4;
/// The most rows of a pass that compares plans.
const PASS_ROWS: usize = 64;
/// Logits that one pass should hold.
const PASS_LOGIT_BYTES: usize = 256 << 20;

/// A text's tokens and what predicts them.
#[derive(Debug, Clone, Copy)]
pub struct Trial<'a> {
    /// The model.
    pub decoder: &'a Arc<Decoder>,
    /// Where keys and values go. With room for every plan's window the trial's own plan runs once, with less it runs
    /// again beside each part of the plans.
    pub pool: &'a KvPool,
    /// The text.
    pub tokens: &'a [u32],
    /// The plan in force, which others are compared with.
    pub plan: &'a Plan,
}

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
    /// Tokens of a window that count as its prompt, from 1 to one less than it has.
    pub prompt: usize,
}

/// How many tokens of a window should count as its prompt for a plan to do to the text what it does to an answer.
///
/// One, so that all is answer; half of the window if part of the plan acts on the prompt alone, because then there is
/// no effect but that on what follows.
pub fn prompt_for(plan: &Plan, window: usize) -> usize {
    let answers = |item: &Arc<dyn Intervention>| {
        !item.positions().overlap(&(window..usize::MAX), window).is_empty()
    };
    if plan.items().iter().all(answers) { 1 } else { (window / 2).max(1) }
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

    fn add(&mut self, losses: impl Iterator<Item = f64>) {
        self.windows += 1;
        for loss in losses {
            self.scored += 1;
            self.sum += loss;
            self.sum_of_squares += loss * loss;
        }
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
        trial: &Trial,
        progress: &mut dyn FnMut(&Perplexity) -> Flow,
    ) -> Result<Perplexity> {
        Ok(self.compare(trial, &[], &mut |so_far| progress(&so_far.plain))?.plain)
    }

    /// Scores a text's tokens under the trial's plan and under others, and compares each with the first.
    ///
    /// `progress` as for [`Windows::measure`].
    pub fn compare(
        &self,
        trial: &Trial,
        plans: &[Plan],
        progress: &mut dyn FnMut(&Comparison) -> Flow,
    ) -> Result<Comparison> {
        self.check(trial.tokens.len())?;
        let step = self.stride.unwrap_or(self.size);
        let count = self.count(trial.tokens.len());
        let windows: Vec<&[u32]> =
            trial.tokens.windows(self.size).step_by(step).take(count).collect();
        let together = if plans.is_empty() { PASS_WINDOWS } else { 1 };
        let mut total = Comparison::of(plans.len());
        for group in windows.chunks(together) {
            for scores in self.scores(trial, plans, group)? {
                total.add(&scores, self.first_scored());
            }
            if progress(&total) == Flow::Cancel {
                break;
            }
        }
        Ok(total)
    }

    /// By window and plan, the trial's own first, a score for every token but the first.
    fn scores(
        &self,
        trial: &Trial,
        plans: &[Plan],
        windows: &[&[u32]],
    ) -> Result<Vec<Vec<Vec<Score>>>> {
        let each = trial.pool.usage().blocks / self.size.div_ceil(BLOCK_LEN).max(1);
        let most = each.clamp(2, PASS_ROWS) - 1;
        let (first, others) = plans.split_at(plans.len().min(most));
        let mut scores = self.batch(trial, first, windows.len()).scores(windows)?;
        for plans in others.chunks(most) {
            let more = self.batch(trial, plans, windows.len()).scores(windows)?;
            for (scores, more) in scores.iter_mut().zip(more) {
                scores.extend(more.into_iter().skip(1));
            }
        }
        Ok(scores)
    }

    /// A pass takes no more tokens than give the logits that it should hold.
    fn batch<'a>(&self, trial: &'a Trial, plans: &'a [Plan], windows: usize) -> Batch<'a> {
        let bytes = 4 * windows * (1 + plans.len()) * trial.decoder.spec().vocab_size;
        let chunk = self.chunk.min(PASS_LOGIT_BYTES / bytes.max(1)).max(1);
        Batch { trial, plans, chunk, prompt: self.prompt }
    }

    fn check(&self, tokens: usize) -> Result<()> {
        let invalid = |field, problem: String| Err(Error::Invalid { field, problem });
        if self.size < 2 {
            return invalid("ctx-size", format!("is {}, a window needs 2 tokens", self.size));
        }
        if !(1..self.size).contains(&self.prompt) {
            let last = self.size - 1;
            return invalid("prompt", format!("is {}, expected 1 to {last}", self.prompt));
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
        let overlap = self.stride.map_or(0, |stride| self.size - 1 - stride);
        overlap.max(self.prompt - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hook::{Addition, Positions};
    use crate::sample::Step;
    use crate::session::Session;
    use crate::site::Site;
    use crate::testing::tiny;
    use std::sync::LazyLock;

    fn windows(size: usize, stride: Option<usize>) -> Windows {
        Windows { size, stride, most: None, chunk: 512, prompt: 1 }
    }

    fn trial<'a>(decoder: &'a Arc<Decoder>, pool: &'a KvPool, tokens: &'a [u32]) -> Trial<'a> {
        static EMPTY: LazyLock<Plan> = LazyLock::new(Plan::empty);
        Trial { decoder, pool, tokens, plan: &EMPTY }
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
            let trial = trial(&decoder, &pool, &text);
            let got = windows.measure(&trial, &mut |_| Flow::Continue).unwrap();
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
        let trial = trial(&decoder, &pool, &text);
        let measure = |w: Windows, flow| w.measure(&trial, &mut |_| flow);
        let two = Windows { most: Some(2), ..windows(8, None) };
        assert_eq!(measure(two, Flow::Continue).unwrap().windows, 2);
        assert_eq!(measure(windows(8, None), Flow::Cancel).unwrap().windows, 4);
        let [no_prompt, no_answer] = [0, 8].map(|prompt| Windows { prompt, ..windows(8, None) });
        for bad in [
            windows(1, None),
            windows(41, None),
            windows(8, Some(8)),
            windows(8, Some(0)),
            no_prompt,
            no_answer,
        ] {
            assert!(measure(bad, Flow::Continue).is_err(), "{bad:?}");
        }
    }

    fn push(scale: f32) -> Plan {
        let vector = (0..tiny::WIDTH).map(|i| (i as f32).sin()).collect();
        Plan::of(Addition::new(Site::ResidPost(1), vector, scale).unwrap())
    }

    /// Log-probabilities of every token of a window but the last, from plain f64 sums over one token at a time.
    fn naive(decoder: &Arc<Decoder>, window: &[u32], plan: &Plan) -> Vec<Vec<f64>> {
        let pool = decoder.pool(64).unwrap();
        let mut session = Session::new(decoder.clone(), &pool, plan.clone()).unwrap();
        let line = |token: &u32| {
            session.push_prompt(&[*token]).unwrap();
            let logits = session.run().unwrap().logits.pop().unwrap();
            let z = logits.iter().map(|l| f64::from(*l).exp()).sum::<f64>().ln();
            logits.iter().map(|l| f64::from(*l) - z).collect()
        };
        window[..window.len() - 1].iter().map(line).collect()
    }

    #[test]
    fn a_comparison_equals_a_naive_one() {
        let decoder = tiny::decoder().unwrap();
        let text: Vec<u32> = (0..50u32).map(|i| i * i % 61).collect();
        let plans = [push(0.5), push(0.0), push(-40.0)];
        let cut = Windows { chunk: 5, ..windows(12, Some(6)) };
        // A pool of four windows holds all plans at once, one of two windows does not.
        let [wide, narrow] = [64, 32].map(|tokens| {
            let pool = decoder.pool(tokens).unwrap();
            let trial = trial(&decoder, &pool, &text);
            cut.compare(&trial, &plans, &mut |_| Flow::Continue).unwrap()
        });
        assert_eq!(wide, narrow);
        for (plan, got) in plans.iter().zip(&wide.steered) {
            let (mut kl, mut agreed, mut loss, mut rises) = (Vec::new(), 0.0, 0.0, Vec::new());
            for start in (0..50 - 11).step_by(6) {
                let window = &text[start..start + 12];
                let (plain, steered) =
                    (naive(&decoder, window, &Plan::empty()), naive(&decoder, window, plan));
                let top = |l: &[f64]| (0..l.len()).max_by(|a, b| l[*a].total_cmp(&l[*b]));
                let mut rise = 0.0;
                for at in 5..11 {
                    let (p, q) = (&plain[at], &steered[at]);
                    kl.push(p.iter().zip(q).map(|(p, q)| p.exp() * (p - q)).sum::<f64>());
                    agreed += f64::from(u8::from(top(p) == top(q)));
                    loss -= q[window[at + 1] as usize];
                    rise += p[window[at + 1] as usize] - q[window[at + 1] as usize];
                }
                rises.push(rise / 6.0);
            }
            let n = kl.len() as f64;
            let divergence = got.divergence();
            assert!((divergence.mean - kl.iter().sum::<f64>() / n).abs() < 1e-6);
            assert!((divergence.max - kl.iter().copied().fold(0.0, f64::max)).abs() < 1e-6);
            assert_eq!(got.top1_agreement(), agreed / n);
            assert!((got.perplexity.nll() - loss / n).abs() < 1e-6);
            let apart = got.rises().iter().zip(&rises).map(|(a, b)| (a - b).abs());
            assert!(apart.fold(0.0, f64::max) < 1e-6);
        }
        let same = &wide.steered[1];
        assert_eq!((same.divergence(), same.top1_agreement()), (Divergence::default(), 1.0));
        assert_eq!(same.perplexity, wide.plain);
        assert!(wide.steered[2].divergence().mean > 10.0 * wide.steered[0].divergence().mean);
    }

    /// A push at some positions of a window of which so many tokens are the prompt.
    fn acting(positions: Positions, prompt: usize) -> Steered {
        let decoder = tiny::decoder().unwrap();
        let pool = decoder.pool(256).unwrap();
        let text: Vec<u32> = (0..40u32).map(|i| i * 7 % 61).collect();
        let vector = (0..tiny::WIDTH).map(|i| (i as f32).sin()).collect();
        let push = Addition::new(Site::ResidPost(1), vector, 2.0).unwrap().at(positions);
        let cut = Windows { prompt, ..windows(10, None) };
        let plans = [Plan::of(push)];
        let found = cut.compare(&trial(&decoder, &pool, &text), &plans, &mut |_| Flow::Continue);
        found.unwrap().steered.remove(0)
    }

    #[test]
    fn what_leaves_the_prompt_alone_acts_on_the_text_as_on_an_answer() {
        let all = acting(Positions::All, 1);
        // Where the prompt ends is nothing to a push everywhere.
        let naive_prompt = acting(Positions::From(0), 1);
        assert_eq!(all, naive_prompt);
        let generated = acting(Positions::Generated, 1);
        assert!(generated.divergence().mean > 0.5 * all.divergence().mean);
        let count = |found: &Steered| found.perplexity.scored;
        assert_eq!((count(&all), count(&generated)), (36, 36));
        // What acts on the prompt alone is seen in what follows it.
        let last = acting(Positions::From(-1), 5);
        let prompt = acting(Positions::PromptWindow(-1, None), 5);
        assert!(last.divergence().max > 0.0 && prompt.divergence().max > 0.0);
        assert_eq!(count(&prompt), 20);
    }

    #[test]
    fn the_prompt_of_a_window_is_as_long_as_a_plan_needs() {
        let at = |positions: Positions| {
            let vector = vec![1.0; tiny::WIDTH];
            Addition::new(Site::ResidPost(1), vector, 1.0).unwrap().at(positions)
        };
        for (positions, expected) in [
            (Positions::All, 1),
            (Positions::Generated, 1),
            (Positions::GeneratedWindow(0..4), 1),
            (Positions::From(-2), 1),
            (Positions::Prompt, 6),
            (Positions::PromptWindow(-1, None), 6),
        ] {
            assert_eq!(prompt_for(&Plan::of(at(positions.clone())), 12), expected, "{positions:?}");
        }
        assert_eq!(prompt_for(&Plan::empty(), 12), 1);
        let both = Plan::of(at(Positions::All)).then(at(Positions::Prompt));
        assert_eq!(prompt_for(&both, 12), 6);
    }

    #[test]
    fn what_is_measured_under_a_plan_is_what_is_compared() {
        let decoder = tiny::decoder().unwrap();
        let pool = decoder.pool(256).unwrap();
        let text: Vec<u32> = (0..40u32).map(|i| i * 7 % 61).collect();
        let (plain, plan) = (trial(&decoder, &pool, &text), push(2.0));
        let steered = Trial { plan: &plan, ..plain };
        let go = &mut |_: &_| Flow::Continue;
        let alone = windows(10, None).measure(&steered, go).unwrap();
        let beside =
            windows(10, None).compare(&plain, std::slice::from_ref(&plan), &mut |_| Flow::Continue);
        let beside = beside.unwrap();
        assert_eq!(alone, beside.steered[0].perplexity);
        assert_ne!(alone, beside.plain);
    }
}
