//! What the engine tells, as updates of answers: text with the tokens that begin in it, ends, failures.

use super::ClientRequest;
use super::audit_rows::{AuditRecorder, GuardedAnswer};
use super::learned::{EndedAnswer, Learned};
use super::picked::HeldAnswers;
use super::request::{GenerateJob, Prompted, Streaming};
use super::sent_text::SentText;
use super::trace::{About, Trace};
use super::update::ChoiceUpdate;
use crate::adapt::Adapted;
use crate::app::App;
use crate::error::ApiError;
use crate::metrics::Metrics;
use crate::persistence::Persistence;
use crate::request_context::RequestContext;
use crate::steer::{Facts, Guards};
use crate::wire::chat::{Steered, Usage};
use crate::wire::receipt::ReplayableReceipt;
use std::sync::Arc;
use std::time::Instant;
use trimtab_adapters::host::{AnswerRecord, RecordingHandle};
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
    /// What is kept of the answers for learning.
    learned: Option<Learned>,
    /// Where one of the answers is picked: what waits for that.
    held: Option<HeldAnswers>,
}

/// What is on record of answers in the making.
pub(crate) struct Watched {
    pub(crate) guards: Guards,
    pub(crate) recordings: Vec<Option<RecordingHandle>>,
}

/// The answers of a duel, in the order in which they were made.
pub(crate) struct DuelAnswers {
    pub(crate) records: Vec<AnswerRecord>,
    pub(crate) receipts: Vec<Option<ReplayableReceipt>>,
    /// One for each prompt.
    pub(crate) traces: Vec<Option<Trace>>,
    /// Answers to each prompt.
    pub(crate) each: usize,
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
    prompt: Prompted,
    /// What is kept of the answers, where traces are.
    trace: Option<Trace>,
    /// Who notes what guards did.
    teller: Option<AuditRecorder>,
}

impl Kept {
    fn new(
        (app, keep): (&App, &Persistence),
        about: &About<'_>,
        (prompt, choices): (Prompted, usize),
    ) -> Kept {
        let about = About { prompt: &prompt.tokens, ..*about };
        Kept {
            trace: Trace::new(keep, &about, choices),
            teller: AuditRecorder::new(&app.keep, &about, prompt.resolved.monitor.as_ref()),
            prompt,
        }
    }
}

impl Assembler {
    pub(crate) fn new(
        app: &App,
        asker: ClientRequest,
        response: &str,
        (asked, watched): (GenerateJob, Watched),
    ) -> Assembler {
        let ClientRequest { caller, visit } = asker;
        let prompt_tokens = asked.prompt_tokens();
        let adapted = asked.adapted.as_ref();
        let is_picked = adapted.is_some_and(Adapted::picks);
        // Nothing of an answer is delivered before it is known to be the one.
        let streaming = if is_picked { Streaming::No } else { asked.streaming() };
        let adapter = adapted.map(|a| (a.pinned.key().id().to_owned(), a.pinned.version()));
        let keep = adapted.map_or(&app.keep, |adapted| &adapted.learning.keep).clone();
        let learned = asked.adapted.clone();
        let learned = learned.map(|adapted| Learned::new(adapted, response, watched.recordings));
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
                adapter: adapter.as_ref().map(|(id, version)| (id.as_str(), *version)),
            };
            Kept::new((app, &keep), &about, (prompt, each))
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
            guards: watched.guards,
            metrics: app.metrics.clone(),
            streaming,
            first: None,
            learned,
            held: is_picked.then(|| HeldAnswers::new(each * sets)),
            visit,
        }
    }

    /// Whether nothing more is to come.
    pub(crate) fn is_done(&self) -> bool {
        self.left == 0
    }

    /// What becomes of the request with the engine's next notice, or without an engine.
    pub(crate) fn hear(&mut self, told: Option<(Instant, Notice)>) -> Vec<ChoiceUpdate> {
        let updates = match told {
            Some((at, notice)) => self.take(at, notice),
            None => self.fail(Error::Misuse("the engine has gone").into()),
        };
        match &mut self.held {
            None => updates,
            Some(held) => updates.into_iter().filter_map(|update| held.hold(update)).collect(),
        }
    }

    /// The answers of a duel, once all have ended, and what was done to the model for each.
    pub(crate) fn into_duel(mut self) -> DuelAnswers {
        let records = self.learned.as_mut().map(Learned::take).unwrap_or_default();
        let receipts = self.answers.iter_mut().map(|answer| answer.receipt.take()).collect();
        let traces = std::mem::take(&mut self.prompts).into_iter().map(|kept| kept.trace);
        DuelAnswers { records, receipts, traces: traces.collect(), each: self.each }
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
                self.learned.iter_mut().for_each(|learned| learned.admitted(choice, at));
                let prompt = choice.checked_div(self.each).and_then(|at| self.prompts.get(at));
                self.metrics.prompt(prompt.map_or(0, |kept| kept.prompt.tokens.len()), cached);
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
        let is_last = self.left == 0;
        let reason = answer.finish.openai_reason();
        // Those of a duel are told beside its answers, and that of a picked answer once it is known which it is.
        let is_told = is_last && self.held.is_none() && !self.is_duel();
        let steered = if is_told { self.steered() } else { None };
        updates.push(ChoiceUpdate::Ended { choice, reason, steered });
        match (is_last, self.held.is_some()) {
            (false, _) => {}
            (true, false) => self.close(&mut updates),
            (true, true) => return self.show_picked(updates),
        }
        updates
    }

    fn is_duel(&self) -> bool {
        self.learned.as_ref().is_some_and(|learned| learned.adapted.duel.is_some())
    }

    /// All answers have ended, and all are delivered.
    fn close(&mut self, updates: &mut Vec<ChoiceUpdate>) {
        // A response that is sent whole is delivered now.
        for answer in &mut self.answers {
            let tokens = answer.ended.unwrap_or(answer.delivered);
            settle(&self.visit, &self.metrics, answer, tokens);
        }
        // Of a duel only what is shown is kept.
        if !self.is_duel() {
            self.prompts.iter_mut().filter_map(|p| p.trace.take()).for_each(Trace::store);
        }
        self.usage.total_tokens = self.usage.prompt_tokens + self.usage.completion_tokens;
        updates.push(ChoiceUpdate::Closed { usage: self.usage });
    }

    /// All answers have ended, and one of them is shown: it alone is delivered, counted and kept.
    fn show_picked(&mut self, updates: Vec<ChoiceUpdate>) -> Vec<ChoiceUpdate> {
        let (Some(held), Some(learned)) = (&mut self.held, &mut self.learned) else {
            return updates;
        };
        // What belongs to an answer stays behind.
        updates.into_iter().for_each(|update| drop(held.hold(update)));
        let picked = match learned.pick() {
            Ok(picked) => picked,
            Err(refusal) => return self.fail(refusal),
        };
        let mut shown = held.release(picked);
        let trace = self.prompts.iter_mut().find_map(|kept| kept.trace.take());
        trace.into_iter().for_each(|trace| trace.only(picked).store());
        let mut made = 0;
        for (choice, answer) in self.answers.iter_mut().enumerate() {
            let tokens = answer.ended.unwrap_or(answer.delivered);
            match choice == picked {
                true => settle(&self.visit, &self.metrics, answer, tokens),
                false => made += tokens,
            }
        }
        self.usage.completion_tokens -= made.min(self.usage.completion_tokens);
        let receipt = self.answers.get_mut(picked).and_then(|answer| answer.receipt.take());
        let told = receipt.map(|receipt| of_picked(receipt, picked, made as u64));
        if let Some(ChoiceUpdate::Ended { steered, .. }) = shown.last_mut() {
            *steered = Steered::of(told.into_iter().collect());
        }
        self.usage.total_tokens = self.usage.prompt_tokens + self.usage.completion_tokens;
        shown.push(ChoiceUpdate::Closed { usage: self.usage });
        // Nothing is held any more.
        self.held = None;
        shown
    }

    fn receipt(&mut self, choice: usize, answer: &Answer) -> Option<ReplayableReceipt> {
        let record = self.guards.record(choice);
        let (at, own) = (choice.checked_div(self.each)?, choice.checked_rem(self.each)?);
        let kept = self.prompts.get_mut(at)?;
        let lesson = self.learned.as_mut().zip(kept.prompt.lesson());
        let adapter = lesson.map(|(learned, (prompt, taught))| {
            let level = kept.prompt.resolved.level;
            learned.ended(prompt, taught, &EndedAnswer { choice, answer, level })
        });
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
            prompt: &kept.prompt.tokens,
            replay: Some(&kept.prompt.replay),
            adapter: adapter.as_ref(),
        };
        let resolved = &kept.prompt.resolved;
        self.metrics.steered(resolved.fired(&facts));
        if let Some(trace) = &mut kept.trace {
            trace.push(own, resolved.full(&facts), &answer.tokens);
        }
        resolved.receipt(&facts)
    }

    /// The receipts of all answers.
    fn steered(&mut self) -> Option<Steered> {
        let receipts: Vec<Option<ReplayableReceipt>> =
            self.answers.iter_mut().map(|answer| answer.receipt.take()).collect();
        // Several answers have as many receipts, or none.
        Steered::of(receipts.into_iter().flatten().collect())
    }
}

/// The receipt of an answer that was picked, with what the others cost.
fn of_picked(mut receipt: ReplayableReceipt, picked: usize, others: u64) -> ReplayableReceipt {
    let taste = receipt.adapter.as_mut().and_then(|adapter| adapter.taste.as_mut());
    taste.into_iter().for_each(|taste| taste.picked = Some(picked));
    receipt.summary.cost.discarded_tokens += others;
    receipt.summary.cost.forward_tokens += others;
    receipt
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
