//! Asking the model under a version of the copy: answers, answers that may be judged, and how likely an answer is.

use super::answers::{Told, in_force};
use super::copy::Proving;
use crate::error::Result;
use std::time::Instant;
use trimtab_adapters::host::{AnswerRecord, AnswerRef, PinnedAdapter, RecordingHandle};
use trimtab_adapters::store::now_ms;
use trimtab_runtime::generate::{Flow, Generation, Request, run};
use trimtab_runtime::plan::Plan;
use trimtab_runtime::sample::Step;

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
