//! What the engine tells, as pieces of answers: text with the tokens it is made of, ends, failures.

use super::Asker;
use super::ask::Asked;
use super::story::{Story, Teller};
use super::trace::{About, Trace};
use super::unfolding::Unfolding;
use crate::app::App;
use crate::metrics::Metrics;
use crate::refusal::Refusal;
use crate::steer::{Facts, Guards, Resolved};
use crate::visit::Visit;
use crate::wire::chat::{Steered, Usage};
use crate::wire::receipt::{Receipt, Replay};
use std::sync::Arc;
use std::time::Instant;
use trimtab_runtime::Error;
use trimtab_runtime::engine::Notice;
use trimtab_runtime::generate::{Answer, Event};
use trimtab_runtime::sample::Step;
use trimtab_runtime::text::Tokenizer;

/// A piece of one of the answers.
pub(crate) enum Piece {
    /// It has a place in the engine.
    Begun { choice: usize },
    /// New text, and the tokens that begin in it.
    Text { choice: usize, text: String, first: usize, steps: Vec<Option<Step>> },
    /// Text that had been sent is not part of it any more.
    Retracted {
        choice: usize,
        /// What is left of it.
        bytes: usize,
        /// The tokens that are left.
        tokens: usize,
        /// The attempt that follows.
        attempt: Option<u32>,
        /// The watch that asked for it.
        watch: Option<String>,
    },
    /// It has ended; with the last of them comes what was done to the model.
    Ended { choice: usize, reason: &'static str, steered: Option<Steered> },
    /// All have ended.
    Closed { usage: Usage },
    /// Something went wrong: the last piece.
    Failed(Refusal),
}

/// The answers of one request as they unfold.
pub(crate) struct Unfold {
    tokenizer: Option<Arc<Tokenizer>>,
    answers: Vec<Unfolding>,
    /// Answers that have not ended.
    left: usize,
    usage: Usage,
    seed: u64,
    resolved: Resolved,
    prompt: Vec<u32>,
    replay: Replay,
    ignored: Vec<String>,
    /// What is kept of it, where traces are.
    trace: Option<Trace>,
    /// What their guards find and do.
    guards: Guards,
    /// Who notes it.
    teller: Option<Teller>,
    visit: Arc<Visit>,
    metrics: Arc<Metrics>,
    first: Option<Instant>,
}

impl Unfold {
    pub(crate) fn new(
        app: &App,
        asker: Asker,
        response: &str,
        (asked, guards): (Asked, Guards),
    ) -> Unfold {
        let Asker { caller, visit } = asker;
        let about = About {
            response,
            request_id: &visit.id,
            owner: &caller.label,
            weights_sha256: &app.model.identity().weights_sha256,
            prompt: &asked.prompt,
        };
        let trace = Trace::new(&app.keep, &about, asked.choices as usize);
        let teller = Teller::new(&app.keep, &about, asked.resolved.monitor.as_ref());
        let tokenizer = app.model.tokenizer().ok().cloned();
        let answers = (0..asked.choices).filter_map(|_| tokenizer.clone().map(Unfolding::new));
        Unfold {
            answers: answers.collect(),
            left: asked.choices as usize,
            usage: Usage { prompt_tokens: asked.prompt.len(), ..Usage::default() },
            seed: asked.request.seed,
            ignored: asked.ignored().to_vec(),
            resolved: asked.resolved,
            replay: asked.replay,
            trace,
            guards,
            teller,
            prompt: asked.prompt,
            metrics: app.metrics.clone(),
            first: None,
            tokenizer,
            visit,
        }
    }

    /// Whether nothing more is to come.
    pub(crate) fn is_done(&self) -> bool {
        self.left == 0
    }

    /// What becomes of the request when the engine is gone.
    pub(crate) fn lost(&mut self) -> Vec<Piece> {
        self.fail(Error::Misuse("the engine has gone").into())
    }

    fn fail(&mut self, refusal: Refusal) -> Vec<Piece> {
        self.left = 0;
        vec![Piece::Failed(refusal)]
    }

    /// The pieces that a notice makes.
    pub(crate) fn take(&mut self, at: Instant, notice: Notice) -> Vec<Piece> {
        match notice {
            Notice::Admitted { choice, waited, cached } => {
                self.metrics.admitted(waited);
                self.metrics.prompt(self.usage.prompt_tokens, cached);
                if let Some(answer) = self.answers.get_mut(choice) {
                    answer.cached = cached;
                }
                vec![Piece::Begun { choice }]
            }
            Notice::Event { choice, event } => self.event(choice, at, event),
            Notice::Ended { choice, result: Ok(answer) } => self.ended(choice, answer),
            Notice::Ended { result: Err(error), .. } => self.fail(error.into()),
            // Notices that texts and other work bring.
            _ => Vec::new(),
        }
    }

    fn event(&mut self, choice: usize, at: Instant, event: Event) -> Vec<Piece> {
        let ends = |token| self.tokenizer.as_ref().is_some_and(|t| t.is_end_of_generation(token));
        let Some(answer) = self.answers.get_mut(choice) else { return Vec::new() };
        match event {
            Event::Token(step) => {
                match answer.newest.replace(at) {
                    Some(before) => self.metrics.next(at.saturating_duration_since(before)),
                    None if self.first.is_none() => {
                        self.first = Some(at);
                        self.metrics.first(at.saturating_duration_since(self.visit.since));
                    }
                    None => {}
                }
                // The token that ends an answer is not part of it.
                if !ends(step.token) {
                    answer.push(step.token, Some(step));
                }
                Vec::new()
            }
            Event::Inserted(tokens) => {
                tokens.into_iter().for_each(|token| answer.push(token, None));
                Vec::new()
            }
            Event::Text(text) => vec![answer.show(choice, text)],
            Event::Retracted { from } => {
                let watch = self.guards.watch(choice, answer.rewinds + 1);
                answer.retract(choice, from, watch)
            }
            Event::Rewound { from, .. } => {
                answer.rewind(from);
                Vec::new()
            }
            // How far the prompt is, and the end, which comes again with the answer.
            _ => Vec::new(),
        }
    }

    fn ended(&mut self, choice: usize, answer: Answer) -> Vec<Piece> {
        let mut pieces = Vec::new();
        let tokens = answer.tokens.len();
        self.usage.completion_tokens += tokens;
        self.visit.generated(tokens);
        let usage = answer.usage;
        self.metrics.ended(tokens, usage.discarded_tokens, usage.monitor_tokens);
        let receipt = self.receipt(choice, &answer);
        if let Some(unfolding) = self.answers.get_mut(choice) {
            // Tokens without text behind the last that has some.
            pieces.extend(unfolding.rest(choice, tokens));
            unfolding.receipt = receipt;
        }
        self.left = self.left.saturating_sub(1);
        let steered = if self.left == 0 { self.steered() } else { None };
        let reason = answer.finish.openai_reason();
        pieces.push(Piece::Ended { choice, reason, steered });
        if self.left == 0 {
            self.trace.take().into_iter().for_each(Trace::store);
            let Usage { prompt_tokens, completion_tokens, .. } = self.usage;
            self.usage.total_tokens = prompt_tokens + completion_tokens;
            pieces.push(Piece::Closed { usage: self.usage });
        }
        pieces
    }

    fn receipt(&mut self, choice: usize, answer: &Answer) -> Option<Receipt> {
        let usage = answer.usage;
        let record = self.guards.record(choice);
        if let (Some(record), Some(teller)) = (&record, &self.teller) {
            self.metrics.watched(record, teller.kinds());
            teller.tell(&Story { choice, tokens: answer.tokens.len(), record });
        }
        let facts = Facts {
            request_id: &self.visit.id,
            seed: self.seed,
            attempts: answer.rewinds + 1,
            fired: &answer.fired,
            record: record.as_ref(),
            forward_tokens: usage.forward_tokens,
            discarded_tokens: usage.discarded_tokens,
            monitor_tokens: usage.monitor_tokens,
            ignored: &self.ignored,
            prompt: &self.prompt,
            replay: Some(&self.replay),
        };
        self.metrics.steered(self.resolved.fired(&facts));
        if let Some(trace) = &mut self.trace {
            trace.push(choice, self.resolved.full(&facts), &answer.tokens);
        }
        self.resolved.receipt(&facts)
    }

    /// The receipts of all answers.
    fn steered(&mut self) -> Option<Steered> {
        let receipts: Vec<Option<Receipt>> =
            self.answers.iter_mut().map(|answer| answer.receipt.take()).collect();
        // Several answers have as many receipts, or none.
        Steered::of(receipts.into_iter().flatten().collect())
    }
}

/// The error among pieces.
pub(crate) fn failure(pieces: &[Piece]) -> Option<&Refusal> {
    pieces.iter().find_map(|piece| match piece {
        Piece::Failed(refusal) => Some(refusal),
        Piece::Begun { .. }
        | Piece::Text { .. }
        | Piece::Retracted { .. }
        | Piece::Ended { .. }
        | Piece::Closed { .. } => None,
    })
}
