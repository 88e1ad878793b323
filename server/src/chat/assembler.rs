//! What the engine tells, as updates of answers: text with the tokens that begin in it, ends, failures.

use super::ClientRequest;
use super::audit_rows::{AuditRecorder, GuardedAnswer};
use super::request::{GenerateJob, Prompted, Streaming};
use super::sent_text::SentText;
use super::trace::{About, Trace};
use super::update::ChoiceUpdate;
use crate::app::App;
use crate::error::ApiError;
use crate::metrics::Metrics;
use crate::request_context::RequestContext;
use crate::steer::{Facts, Guards, Resolved};
use crate::wire::chat::{Steered, Usage};
use crate::wire::receipt::{Replay, ReplayableReceipt};
use std::sync::Arc;
use std::time::Instant;
use trimtab_runtime::Error;
use trimtab_runtime::engine::Notice;
use trimtab_runtime::generate::{Answer, Event};
use trimtab_steering::receipt::AnswerFacts;

/// The answers of one request as they unfold.
pub(crate) struct Assembler {
    answers: Vec<Choice>,
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
    visit: Arc<RequestContext>,
    metrics: Arc<Metrics>,
    streaming: Streaming,
    first: Option<Instant>,
}

/// One answer, and what was counted of it.
#[derive(Default)]
struct Choice {
    sent: SentText,
    /// Tokens that were generated and stand.
    made: usize,
    rewinds: u32,
    /// Tokens that went with the rewinds.
    rewound: usize,
    /// When the newest token came.
    newest: Option<Instant>,
    /// Tokens that are counted as delivered.
    delivered: usize,
    /// Tokens of the whole answer, once it has ended.
    ended: Option<usize>,
    receipt: Option<ReplayableReceipt>,
}

/// A prompt, and who is told of its answers.
struct Kept {
    resolved: Resolved,
    tokens: Vec<u32>,
    replay: Replay,
    /// What is kept of the answers, where traces are.
    trace: Option<Trace>,
    /// Who notes what guards did.
    teller: Option<AuditRecorder>,
}

impl Kept {
    fn new(app: &App, about: &About<'_>, (prompt, choices): (Prompted, usize)) -> Kept {
        let about = About { prompt: &prompt.tokens, ..*about };
        Kept {
            trace: Trace::new(&app.keep, &about, choices),
            teller: AuditRecorder::new(&app.keep, &about, prompt.resolved.monitor.as_ref()),
            resolved: prompt.resolved,
            replay: prompt.replay,
            tokens: prompt.tokens,
        }
    }
}

impl Assembler {
    pub(crate) fn new(
        app: &App,
        asker: ClientRequest,
        response: &str,
        (asked, guards): (GenerateJob, Guards),
    ) -> Assembler {
        let ClientRequest { caller, visit } = asker;
        let prompt_tokens = asked.prompt_tokens();
        let streaming = asked.streaming();
        let (each, sets) = (asked.choices as usize, asked.prompts.len());
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
        Assembler {
            answers: (0..each * sets).map(|_| Choice::default()).collect(),
            left: each * sets,
            usage: Usage { prompt_tokens, ..Usage::default() },
            seed: asked.request.seed,
            ignored: asked.ignored.names(),
            prompts,
            each,
            guards,
            metrics: app.metrics.clone(),
            streaming,
            first: None,
            visit,
        }
    }

    /// Whether nothing more is to come.
    pub(crate) fn is_done(&self) -> bool {
        self.left == 0
    }

    /// What becomes of the request with the engine's next notice, or without an engine.
    pub(crate) fn hear(&mut self, told: Option<(Instant, Notice)>) -> Vec<ChoiceUpdate> {
        match told {
            Some((at, notice)) => self.take(at, notice),
            None => self.fail(Error::Misuse("the engine has gone").into()),
        }
    }

    fn fail(&mut self, refusal: ApiError) -> Vec<ChoiceUpdate> {
        self.left = 0;
        self.visit.cut(&refusal.code.text());
        vec![ChoiceUpdate::Failed(refusal)]
    }

    fn take(&mut self, at: Instant, notice: Notice) -> Vec<ChoiceUpdate> {
        match notice {
            Notice::Admitted { choice, waited, cached } => {
                self.metrics.admitted(waited);
                let prompt = choice.checked_div(self.each).and_then(|at| self.prompts.get(at));
                self.metrics.prompt(prompt.map_or(0, |prompt| prompt.tokens.len()), cached);
                // A prompt counts once, so what was there of it does too: for its first answer.
                if choice.is_multiple_of(self.each) {
                    self.usage.prompt_tokens_details.cached_tokens += cached;
                }
                vec![ChoiceUpdate::Begun { choice }]
            }
            Notice::Event { choice, event } => {
                let updates = self.event(choice, at, event);
                if self.streaming != Streaming::No
                    && let Some(answer) = self.answers.get_mut(choice)
                {
                    settle(&self.visit, &self.metrics, answer, answer.sent.tokens());
                }
                updates
            }
            Notice::Ended { choice, result: Ok(answer) } => self.ended(choice, answer),
            Notice::Ended { result: Err(error), .. } => self.fail(error.into()),
            // Notices that texts and other work bring.
            _ => Vec::new(),
        }
    }

    fn event(&mut self, choice: usize, at: Instant, event: Event) -> Vec<ChoiceUpdate> {
        let Some(answer) = self.answers.get_mut(choice) else { return Vec::new() };
        match event {
            Event::Token(_) => {
                match answer.newest.replace(at) {
                    Some(before) => self.metrics.next(at.saturating_duration_since(before)),
                    None if self.first.is_none() => {
                        self.first = Some(at);
                        self.metrics.first(at.saturating_duration_since(self.visit.since));
                    }
                    None => {}
                }
                answer.made += 1;
                Vec::new()
            }
            Event::Inserted(tokens) => {
                answer.made += tokens.len();
                Vec::new()
            }
            Event::Text { text, tokens, .. } => vec![answer.sent.show(choice, text, tokens)],
            Event::Retracted { from } => {
                let cause = self.guards.cause(choice, answer.rewinds + 1);
                answer.sent.retract(choice, from, cause)
            }
            Event::Rewound { from, .. } => {
                answer.rewound += answer.made.saturating_sub(from);
                answer.made = from;
                answer.rewinds += 1;
                Vec::new()
            }
            // How far the prompt is, and the end, which comes again with the answer.
            _ => Vec::new(),
        }
    }

    fn ended(&mut self, choice: usize, mut answer: Answer) -> Vec<ChoiceUpdate> {
        let mut updates = Vec::new();
        let (tokens, usage) = (answer.tokens.len(), answer.usage);
        self.usage.completion_tokens += tokens;
        self.metrics.discarded(usage.discarded_tokens);
        self.metrics.monitored(usage.monitor_tokens);
        let receipt = self.receipt(choice, &answer);
        if let Some(own) = self.answers.get_mut(choice) {
            let sent = own.sent.tokens();
            if sent < tokens {
                updates.push(own.sent.rest(choice, answer.steps.drain(..).skip(sent)));
            }
            (own.ended, own.receipt) = (Some(tokens), receipt);
            if self.streaming != Streaming::No {
                settle(&self.visit, &self.metrics, own, tokens);
            }
        }
        self.left = self.left.saturating_sub(1);
        let steered = if self.left == 0 { self.steered() } else { None };
        let reason = answer.finish.openai_reason();
        updates.push(ChoiceUpdate::Ended { choice, reason, steered });
        if self.left == 0 {
            // A response that is sent whole is delivered now.
            for answer in &mut self.answers {
                let tokens = answer.ended.unwrap_or(answer.delivered);
                settle(&self.visit, &self.metrics, answer, tokens);
            }
            self.prompts.iter_mut().filter_map(|p| p.trace.take()).for_each(Trace::store);
            let Usage { prompt_tokens, completion_tokens, .. } = self.usage;
            self.usage.total_tokens = prompt_tokens + completion_tokens;
            updates.push(ChoiceUpdate::Closed { usage: self.usage });
        }
        updates
    }

    fn receipt(&mut self, choice: usize, answer: &Answer) -> Option<ReplayableReceipt> {
        let record = self.guards.record(choice);
        let (at, own) = (choice.checked_div(self.each)?, choice.checked_rem(self.each)?);
        let kept = self.prompts.get_mut(at)?;
        if let (Some(record), Some(teller)) = (&record, &kept.teller) {
            self.metrics.watched(record, teller.kinds());
            teller.tell(&GuardedAnswer { choice: own, tokens: answer.tokens.len(), record });
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

/// Counts so many tokens of an answer as delivered.
fn settle(visit: &RequestContext, metrics: &Metrics, answer: &mut Choice, tokens: usize) {
    match tokens.checked_sub(answer.delivered) {
        Some(more) => {
            visit.delivered(more);
            metrics.delivered(more);
        }
        None => visit.retracted(answer.delivered - tokens),
    }
    answer.delivered = tokens;
}

/// Tokens that were generated and not delivered count as discarded. What an answer that has ended took back was counted with
/// its end.
impl Drop for Assembler {
    fn drop(&mut self) {
        if self.left > 0 {
            self.visit.cut("client_gone");
        }
        for answer in &self.answers {
            let made = answer.ended.unwrap_or(answer.made + answer.rewound);
            self.metrics.discarded(made.saturating_sub(answer.delivered));
        }
    }
}
