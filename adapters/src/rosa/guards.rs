//! What a new version must not do, measured over the whole vocabulary before it is published.
//!
//! The canary is a few positions of neutral and of refused prompts whose logits the untaught model gave once. A new
//! version may differ from the old by little there, and from the untaught model by little in all, whatever was taught.
//!
//! Two readings look for collapse, in which answers become short on choices and like each other. Answers to the canaries
//! would have to be generated for that, which costs more than an update; what is measured instead is what they would begin
//! with. The entropy of these distributions bounds how varied beginnings can be, and the probability that two
//! canaries begin with the same token is the self-similarity of one-token answers. Both are of the distributions
//! themselves, so nothing is sampled and the same state always has the same reading.

use super::head::OutputHead;
use super::lesson::Lesson;
use super::logits::{self, Spread};
use super::params::RosaParams;
use super::product;
use super::state::{BlockState, LastMlpLora};
use super::trace::LastBlock;
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// Positions of the answer that are compared over the whole vocabulary.
pub(super) const WATCHED: usize = 8;
/// Most that a logit may be moved in all.
const MOST_BIAS: f64 = 4.0;
/// Longest push as a share of the stream's length.
const MOST_DOSE: f64 = 0.5;
/// Most that the canary's mean entropy may fall, nats.
const MOST_ENTROPY_LOSS: f64 = 0.5;
/// Most that the chance of the same token at two canary positions may rise.
const MOST_SIMILARITY: f64 = 0.1;

/// Positions whose logits must hardly change.
#[derive(Debug, Clone, PartialEq)]
pub struct Canary {
    /// Logits of the untaught model, `[n, V]`.
    base: Vec<f32>,
    spread: Spread,
    last_block: Option<LastBlock>,
    count: usize,
}

impl Canary {
    /// From the untaught model's activations at `final` and, for `last_mlp_lora`, in its last block.
    ///
    /// # Errors
    ///
    /// No position, rows of another width, a number that is not finite.
    // states [n, d_model]
    pub fn new(
        head: &dyn OutputHead,
        states: &[f32],
        last_block: Option<LastBlock>,
    ) -> Result<Canary> {
        let width = head.width();
        let fits = |rows: &[f32]| rows.len() == states.len();
        let whole = last_block.iter().all(|last| fits(&last.resid_mid) && fits(&last.resid_post));
        if states.is_empty() || !states.len().is_multiple_of(width) || !whole {
            let problem = format!("has {} values, its rows {width}", states.len());
            return Err(Error::invalid("canary", problem));
        }
        let base = head.scores(states)?;
        if base.iter().any(|z| !z.is_finite()) {
            return Err(Error::invalid("canary", "has a logit that is not finite"));
        }
        let spread = Spread::of(&base, head.vocabulary());
        Ok(Canary { base, spread, last_block, count: states.len() / width })
    }

    /// How many positions there are.
    pub fn positions(&self) -> usize {
        self.count
    }

    /// How far distributions have become sharper and more alike.
    fn collapse(&self, new: &Spread) -> [GuardReading; 2] {
        let Spread { entropy, similarity } = self.spread;
        let (loss, rise) = (entropy - new.entropy, new.similarity - similarity);
        [
            GuardReading::new(GuardName::CanaryEntropy, loss, MOST_ENTROPY_LOSS),
            GuardReading::new(GuardName::CanarySimilarity, rise, MOST_SIMILARITY),
        ]
    }

    /// The logits under an effect.
    // -> [n, V]
    fn logits(&self, head: &dyn OutputHead, effect: &Effect) -> Result<Vec<f32>> {
        match effect {
            Effect::Nothing => Ok(self.base.clone()),
            Effect::Bias(bias) => Ok(shifted(&self.base, bias)),
            Effect::Push(lora) => {
                let missing = || Error::invalid("canary", "has no activations of the last block");
                pushed_logits(head, lora, self.last_block.as_ref().ok_or_else(missing)?)
            }
        }
    }
}

/// What a block does to logits, computed once.
enum Effect {
    Nothing,
    /// `W·δ`, `[V]`.
    Bias(Vec<f32>),
    Push(LastMlpLora),
}

impl Effect {
    fn of(block: &BlockState, head: &dyn OutputHead) -> Result<Effect> {
        Ok(match block {
            _ if block.is_zero() => Effect::Nothing,
            BlockState::FinalOffset(offset) => Effect::Bias(offset.bias(head)?),
            BlockState::LastMlpLora(lora) => Effect::Push(lora.clone()),
        })
    }
}

// rows [n, V], bias [V] -> [n, V]
fn shifted(rows: &[f32], bias: &[f32]) -> Vec<f32> {
    let rows = rows.chunks(bias.len().max(1));
    rows.flat_map(|row| row.iter().zip(bias).map(|(z, b)| z + b)).collect()
}

// last [n, d] -> [n, V]
fn pushed_logits(head: &dyn OutputHead, lora: &LastMlpLora, last: &LastBlock) -> Result<Vec<f32>> {
    head.scores(&head.norm().apply(&lora.pushed(&last.resid_post, &last.resid_mid)))
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GuardName {
    /// Numbers that are not finite.
    Finite,
    /// Mean KL(old‖new) on the answer's positions of most credit, nats.
    AnswerStep,
    /// Mean KL(old‖new) on the canary, nats.
    CanaryStep,
    /// Mean KL(untaught‖new) on the canary, nats.
    CanaryMean,
    /// Largest KL(untaught‖new) on the canary, nats.
    CanaryMax,
    /// Mean KL(new‖untaught) on the canary, nats.
    CanaryBackMean,
    /// Largest KL(new‖untaught) on the canary, nats.
    CanaryBackMax,
    /// How far the mean entropy on the canary has fallen below the untaught model's, nats: answers with fewer choices.
    CanaryEntropy,
    /// How far the mean probability that two canary positions have the same next token is above the untaught model's:
    /// answers that are alike.
    CanarySimilarity,
    /// Largest change of a logit from the untaught model; of `last_mlp_lora` on the canary.
    Bias,
    /// Length of the push, of `last_mlp_lora` the longest on the answer.
    Norm,
}

/// One measurement beside its limit.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct GuardReading {
    /// What is measured.
    pub name: GuardName,
    /// What was found.
    pub value: f64,
    /// What may be.
    pub limit: f64,
    /// Whether the value is at most the limit.
    pub passed: bool,
}

impl GuardReading {
    fn new(name: GuardName, value: f64, limit: f64) -> GuardReading {
        GuardReading { name, value, limit, passed: value <= limit }
    }
}

/// What a new version is compared with.
pub(super) struct Inspection<'a> {
    pub(super) head: &'a dyn OutputHead,
    pub(super) canary: &'a Canary,
    pub(super) params: &'a RosaParams,
    /// Median length of the stream where the block acts.
    pub(super) stream_norm: f64,
    /// The answer's positions of most credit.
    pub(super) watched: &'a Lesson,
    /// Their logits under the old version, `[w, V]`.
    pub(super) logits: &'a [f32],
    /// Largest divergence of the step on the answer.
    pub(super) limit: f64,
}

impl Inspection<'_> {
    /// All measurements of a step from one block to another; only the first if a number is not finite.
    pub(super) fn readings(&self, old: &BlockState, new: &BlockState) -> Result<Vec<GuardReading>> {
        let effects = [Effect::of(old, self.head)?, Effect::of(new, self.head)?];
        let [before, after] = &effects;
        let canary =
            [self.canary.logits(self.head, before)?, self.canary.logits(self.head, after)?];
        let answer = self.answer_logits(old, new, &effects)?;
        let all = canary.iter().flatten().chain(&answer).chain(new.values());
        let strange = all.filter(|x| !x.is_finite()).count();
        let mut readings = vec![GuardReading::new(GuardName::Finite, strange as f64, 0.0)];
        if strange > 0 {
            return Ok(readings);
        }
        let step = mean(&self.divergences(self.logits, &answer).0);
        readings.push(GuardReading::new(GuardName::AnswerStep, step, 2.0 * self.limit));
        readings.extend(self.canary_readings(&effects, &canary));
        let [_, after] = &canary;
        readings.extend(self.canary.collapse(&Spread::of(after, self.head.vocabulary())));
        readings.push(GuardReading::new(GuardName::Bias, self.bias(&effects, &canary), MOST_BIAS));
        let norm = self.push_norm(new);
        readings.push(GuardReading::new(GuardName::Norm, norm, MOST_DOSE * self.stream_norm));
        Ok(readings)
    }

    /// KL(a‖b) and KL(b‖a) of each row.
    // a [n, V], b [n, V] -> [n], [n]
    fn divergences(&self, a: &[f32], b: &[f32]) -> (Vec<f64>, Vec<f64>) {
        let vocabulary = self.head.vocabulary().max(1);
        let rows = a.chunks(vocabulary).zip(b.chunks(vocabulary));
        rows.map(|(a, b)| logits::divergences(a, b).into()).unzip()
    }

    fn canary_readings(
        &self,
        [before, _]: &[Effect; 2],
        [old, new]: &[Vec<f32>; 2],
    ) -> [GuardReading; 5] {
        let params = self.params;
        let (forth, back) = self.divergences(&self.canary.base, new);
        let step = match before {
            // The old version is the untaught model.
            Effect::Nothing => mean(&forth),
            Effect::Bias(_) | Effect::Push(_) => mean(&self.divergences(old, new).0),
        };
        [
            GuardReading::new(GuardName::CanaryStep, step, params.canary_step),
            GuardReading::new(GuardName::CanaryMean, mean(&forth), params.canary_mean),
            GuardReading::new(GuardName::CanaryMax, most(&forth), params.canary_max),
            GuardReading::new(GuardName::CanaryBackMean, mean(&back), params.canary_mean),
            GuardReading::new(GuardName::CanaryBackMax, most(&back), params.canary_max),
        ]
    }

    /// The logits of the watched positions under the new version.
    // -> [w, V]
    fn answer_logits(
        &self,
        old: &BlockState,
        new: &BlockState,
        [before, after]: &[Effect; 2],
    ) -> Result<Vec<f32>> {
        if let BlockState::LastMlpLora(lora) = old {
            let missing = || Error::invalid("trace.last_block", "is missing");
            let last = self.watched.last_block.as_ref().ok_or_else(missing)?;
            // What was served has the old push in it.
            let change = new.values().iter().zip(old.values()).map(|(new, old)| new - old);
            return pushed_logits(self.head, &lora.clone().taught(change.collect()), last);
        }
        Ok(match (before, after) {
            (Effect::Bias(old), Effect::Bias(new)) => {
                let change: Vec<f32> = new.iter().zip(old).map(|(new, old)| new - old).collect();
                shifted(self.logits, &change)
            }
            (_, Effect::Bias(new)) => shifted(self.logits, new),
            (Effect::Bias(old), _) => {
                let change: Vec<f32> = old.iter().map(|old| -old).collect();
                shifted(self.logits, &change)
            }
            (_, _) => self.logits.to_vec(),
        })
    }

    fn bias(&self, [_, after]: &[Effect; 2], [_, canary]: &[Vec<f32>; 2]) -> f64 {
        match after {
            Effect::Nothing => 0.0,
            Effect::Bias(bias) => largest(bias.iter().copied()),
            Effect::Push(_) => {
                largest(canary.iter().zip(&self.canary.base).map(|(new, base)| new - base))
            }
        }
    }

    fn push_norm(&self, new: &BlockState) -> f64 {
        match new {
            BlockState::FinalOffset(offset) => product::squared(&offset.delta).sqrt(),
            BlockState::LastMlpLora(lora) => {
                let mids = self.watched.last_block.iter().map(|last| &last.resid_mid);
                let rows = mids.flat_map(|mid| mid.chunks(self.head.width()));
                most(&rows.map(|x| product::squared(&lora.push(x)).sqrt()).collect::<Vec<_>>())
            }
        }
    }
}

// [n] -> []
fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

// [n] -> []
fn most(values: &[f64]) -> f64 {
    values.iter().fold(0.0, |most, x| most.max(*x))
}

fn largest(values: impl Iterator<Item = f32>) -> f64 {
    f64::from(values.fold(0f32, |most, x| most.max(x.abs())))
}

#[cfg(test)]
mod tests {
    use super::super::head::DenseHead;
    use super::super::state::FinalOffset;
    use super::*;

    /// Eight tokens whose rows are the axes, and a canary of as many flat positions.
    fn canary() -> (DenseHead, Canary) {
        let rows = (0..8).flat_map(|at| (0..8).map(move |of| if at == of { 1.0f32 } else { 0.0 }));
        let head = DenseHead::new(rows.collect(), 8).unwrap();
        let states: Vec<f32> = (0..64).map(|at| if at % 9 == 0 { 1.0 } else { 0.0 }).collect();
        let canary = Canary::new(&head, &states, None).unwrap();
        (head, canary)
    }

    fn collapsed(delta: &[f32; 8]) -> [GuardReading; 2] {
        let (head, canary) = canary();
        let block = BlockState::FinalOffset(FinalOffset { delta: delta.to_vec() });
        let logits = canary.logits(&head, &Effect::of(&block, &head).unwrap()).unwrap();
        canary.collapse(&Spread::of(&logits, 8))
    }

    #[test]
    fn a_block_that_pushes_one_token_everywhere_trips_both_readings_of_collapse() {
        let one = collapsed(&[6.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
        assert_eq!(one.map(|reading| reading.passed), [false; 2], "{one:?}");
        let small = collapsed(&[0.2, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
        assert_eq!(small.map(|reading| reading.passed), [true; 2], "{small:?}");
        let none = collapsed(&[0.0; 8]);
        assert_eq!(none.map(|reading| reading.value), [0.0; 2]);
    }

    #[test]
    fn each_reading_of_collapse_can_be_tripped_without_the_other() {
        let (_, canary) = canary();
        // Sharp and all different: entropy falls, no two are alike.
        let sharp: Vec<f32> = canary.base.iter().map(|z| 20.0 * z).collect();
        let [entropy, similarity] = canary.collapse(&Spread::of(&sharp, 8));
        assert!(!entropy.passed && similarity.passed, "{entropy:?} {similarity:?}");
        // Two tokens each with a half, at every position: alike, and with entropy left.
        let alike = Spread { entropy: canary.spread.entropy - 0.1, similarity: 0.5 };
        let [entropy, similarity] = canary.collapse(&alike);
        assert!(entropy.passed && !similarity.passed, "{entropy:?} {similarity:?}");
    }
}
