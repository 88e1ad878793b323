//! What the engine tells, as pieces of answers: text with the tokens it is made of, ends, failures.

use super::Asker;
use super::ask::{Asked, Prompted};
use super::count::{Count, Delivery};
use super::story::{Story, Teller};
use super::trace::{About, Trace};
use super::unfolding::Unfolding;
use crate::app::App;
use crate::metrics::Metrics;
use crate::refusal::Refusal;
use crate::steer::{Cause, Facts, Guards, Resolved};
use crate::visit::Visit;
use crate::wire::chat::{Steered, Usage};
use crate::wire::receipt::{Replay, ReplayableReceipt};
use std::sync::Arc;
use std::time::Instant;
use trimtab_runtime::Error;
use trimtab_runtime::engine::Notice;
use trimtab_runtime::generate::{Answer, Event};
use trimtab_runtime::sample::Step;
use trimtab_runtime::text::Tokenizer;
use trimtab_steering::receipt::AnswerFacts;

/// A token of an answer.
#[derive(Debug, Clone)]
pub(crate) struct Token {
    /// How it was chosen; inserted ones were not.
    pub(crate) step: Option<Step>,
    /// Characters of the answer before the one that its first byte is in.
    pub(crate) at: usize,
}

/// A piece of one of the answers.
pub(crate) enum Piece {
    /// It has a place in the engine.
    Begun { choice: usize },
    /// New text, and the tokens that begin in it.
    Text { choice: usize, text: String, first: usize, steps: Vec<Token> },
    /// Text that had been sent is not part of it any more.
    Retracted {
        choice: usize,
        /// What is left of it.
        bytes: usize,
        /// The tokens that are left.
        tokens: usize,
        /// Why.
        cause: Cause,
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
    prompts: Vec<Kept>,
    /// Answers to each of them.
    each: usize,
    ignored: Vec<String>,
    /// What their guards find and do.
    guards: Guards,
    visit: Arc<Visit>,
    metrics: Arc<Metrics>,
    /// Tokens that have been delivered.
    count: Count,
    first: Option<Instant>,
}

/// A prompt, and who is told of its answers.
struct Kept {
    resolved: Resolved,
    tokens: Vec<u32>,
    replay: Replay,
    /// What is kept of the answers, where traces are.
    trace: Option<Trace>,
    /// Who notes what guards did.
    teller: Option<Teller>,
}

impl Kept {
    fn new(app: &App, about: &About<'_>, (prompt, choices): (Prompted, usize)) -> Kept {
        let about = About { prompt: &prompt.tokens, ..*about };
        Kept {
            trace: Trace::new(&app.keep, &about, choices),
            teller: Teller::new(&app.keep, &about, prompt.resolved.monitor.as_ref()),
            resolved: prompt.resolved,
            replay: prompt.replay,
            tokens: prompt.tokens,
        }
    }
}

impl Unfold {
    pub(crate) fn new(
        app: &App,
        asker: Asker,
        response: &str,
        (asked, guards): (Asked, Guards),
    ) -> Unfold {
        let Asker { caller, visit } = asker;
        let prompt_tokens = asked.prompt_tokens();
        let (each, sets) = (asked.choices as usize, asked.prompts.len());
        let delivery = Delivery::of(asked.streaming);
        let count = Count::new((visit.clone(), app.metrics.clone()), delivery);
        let kept = |(index, prompt): (usize, Prompted)| {
            // Every prompt has a trace of its own, and no two have one name.
            let later = if index == 0 { String::new() } else { format!(".{index}") };
            let about = About {
                response: &format!("{response}{later}"),
                request_id: &visit.id,
                owner: &caller.label,
                weights_sha256: &app.model.identity().weights_sha256,
                prompt: &[],
            };
            Kept::new(app, &about, (prompt, each))
        };
        let prompts = asked.prompts.into_iter().enumerate().map(kept).collect();
        let tokenizer = app.model.tokenizer().ok().cloned();
        let answers = (0..each * sets).filter_map(|_| tokenizer.clone().map(Unfolding::new));
        Unfold {
            answers: answers.collect(),
            left: each * sets,
            usage: Usage { prompt_tokens, ..Usage::default() },
            seed: asked.request.seed,
            ignored: asked.ignored.names(),
            prompts,
            each,
            guards,
            metrics: app.metrics.clone(),
            count,
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
        self.visit.cut(&refusal.code.text());
        vec![Piece::Failed(refusal)]
    }

    /// The pieces that a notice makes.
    pub(crate) fn take(&mut self, at: Instant, notice: Notice) -> Vec<Piece> {
        match notice {
            Notice::Admitted { choice, waited, cached } => {
                self.metrics.admitted(waited);
                let prompt = choice.checked_div(self.each).and_then(|at| self.prompts.get(at));
                self.metrics.prompt(prompt.map_or(0, |prompt| prompt.tokens.len()), cached);
                // A prompt counts once, so what was there of it does too: for its first answer.
                if choice.is_multiple_of(self.each) {
                    self.usage.prompt_tokens_details.cached_tokens += cached;
                }
                vec![Piece::Begun { choice }]
            }
            Notice::Event { choice, event } => {
                let pieces = self.event(choice, at, event);
                if let Some(answer) = self.answers.get(choice) {
                    self.count.goes_on(choice, answer.delivered());
                }
                pieces
            }
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
                let cause = self.guards.cause(choice, answer.rewinds + 1);
                answer.retract(choice, from, cause)
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
        let usage = answer.usage;
        self.count.ends(choice, tokens);
        self.metrics.discarded(usage.discarded_tokens);
        self.metrics.monitored(usage.monitor_tokens);
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
            self.count.closes();
            self.prompts.iter_mut().filter_map(|p| p.trace.take()).for_each(Trace::store);
            let Usage { prompt_tokens, completion_tokens, .. } = self.usage;
            self.usage.total_tokens = prompt_tokens + completion_tokens;
            pieces.push(Piece::Closed { usage: self.usage });
        }
        pieces
    }

    fn receipt(&mut self, choice: usize, answer: &Answer) -> Option<ReplayableReceipt> {
        let record = self.guards.record(choice);
        let (at, own) = (choice.checked_div(self.each)?, choice.checked_rem(self.each)?);
        let kept = self.prompts.get_mut(at)?;
        if let (Some(record), Some(teller)) = (&record, &kept.teller) {
            self.metrics.watched(record, teller.kinds());
            teller.tell(&Story { choice: own, tokens: answer.tokens.len(), record });
        }
        let facts = Facts {
            request_id: &self.visit.id,
            answer: AnswerFacts {
                seed: self.seed,
                rewinds: answer.rewinds,
                usage: answer.usage,
                fired: &answer.fired,
                record: record.as_ref(),
            },
            ignored: &self.ignored,
            prompt: &kept.tokens,
            replay: Some(&kept.replay),
        };
        self.metrics.steered(kept.resolved.fired(&facts));
        if let Some(trace) = &mut kept.trace {
            trace.push(own, kept.resolved.full(&facts), &answer.tokens);
        }
        kept.resolved.receipt(&facts)
    }

    /// The receipts of all answers.
    fn steered(&mut self) -> Option<Steered> {
        let receipts: Vec<Option<ReplayableReceipt>> =
            self.answers.iter_mut().map(|answer| answer.receipt.take()).collect();
        // Several answers have as many receipts, or none.
        Steered::of(receipts.into_iter().flatten().collect())
    }
}

/// Tokens that were generated and not delivered are counted too.
impl Drop for Unfold {
    fn drop(&mut self) {
        if self.left > 0 {
            self.visit.cut("client_gone");
        }
        for (choice, answer) in self.answers.iter().enumerate() {
            self.count.is_dropped(choice, (answer.made(), answer.rewound_tokens));
        }
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
