//! What is asked of one generation.

use crate::decoder::WithFinal;
use crate::error::{Error, Result};
use crate::logits::LogitsProcessor;
use crate::sample::Sampling;
use std::sync::Arc;

/// How an answer is to be made.
#[derive(Debug, Clone)]
pub struct Request {
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// Keys every random draw.
    pub seed: u64,
    /// Which of several answers to one prompt this is.
    pub choice: u32,
    /// The most tokens of the answer; `None` for as many as the context holds.
    pub max_tokens: Option<usize>,
    /// Edits of the logits, in order.
    pub processors: Vec<Arc<dyn LogitsProcessor>>,
    /// Texts that end the answer.
    pub stop: Vec<String>,
    /// How many of the most likely tokens each step lists.
    pub top_logprobs: usize,
    /// Whether each step brings the activation at `final`.
    pub reading: WithFinal,
    /// How much may be taken back.
    pub retries: RetryBudget,
}

impl Default for Request {
    fn default() -> Self {
        Request {
            sampling: Sampling::Greedy,
            seed: 0,
            choice: 0,
            max_tokens: None,
            processors: Vec::new(),
            stop: Vec::new(),
            top_logprobs: 0,
            reading: WithFinal::Logits,
            retries: RetryBudget::default(),
        }
    }
}

impl Request {
    pub(super) fn check(&self) -> Result<()> {
        if self.max_tokens == Some(0) {
            let problem = "is 0, at least 1 is needed".to_owned();
            return Err(Error::Invalid { field: "max_tokens", problem });
        }
        Ok(())
    }
}

/// Bounds on rewinding, so that a monitor that always objects comes to an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryBudget {
    /// Rewinds of one answer.
    pub rewinds: u32,
    /// Tokens taken back in all.
    pub discarded: usize,
}

impl Default for RetryBudget {
    fn default() -> Self {
        RetryBudget { rewinds: 4, discarded: 256 }
    }
}
