//! One run of an arm: all prompts of a policy once, and what is measured of each answer.

use super::arms::{Arm, Kit};
use super::drive;
use super::store::Row;
use super::toy::Rule;
use std::collections::HashMap;
use trimtab_runtime::engine::Engine;
use trimtab_runtime::generate::{Answer, Flow};
use trimtab_runtime::perplexity::{Trial, Windows};
use trimtab_runtime::plan::Plan;
use trimtab_runtime::text::Message;
use trimtab_runtime::{Model, Result};
use trimtab_steering::monitor::Record;
use trimtab_steering::monitor::record::Outcome;

/// What a run is of.
pub struct Run<'a> {
    pub engine: &'a Engine,
    pub prompts: &'a [&'static str],
    pub seed: u64,
    pub tokens: usize,
    /// How often a random perceiver fires.
    pub rate: f64,
}

/// An answer and what its guard wrote down.
pub struct Made {
    pub answer: Answer,
    record: Option<Record>,
    /// Tokens run behind the prompt, those of answers that were not delivered included.
    run: usize,
}

impl Run<'_> {
    /// The answers that an arm delivers.
    pub fn deliver(
        &self,
        kit: &Kit,
        arm: Arm,
    ) -> std::result::Result<Vec<Made>, Box<dyn std::error::Error>> {
        let first = self.answers(kit, arm, 0)?;
        if arm != Arm::Best {
            return Ok(first);
        }
        let rule = Rule::of(kit.toy);
        let second = self.answers(kit, arm, 1)?;
        let better = |(a, b): (Made, Made)| {
            let run = a.run + b.run;
            let keeps = |made: &Made| rule.judge(&made.answer.text).is_none();
            let best = if !keeps(&a) && keeps(&b) { b } else { a };
            Made { run, ..best }
        };
        Ok(first.into_iter().zip(second).map(better).collect())
    }

    fn answers(
        &self,
        kit: &Kit,
        arm: Arm,
        choice: u32,
    ) -> std::result::Result<Vec<Made>, Box<dyn std::error::Error>> {
        let (mut generations, mut records) = (Vec::new(), Vec::new());
        for (index, prompt) in self.prompts.iter().enumerate() {
            let seed = self.seed * 10_000 + index as u64;
            let (generation, record) =
                kit.answer(arm, prompt, (seed, choice, self.tokens), self.rate)?;
            generations.push(generation);
            records.push(record);
        }
        let answers = drive::run(self.engine, generations)?.into_iter().zip(records);
        let made = answers.map(|(answer, records)| {
            let usage = answer.usage;
            let prompt = usage.prompt_tokens - usage.cached_tokens;
            let run = usage.forward_tokens.saturating_sub(prompt);
            Made { run, record: records.map(|records| records.read()), answer }
        });
        Ok(made.collect())
    }
}

/// The figures of an answer but its perplexity.
pub fn row(made: &Made, rule: &Rule) -> Row {
    let Answer { text, tokens, usage, .. } = &made.answer;
    let violated = rule.judge(text).is_some();
    let record = made.record.clone().unwrap_or_default();
    let refused = matches!(record.outcome, Outcome::Exhausted | Outcome::Stopped);
    let one = |yes: bool| if yes { 1.0 } else { 0.0 };
    let rewinds = record.rewinds().count();
    let mut figures = vec![
        ("violated", one(violated)),
        ("refused", one(refused)),
        ("flagged", one(record.outcome == Outcome::Flagged)),
        ("kept", one(!violated && !refused)),
        ("discarded", usage.discarded_tokens as f64),
        ("run", made.run as f64),
        ("made", tokens.len() as f64),
        ("rewinds", rewinds as f64),
        ("hits", record.hits as f64),
        ("checks", record.checks.len() as f64),
        ("held", record.held as f64),
        ("peaks", record.peaks.0 as f64),
        ("counted", record.peaks.1 as f64),
    ];
    if !refused {
        figures.push(("delivered", one(violated)));
    }
    Row { figures, text: text.clone() }
}

/// How likely answers are to the plain model behind their prompts. Arms share many answers.
#[derive(Default)]
pub struct Fluency(HashMap<Vec<u32>, f64>);

impl Fluency {
    /// Mean negative log-likelihood of an answer's tokens in nats; `None` of an empty answer.
    pub fn nll(&mut self, model: &Model, question: &str, answer: &Answer) -> Result<Option<f64>> {
        let mut tokens = model.chat_prompt(&[Message::new("user", question)])?;
        let prompt = tokens.len();
        tokens.extend_from_slice(&answer.tokens);
        if tokens.len() == prompt {
            return Ok(None);
        }
        if let Some(known) = self.0.get(&tokens) {
            return Ok(Some(*known));
        }
        let plan = Plan::empty();
        let trial =
            Trial { decoder: model.decoder(), pool: model.pool(), tokens: &tokens, plan: &plan };
        let windows =
            Windows { size: tokens.len(), stride: None, most: Some(1), chunk: 512, prompt };
        let nll = windows.measure(&trial, &mut |_| Flow::Continue)?.nll();
        self.0.insert(tokens, nll);
        Ok(Some(nll))
    }
}
