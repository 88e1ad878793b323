//! How likely given answers are, per token.
//!
//! A prompt is run once whatever the number of its answers: each answer is a fork. The end of turn is not scored,
//! because whether an answer stops is another question than whether it is the one.

use super::subject::{Stem, Subject};
use crate::error::{Error, Result};
use trimtab_runtime::generate::Flow;
use trimtab_runtime::model::{LogitsAt, Want};
use trimtab_runtime::plan::Plan;
use trimtab_runtime::sample::Step;
use trimtab_runtime::session::Session;

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
            for ((index, _), found) in part.iter().zip(together(subject, &stem, &some)?) {
                scores.get_mut(*index).map(|place| *place = found);
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
fn together(subject: &Subject, stem: &Stem, cases: &[&Case]) -> Result<Vec<Vec<f64>>> {
    let mut roots = Vec::with_capacity(cases.len());
    for case in cases {
        roots.push(stem.grow(&case.prompt)?);
    }
    let heads = pass(subject, &mut roots, LogitsAt::Last)?;
    let mut forks = Vec::new();
    let mut sums: Vec<Vec<f64>> = Vec::with_capacity(cases.len());
    for ((case, root), head) in cases.iter().zip(&roots).zip(&heads) {
        let head = head.last().map_or(&[][..], Vec::as_slice);
        sums.push(case.answers.iter().map(|answer| logprob(answer.first(), head)).collect());
        for answer in case.answers.iter().filter(|answer| answer.len() > 1) {
            let mut fork = root.fork();
            fork.push(answer.get(..answer.len() - 1).unwrap_or_default())?;
            forks.push(fork);
        }
    }
    let mut tails = pass(subject, &mut forks, LogitsAt::All)?.into_iter();
    for (case, sums) in cases.iter().zip(&mut sums) {
        for (answer, sum) in case.answers.iter().zip(sums) {
            if answer.len() > 1 {
                let lines = tails.next().unwrap_or_default();
                // Token by token, so that the sum has the bits of one that decodes.
                answer.iter().skip(1).zip(&lines).for_each(|(t, l)| *sum += logprob(Some(t), l));
            }
            *sum /= answer.len() as f64;
        }
    }
    Ok(sums)
}

/// The logits of what is pending, session by session.
fn pass(
    subject: &Subject,
    sessions: &mut [Session],
    logits: LogitsAt,
) -> Result<Vec<Vec<Vec<f32>>>> {
    let mut found: Vec<Vec<Vec<f32>>> = vec![Vec::new(); sessions.len()];
    loop {
        let pending = sessions.iter_mut().enumerate().filter(|(_, s)| s.pending() > 0);
        let (places, mut rows): (Vec<usize>, Vec<_>) =
            pending.map(|(at, s)| (at, s.row(Want { logits, ..Want::default() }))).unzip();
        if rows.is_empty() {
            return Ok(found);
        }
        let readouts = subject.decoder.forward(&mut rows)?.to_host()?;
        for (at, readout) in places.into_iter().zip(readouts) {
            found.get_mut(at).map(|lines| lines.extend(readout.logits));
        }
    }
}

/// The log-probability of a token under logits; a step that was not computed has none.
// logits [vocab_size] -> []
fn logprob(token: Option<&u32>, logits: &[f32]) -> f64 {
    token.map_or(f64::NAN, |token| Step::of(*token, logits, 0).logprob)
}
