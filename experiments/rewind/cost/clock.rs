//! Times of answers that run together, each beside the same without a guard just before and after it.

use super::middle::now;
use std::time::{Duration, Instant};
use trimtab_runtime::Result;
use trimtab_runtime::generate::{Event, Flow, Generation, Usage, run};

/// When what happened, from the beginning of the prompts.
#[derive(Debug, Clone, Default)]
pub struct Timing {
    /// From the last of the first tokens to the end: nothing but decoding.
    pub decode: Duration,
    pub total: Duration,
    /// When text of the first answer was shown first, by the clock on the wall, and behind how many tokens.
    pub text: Option<(Duration, usize)>,
    /// Counts of all answers together.
    pub usage: Usage,
    pub rewinds: u32,
}

/// Until when answers run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    End,
    /// The first answer's first text.
    FirstText,
}

/// Runs answers together.
pub fn time(mut generations: Vec<Generation>, until: Until) -> Result<Timing> {
    let mut first = vec![None; generations.len()];
    let (mut text, mut tokens) = (None, 0);
    let began = Instant::now();
    let start = now(began);
    run(&mut generations, &mut |index, event| {
        match event {
            Event::Token(_) => {
                tokens += usize::from(index == 0);
                if let Some(first) = first.get_mut(index) {
                    first.get_or_insert_with(|| now(began));
                }
            }
            Event::Text { .. } if index == 0 => {
                text.get_or_insert_with(|| (began.elapsed(), tokens));
                if until == Until::FirstText {
                    return Flow::Cancel;
                }
            }
            _ => {}
        }
        Flow::Continue
    })?;
    let end = now(began);
    let prefilled = first.into_iter().flatten().max().unwrap_or(start);
    let (total, decode) = (end.saturating_sub(start), end.saturating_sub(prefilled));
    let (mut usage, mut rewinds) = (Usage::default(), 0);
    for generation in generations {
        let answer = generation.into_answer()?;
        usage.completion_tokens += answer.usage.completion_tokens;
        usage.discarded_tokens += answer.usage.discarded_tokens;
        usage.hidden_tokens += answer.usage.hidden_tokens;
        usage.forward_tokens += answer.usage.forward_tokens;
        usage.monitor_tokens += answer.usage.monitor_tokens;
        rewinds += answer.rewinds;
    }
    Ok(Timing { decode, total, text, usage, rewinds })
}
