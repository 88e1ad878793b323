//! How likely given answers are, per token.
//!
//! A prompt is run once whatever the number of its answers: each answer is a fork. The end of turn is not scored,
//! because whether an answer stops is another question than whether it is the one.

use super::subject::{Stem, Subject};
use crate::error::{Error, Result};
use trimtab_runtime::generate::Flow;
use trimtab_runtime::model::{LogitsAt, Want};
use trimtab_runtime::plan::Plan;
use trimtab_runtime::read;
use trimtab_runtime::sample::Step;

/// Logits that one pass should hold.
const PASS_LOGIT_BYTES: usize = 256 << 20;

/// A prompt and answers to it, as tokens. Answers are not empty.
pub(super) struct Case {
    /// The prompt.
    pub(super) prompt: Vec<u32>,
    /// Answers to it.
    pub(super) answers: Vec<Vec<u32>>,
}

impl Case {
    fn answer_tokens(&self) -> usize {
        self.answers.iter().map(Vec::len).sum()
    }
}

/// Mean log-probability per token of every answer to every prompt. `progress` hears how many more prompts are done.
pub(super) fn score(
    subject: &Subject,
    plan: &Plan,
    cases: &[Case],
    progress: &mut dyn FnMut(usize) -> Flow,
) -> Result<Vec<Vec<f64>>> {
    let prompts: Vec<Vec<u32>> = cases.iter().map(|case| case.prompt.clone()).collect();
    let stem = subject.stem(plan, &prompts)?;
    // Every fork holds blocks of its own behind the prompt.
    let length = |case: &Case| case.prompt.len() * (1 + case.answers.len()) + case.answer_tokens();
    let lengths: Vec<usize> = cases.iter().map(length).collect();
    let mut scores: Vec<Vec<f64>> = vec![Vec::new(); cases.len()];
    for group in subject.groups(&lengths) {
        let most = PASS_LOGIT_BYTES / (4 * subject.decoder.spec().vocab_size).max(1);
        let members: Vec<(usize, &Case)> =
            group.iter().filter_map(|index| Some((*index, cases.get(*index)?))).collect();
        for part in parts(&members, most) {
            let some: Vec<&Case> = part.iter().map(|(_, case)| *case).collect();
            for ((index, _), found) in part.iter().zip(together(&stem, &some)?) {
                if let Some(place) = scores.get_mut(*index) {
                    *place = found;
                }
            }
            if progress(part.len()) == Flow::Cancel {
                return Err(Error::Cancelled);
            }
        }
    }
    Ok(scores)
}

/// Neighbours whose answers have at most so many tokens together, one at least.
fn parts<'a, 'b>(members: &'b [(usize, &'a Case)], most: usize) -> Vec<&'b [(usize, &'a Case)]> {
    let (mut parts, mut rest) = (Vec::new(), members);
    while !rest.is_empty() {
        let mut tokens = 0;
        let fits = rest.iter().take_while(|(_, case)| {
            tokens += case.answer_tokens();
            tokens <= most
        });
        let (part, others) = rest.split_at(fits.count().max(1));
        parts.push(part);
        rest = others;
    }
    parts
}

/// The scores of cases that run in the same passes.
fn together(stem: &Stem, cases: &[&Case]) -> Result<Vec<Vec<f64>>> {
    let mut roots = Vec::with_capacity(cases.len());
    for case in cases {
        roots.push(stem.grow(&case.prompt)?);
    }
    let mut sums: Vec<Vec<f64>> = vec![Vec::new(); cases.len()];
    read::run(&mut roots, &Want::default(), |index, _, output| {
        if let (Some(case), Some(sums), Some(head)) =
            (cases.get(index), sums.get_mut(index), output.logits().last())
        {
            *sums = case.answers.iter().map(|answer| logprob(answer.first(), head)).collect();
        }
        Ok::<(), Error>(())
    })?;
    let (mut forks, mut scored) = (Vec::new(), Vec::new());
    for ((case, root), sums) in cases.iter().zip(&roots).zip(&mut sums) {
        let answers = case.answers.iter().zip(sums);
        for (answer, sum) in answers.filter(|(answer, _)| answer.len() > 1) {
            let mut fork = root.fork();
            fork.push(answer.get(..answer.len() - 1).unwrap_or_default())?;
            forks.push(fork);
            scored.push((answer.iter().skip(1), sum));
        }
    }
    let want = Want { logits: LogitsAt::All, ..Want::default() };
    read::run(&mut forks, &want, |index, _, output| {
        if let Some((tokens, sum)) = scored.get_mut(index) {
            // Token by token, so that the sum has the bits of one that decodes.
            output.logits().for_each(|logits| **sum += logprob(tokens.next(), logits));
        }
        Ok::<(), Error>(())
    })?;
    for (case, sums) in cases.iter().zip(&mut sums) {
        case.answers.iter().zip(sums).for_each(|(answer, sum)| *sum /= answer.len() as f64);
    }
    Ok(sums)
}

/// The log-probability of a token under logits; a step that was not computed has none.
// logits [vocab_size] -> []
fn logprob(token: Option<&u32>, logits: &[f32]) -> f64 {
    token.map_or(f64::NAN, |token| Step::of(*token, logits, 0).logprob)
}
