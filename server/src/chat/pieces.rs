//! What the engine tells, as pieces of answers: text with the tokens it is made of, ends, failures.
//!
//! A token and its text do not come together: characters may take several tokens, and text that could become a stop
//! text is held back. A token belongs to the piece with the first byte of its text, so that the tokens of all pieces are
//! those of the answer.

use super::Asker;
use super::ask::Asked;
use super::trace::{About, Trace};
use crate::app::App;
use crate::metrics::Metrics;
use crate::refusal::Refusal;
use crate::steer::{Facts, Resolved};
use crate::visit::Visit;
use crate::wire::chat::{Steered, Usage};
use crate::wire::receipt::{Receipt, Replay};
use std::sync::Arc;
use std::time::Instant;
use trimtab_runtime::Error;
use trimtab_runtime::engine::Notice;
use trimtab_runtime::generate::{Answer, Event};
use trimtab_runtime::sample::Step;
use trimtab_runtime::text::{TextStream, Tokenizer};

/// A piece of one of the answers.
pub(crate) enum Piece {
    /// It has a place in the engine.
    Begun { choice: usize },
    /// New text, and the tokens that begin in it.
    Text { choice: usize, text: String, first: usize, steps: Vec<Option<Step>> },
    /// Text that had been sent is not part of it any more.
    Retracted { choice: usize, bytes: usize, tokens: usize },
    /// It has ended; with the last of them comes what was done to the model.
    Ended { choice: usize, reason: &'static str, steered: Option<Steered> },
    /// All have ended.
    Closed { usage: Usage },
    /// Something went wrong: the last piece.
    Failed(Refusal),
}

/// One answer as it unfolds.
struct Unfolding {
    stream: TextStream,
    /// How each token was chosen; inserted ones were not.
    steps: Vec<Option<Step>>,
    /// Bytes of text that were sent.
    shown: usize,
    /// Tokens that were sent.
    delivered: usize,
    /// When the newest token came.
    newest: Option<Instant>,
    /// Prompt tokens that were there already.
    cached: usize,
    receipt: Option<Receipt>,
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
    visit: Arc<Visit>,
    metrics: Arc<Metrics>,
    first: Option<Instant>,
}

impl Unfolding {
    fn new(tokenizer: Arc<Tokenizer>) -> Unfolding {
        Unfolding {
            stream: TextStream::new(tokenizer),
            steps: Vec::new(),
            shown: 0,
            delivered: 0,
            newest: None,
            cached: 0,
            receipt: None,
        }
    }

    fn push(&mut self, token: u32, step: Option<Step>) {
        self.stream.push(token);
        self.steps.push(step);
    }

    /// The tokens that begin in the text sent so far and were not sent.
    fn due(&mut self, at_least: usize) -> Vec<Option<Step>> {
        let begins = |n: &usize| self.stream.text_len_at(*n) < self.shown;
        let begun = (self.delivered..self.steps.len()).take_while(begins).count();
        let until = (self.delivered + begun).max(at_least).min(self.steps.len());
        let due = self.steps.get(self.delivered..until).unwrap_or_default().to_vec();
        self.delivered = until;
        due
    }

    fn text(&mut self, choice: usize, text: String, at_least: usize) -> Piece {
        self.shown += text.len();
        let first = self.delivered;
        let steps = self.due(at_least);
        Piece::Text { choice, text, first, steps }
    }

    /// Forgets tokens that were rewound.
    fn rewind(&mut self, tokens: usize) {
        self.stream.truncate(tokens);
        self.steps.truncate(tokens);
        self.delivered = self.delivered.min(tokens);
    }

    fn retract(&mut self, choice: usize, bytes: usize) -> Piece {
        self.shown = bytes;
        let begins = |n: &usize| self.stream.text_len_at(*n) < bytes;
        self.delivered = (0..self.delivered).take_while(begins).count();
        Piece::Retracted { choice, bytes, tokens: self.delivered }
    }
}

impl Unfold {
    pub(crate) fn new(app: &App, asker: Asker, response: &str, asked: Asked) -> Unfold {
        let Asker { caller, visit } = asker;
        let about = About {
            response,
            request_id: &visit.id,
            owner: &caller.label,
            weights_sha256: &app.model.identity().weights_sha256,
            prompt: &asked.prompt,
        };
        let trace = Trace::new(&app.keep, &about, asked.choices as usize);
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
            Event::Text(text) => vec![answer.text(choice, text, 0)],
            Event::Retracted { from } => vec![answer.retract(choice, from)],
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
        self.metrics.ended(tokens, answer.usage.discarded_tokens, answer.rewinds);
        let receipt = self.receipt(choice, &answer);
        if let Some(unfolding) = self.answers.get_mut(choice) {
            // Tokens without text behind the last that has some.
            if unfolding.delivered < tokens {
                pieces.push(unfolding.text(choice, String::new(), tokens));
            }
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
        let cached = self.answers.get(choice).map_or(0, |answer| answer.cached);
        let usage = answer.usage;
        // The newest token is not run.
        let generated = usage.completion_tokens.saturating_sub(1) + usage.discarded_tokens;
        let facts = Facts {
            request_id: &self.visit.id,
            seed: self.seed,
            attempts: answer.rewinds + 1,
            fired: &answer.fired,
            forward_tokens: usage.prompt_tokens.saturating_sub(cached) + generated,
            discarded_tokens: usage.discarded_tokens,
            ignored: &self.ignored,
            prompt: &self.prompt,
            replay: Some(&self.replay),
        };
        self.metrics.steered(self.resolved.fired(&answer.fired));
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
