//! The scorer: a judge that follows one answer.

use super::judge::Judge;
use super::quote::Quote;
use super::walk::{Depth, Walk};
use crate::error::Error;
use crate::monitor::detect::{Detection, Detector, Finding};
use std::sync::Arc;
use trimtab_runtime::Error::Misuse;
use trimtab_runtime::Result;
use trimtab_runtime::monitor::{AnswerView, Heard};

/// Judges an answer by the probabilities of labels; never generates.
#[derive(Debug)]
pub struct Scorer {
    judge: Arc<Judge>,
    quote: Quote,
    stage: Stage,
    /// How long the answer was at each finished check.
    checks: Vec<usize>,
    /// Labels that were read.
    labels: usize,
}

#[derive(Debug)]
enum Stage {
    Idle,
    /// The model reads the answer and the question.
    Root(Depth),
    /// The labels behind them.
    Labels(Box<Walk>),
}

impl Scorer {
    pub(super) fn new(judge: Arc<Judge>, quote: Quote) -> Scorer {
        Scorer { judge, quote, stage: Stage::Idle, checks: Vec::new(), labels: 0 }
    }

    fn begin(&mut self, answer: &[u32]) -> Result<Detection> {
        let depth = self.judge.depth(self.checks.len());
        Ok(match self.quote.ask(answer).map_err(plain)? {
            Some(session) => {
                self.stage = Stage::Root(depth);
                Detection::Ask(vec![session])
            }
            None => Detection::Found(full()),
        })
    }

    /// The next sequences of a walk, or what it found.
    fn go_on(&mut self, mut walk: Box<Walk>, tokens: usize) -> Detection {
        if walk.is_done() {
            let depth = walk.depth();
            self.checks.push(tokens);
            return Detection::Found(self.judge.verdict(walk.tree(), depth));
        }
        let rows = walk.ask();
        self.labels += rows.len();
        self.stage = Stage::Labels(walk);
        Detection::Ask(rows)
    }
}

impl Detector for Scorer {
    fn detect(&mut self, answer: &AnswerView) -> Result<Detection> {
        match std::mem::replace(&mut self.stage, Stage::Idle) {
            Stage::Labels(walk) if self.quote.holds(answer.tokens) => {
                Ok(self.go_on(walk, answer.tokens.len()))
            }
            Stage::Idle | Stage::Root(_) | Stage::Labels(_) => self.begin(answer.tokens),
        }
    }

    fn rewind(&mut self, tokens: usize) {
        self.stage = Stage::Idle;
        self.quote.rewind(tokens);
        self.checks.retain(|at| *at <= tokens);
    }

    fn heard(&mut self, mut read: Vec<Heard>) -> Result<()> {
        match &mut self.stage {
            Stage::Labels(walk) => walk.heard(&self.judge.labels, &read).map_err(plain)?,
            Stage::Root(depth) => {
                let Some(Heard { session, logits }) = read.pop() else {
                    return Err(Misuse("a judge was told of no sequence"));
                };
                let walk = Walk::begin(&self.judge.labels, &session, &logits, *depth);
                // The sequence comes back whatever became of the walk.
                self.quote.take_back(session).map_err(plain)?;
                self.stage = Stage::Labels(Box::new(walk.map_err(plain)?));
            }
            // A rewind came between: what was read no longer matters, the sequence does.
            Stage::Idle if self.quote.is_away() => {
                if let Some(own) = read.pop() {
                    self.quote.take_back(own.session).map_err(plain)?;
                }
            }
            Stage::Idle => {}
        }
        Ok(())
    }

    fn spent(&self) -> usize {
        self.quote.spent() + self.labels
    }

    fn give_way(&mut self) -> Result<()> {
        self.stage = Stage::Idle;
        self.quote.give_way().map_err(plain)
    }
}

/// What is found where an answer no longer fits beside the instructions.
pub(super) fn full() -> Finding {
    Finding::unknown("the judge's context is full")
}

/// A perceiver speaks in the runtime's errors.
pub(super) fn plain(error: Error) -> trimtab_runtime::Error {
    match error {
        Error::Runtime(error) => error,
        _ => Misuse("a judge could not form its question"),
    }
}
