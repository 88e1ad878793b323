//! The parser: a judge that writes its verdict out and is read strictly, as published.
//!
//! It generates, so a check takes a pass of the model for each token, at most 16. What cannot be parsed is unknown.

use super::check::{full, plain};
use super::form::Form;
use super::quote::{Quote, VERDICT_TOKENS};
use super::verdict::parse_verdict;
use super::wording::Wording;
use crate::monitor::detect::{Action, Detection, Detector, Finding};
use crate::monitor::policy::Policy;
use std::sync::Arc;
use trimtab_runtime::Error::Misuse;
use trimtab_runtime::monitor::{AnswerView, Heard};
use trimtab_runtime::session::Session;
use trimtab_runtime::text::Control;
use trimtab_runtime::{Model, Result};

/// Judges an answer by a verdict that the model writes.
#[derive(Debug)]
pub struct Parser {
    form: Arc<Form>,
    policy: Arc<Policy>,
    quote: Quote,
    stage: Stage,
    written: Vec<u32>,
    /// Tokens of verdicts that were read again to go on.
    reread: usize,
}

#[derive(Debug)]
enum Stage {
    Idle,
    Away,
    /// More is to be written.
    Writing(Box<Session>),
    /// The verdict is complete.
    Written,
}

impl Parser {
    /// The form of a model's parser under a policy, to be shared among answers.
    pub fn form(model: &Model, policy: &Policy) -> crate::Result<Arc<Form>> {
        Ok(Arc::new(Form::new(model, Wording::parser(policy))?))
    }

    /// Watches the answer to a request; the seed decides the delimiter.
    pub fn new(
        form: &Arc<Form>,
        policy: &Arc<Policy>,
        request: &str,
        seed: u64,
    ) -> crate::Result<Parser> {
        let quote = Quote::open(form, request, seed)?;
        let (form, policy) = (form.clone(), policy.clone());
        Ok(Parser { form, policy, quote, stage: Stage::Idle, written: Vec::new(), reread: 0 })
    }

    fn begin(&mut self, answer: &[u32]) -> Result<Detection> {
        self.written.clear();
        let Some(session) = self.quote.ask(answer).map_err(plain)? else {
            return Ok(Detection::Found(full()));
        };
        self.stage = Stage::Away;
        Ok(Detection::Ask(vec![session]))
    }

    /// What was written so far.
    fn text(&self) -> String {
        self.form.tokenizer().decode(&self.written, Control::Show)
    }

    fn finding(&self) -> Finding {
        let text = self.text();
        let Some((_, state)) = parse_verdict(&text) else {
            return Finding::unknown(format!("no verdict in {text:?}"));
        };
        let action = self.policy.action(state);
        let score = if action == Action::Rollback { 1.0 } else { 0.0 };
        Finding { state: Some(state), ..Finding::new(action, score, score - 0.5) }
    }

    /// Takes in the next token; the sequence goes back where the verdict is complete.
    fn take(&mut self, mut session: Session, logits: &[f32]) -> Result<()> {
        let best = logits.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
        let token = best.map_or(0, |(token, _)| token as u32);
        let ends = self.form.tokenizer().is_end_of_generation(token);
        if !ends {
            self.written.push(token);
        }
        if ends || self.written.len() >= VERDICT_TOKENS || self.text().contains(')') {
            self.stage = Stage::Written;
            return self.quote.take_back(session).map_err(plain);
        }
        session.push(&[token])?;
        self.reread += 1;
        self.stage = Stage::Writing(Box::new(session));
        Ok(())
    }
}

impl Detector for Parser {
    fn detect(&mut self, answer: &AnswerView) -> Result<Detection> {
        match std::mem::replace(&mut self.stage, Stage::Idle) {
            Stage::Writing(session) if self.quote.holds(answer.tokens) => {
                self.stage = Stage::Away;
                Ok(Detection::Ask(vec![*session]))
            }
            Stage::Written if self.quote.holds(answer.tokens) => {
                Ok(Detection::Found(self.finding()))
            }
            Stage::Writing(session) => {
                self.quote.take_back(*session).map_err(plain)?;
                self.begin(answer.tokens)
            }
            Stage::Idle | Stage::Away | Stage::Written => self.begin(answer.tokens),
        }
    }

    fn rewind(&mut self, tokens: usize) {
        if let Stage::Writing(session) = std::mem::replace(&mut self.stage, Stage::Idle) {
            self.quote.put_back(*session);
        }
        self.quote.rewind(tokens);
    }

    fn heard(&mut self, mut read: Vec<Heard>) -> Result<()> {
        let Some(Heard { session, logits }) = read.pop() else {
            return Err(Misuse("a judge was told of no sequence"));
        };
        match self.stage {
            Stage::Away => self.take(session, &logits),
            // A rewind came between.
            Stage::Idle | Stage::Writing(_) | Stage::Written => {
                self.quote.take_back(session).map_err(plain)
            }
        }
    }

    fn spent(&self) -> usize {
        self.quote.spent() + self.reread
    }

    fn give_way(&mut self) -> Result<()> {
        if let Stage::Writing(session) = std::mem::replace(&mut self.stage, Stage::Idle) {
            self.quote.put_back(*session);
        }
        self.quote.give_way().map_err(plain)
    }
}
