//! Answers under a version, and how likely a version finds an answer.

use super::copy::Proving;
use crate::commands::opened::Opened;
use crate::error::Result;
use std::time::Instant;
use trimtab_adapters::host::{AnswerRecord, AnswerRef, PinnedAdapter, RecordingHandle};
use trimtab_adapters::store::now_ms;
use trimtab_runtime::generate::{Flow, Generation, Request, run};
use trimtab_runtime::plan::Plan;
use trimtab_runtime::sample::Step;
use trimtab_runtime::text::{Message, Special};

/// What is asked where an answer is to be judged.
const JUDGED: [&str; 3] = [
    "Name a colour and say why you like it.",
    "Give me a tip for better sleep.",
    "Write a sentence about the sea.",
];

/// What is asked where no answer is judged.
const HELD_OUT: [&str; 8] = [
    "What is the capital of France?",
    "How many legs does a spider have?",
    "Name three rivers in Europe.",
    "What do bees make?",
    "Write a short greeting to a friend.",
    "Explain in one sentence why the sky is blue.",
    "How do I boil an egg?",
    "Translate good morning into Spanish.",
];

/// An answer, down to the bits of its log-probabilities.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    tokens: Vec<u32>,
    log_p: Vec<u64>,
}

/// How many answers differ between two rounds.
pub fn differing(a: &[Told], b: &[Told]) -> usize {
    a.iter().zip(b).filter(|(a, b)| a != b).count() + a.len().abs_diff(b.len())
}

/// How many answers differ in a token.
pub fn reworded(a: &[Told], b: &[Told]) -> usize {
    a.iter().zip(b).filter(|(a, b)| a.tokens != b.tokens).count()
}

/// A message as the model is asked it; bare text where it has no template.
fn asked(opened: &Opened, texts: &[&str]) -> Result<Vec<Vec<u32>>> {
    let one = |text: &&str| {
        let model = &opened.model;
        Ok(match model.template() {
            Ok(_) => model.chat_prompt(&[Message::new("user", *text)])?,
            Err(_) => model.raw_prompt(text, Special::Plain)?,
        })
    };
    texts.iter().map(one).collect()
}

/// Prompts whose answers are judged.
pub fn judged(opened: &Opened) -> Result<Vec<Vec<u32>>> {
    asked(opened, &JUDGED)
}

/// Prompts whose answers are not.
pub fn held_out(opened: &Opened) -> Result<Vec<Vec<u32>>> {
    asked(opened, &HELD_OUT)
}

impl Proving<'_> {
    /// The answers to some prompts under a version, or without an adapter, in one batch.
    pub fn told(&self, pinned: Option<&PinnedAdapter>, prompts: &[Vec<u32>]) -> Result<Vec<Told>> {
        let plan = in_force(pinned)?;
        let one = |prompt: &Vec<u32>| self.generation(&plan, prompt);
        let mut generations: Vec<Generation> = prompts.iter().map(one).collect::<Result<_>>()?;
        run(&mut generations, &mut |_, _| Flow::Continue)?;
        let each = generations.into_iter().map(|generation| {
            let answer = generation.into_answer()?;
            let bits = |step: &Option<Step>| step.as_ref().map_or(0, |step| step.logprob.to_bits());
            Ok(Told { log_p: answer.steps.iter().map(bits).collect(), tokens: answer.tokens })
        });
        each.collect()
    }

    fn generation(&self, plan: &Plan, prompt: &[u32]) -> Result<Generation> {
        let model = &self.opened.model;
        let mut session = model.session(plan.clone())?;
        session.push_prompt(prompt)?;
        let request = Request { max_tokens: Some(self.most), ..Request::default() };
        Ok(Generation::new(session, model.tokenizer()?.clone(), request)?)
    }

    /// An answer as it is kept until it is judged.
    pub fn recorded(
        &self,
        pinned: &PinnedAdapter,
        prompt: &[u32],
        response: String,
    ) -> Result<AnswerRecord> {
        let began = Instant::now();
        let mut generation = self.generation(&in_force(Some(pinned))?, prompt)?;
        let mut handle = None;
        if let Some((recorder, recording)) = pinned.recorder() {
            generation = generation.watched_by(recorder);
            handle = Some(recording);
        }
        let mut one = [generation];
        run(&mut one, &mut |_, _| Flow::Continue)?;
        let [generation] = one;
        generation.into_answer()?;
        Ok(AnswerRecord {
            answer: AnswerRef { response, choice: 0 },
            key: pinned.key().clone(),
            version: pinned.version(),
            prompt: prompt.to_vec(),
            recording: handle.as_ref().map(RecordingHandle::take).unwrap_or_default(),
            plan: Plan::empty(),
            took: began.elapsed(),
            made_ms: now_ms(),
        })
    }

    /// ln p of an answer's tokens under a version, each after those before it.
    pub fn log_p(&self, pinned: &PinnedAdapter, prompt: &[u32], tokens: &[u32]) -> Result<f64> {
        let mut session = self.opened.model.session(in_force(Some(pinned))?)?;
        session.push_prompt(prompt)?;
        let mut logits = session.run()?.logits;
        let mut sum = 0.0;
        for token in tokens {
            sum += logits.pop().map_or(f64::NAN, |row| Step::of(*token, &row, 0).logprob);
            logits = session.advance(&[*token])?.logits;
        }
        Ok(sum)
    }
}

/// The plan of an answer under a version; an empty one without.
pub fn in_force(pinned: Option<&PinnedAdapter>) -> Result<Plan> {
    Ok(match pinned {
        None => Plan::empty(),
        Some(pinned) => pinned.plan(&Plan::empty())?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(tokens: &[u32], log_p: f64) -> Told {
        Told { tokens: tokens.to_vec(), log_p: vec![log_p.to_bits()] }
    }

    #[test]
    fn answers_differ_in_a_token_or_in_a_bit() {
        let a = [told(&[1, 2], -0.5), told(&[3], -0.5)];
        assert_eq!((differing(&a, &a), reworded(&a, &a)), (0, 0));
        let bit = [told(&[1, 2], -0.500_000_000_000_000_1), told(&[3], -0.5)];
        assert_eq!((differing(&a, &bit), reworded(&a, &bit)), (1, 0));
        let other = [told(&[1, 4], -0.5)];
        assert_eq!((differing(&a, &other), reworded(&a, &other)), (2, 1));
    }
}
