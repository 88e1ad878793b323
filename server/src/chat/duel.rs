//! Duels: the answers that a user chooses between.

use super::assembler::{Assembler, DuelAnswers};
use super::fold::Fold;
use super::request::{GenerateJob, Made};
use super::trace::Trace;
use super::write::Writer;
use super::{ClientRequest, submitted, whole};
use crate::app::App;
use crate::error::ApiError;
use crate::learning::Learning;
use crate::wire::chat::{Said, Usage};
use crate::wire::duel::{DuelAdapter, DuelChoice, DuelObject, DuelReceipts};
use crate::wire::receipt::ReplayableReceipt;
use std::sync::Arc;
use trimtab_adapters::host::{
    AdapterConfig, AnswerRef, Contender, DuelAnswer, PinnedAdapter, ShownDuel,
};
use trimtab_runtime::text::Control;

/// One answer that was made for a duel.
struct MadeAnswer {
    response: String,
    text: String,
    reason: &'static str,
    receipt: Option<ReplayableReceipt>,
    /// What is kept of it if it is shown.
    trace: Option<Trace>,
}

/// Makes the answers of a duel, and shows what the learner chooses of them.
pub(crate) async fn duel(
    app: Arc<App>,
    asker: ClientRequest,
    asked: GenerateJob,
    made: Made,
) -> Result<DuelObject, ApiError> {
    let Some(adapted) = asked.adapted.clone() else {
        return Err(ApiError::invalid("steering.adapt", "is missing, and a duel needs a learner"));
    };
    let request = adapted.duel.unwrap_or_default();
    let (job, watched) = submitted(&app, &asker, &asked, made)?;
    let writer = Writer::new(&app, &asked);
    let response = writer.id.clone();
    let unfold = Assembler::new(&app, asker, &response, (asked, watched));
    let (fold, unfold) = whole(job, unfold, Fold::new(writer)).await?;
    let (texts, usage) = fold.into_texts();
    let DuelAnswers { mut records, receipts, traces, each } = unfold.into_duel();
    let each = each.max(1);
    let mut answers = Vec::with_capacity(texts.len());
    for (at, ((text, reason), receipt)) in texts.into_iter().zip(receipts).enumerate() {
        // Each is a response of its own: a client must not read off which answer it is.
        let response = format!("{response}.{at}");
        let trace = traces.get(at / each).and_then(Option::as_ref);
        let trace = trace.map(|trace| trace.of_answer(at % each, &response));
        if let Some(record) = records.get_mut(at) {
            record.answer = AnswerRef { response: response.clone(), choice: 0 };
        }
        answers.push(MadeAnswer { response, text, reason, receipt, trace });
    }
    let shown = adapted.learning.host.open_duel(&adapted.pinned, &request, records).await?;
    Ok(fresh(&adapted.pinned, shown, answers, usage))
}

/// A duel whose answers have just been made.
fn fresh(
    pinned: &PinnedAdapter,
    shown: ShownDuel,
    mut made: Vec<MadeAnswer>,
    usage: Usage,
) -> DuelObject {
    let mut receipts = Vec::new();
    let mut choices = Vec::new();
    for (index, answer) in shown.answers.iter().enumerate() {
        let place = made.iter().position(|made| made.response == answer.answer.response);
        let own = place.map(|place| made.swap_remove(place));
        let setting = setting(pinned.config(), answer);
        let choice = DuelChoice { setting, ..choice(index, answer) };
        let Some(own) = own else {
            choices.push(choice);
            continue;
        };
        own.trace.into_iter().for_each(Trace::store);
        receipts.extend(own.receipt.map(summary));
        let message = Some(Said { role: "assistant", content: own.text });
        choices.push(DuelChoice { message, finish_reason: Some(own.reason), ..choice });
    }
    DuelObject { usage: Some(usage), ..object(shown, choices, receipts) }
}

/// A duel that was made before, with what is still kept of its answers.
pub(crate) async fn shown(
    app: &App,
    learning: &Learning,
    owner: &str,
    shown: ShownDuel,
) -> Result<DuelObject, ApiError> {
    let tokenizer = app.model.tokenizer()?;
    let (mut choices, mut receipts) = (Vec::new(), Vec::new());
    for (index, answer) in shown.answers.iter().enumerate() {
        let trace = learning.keep.trace_of(owner, &answer.answer.response).await?;
        let mut choice = choice(index, answer);
        if let Some(trace) = trace {
            let tokens = trace.answers.first().map(Vec::as_slice).unwrap_or_default();
            let content = tokenizer.decode(tokens, Control::Hide);
            choice.message = Some(Said { role: "assistant", content });
            let receipt = read(&trace.receipt);
            let taste = receipt.as_ref().and_then(|receipt| receipt.adapter.as_ref());
            choice.setting = taste.and_then(|adapter| adapter.taste.as_ref()?.setting.clone());
            receipts.extend(receipt.map(summary));
        }
        choices.push(choice);
    }
    Ok(object(shown, choices, receipts))
}

/// The receipt of a trace of one answer.
fn read(receipt: &str) -> Option<ReplayableReceipt> {
    // A trace of an older server may have another shape; its words are shown all the same.
    serde_json::from_str::<Option<ReplayableReceipt>>(receipt).ok().flatten()
}

/// A receipt without what asks for the same again: one answer of a duel cannot be asked for.
fn summary(receipt: ReplayableReceipt) -> ReplayableReceipt {
    ReplayableReceipt { prompt: None, request: None, ..receipt }
}

fn object(
    shown: ShownDuel,
    choices: Vec<DuelChoice>,
    receipts: Vec<ReplayableReceipt>,
) -> DuelObject {
    let is_late = crate::app::now() > u64::try_from(shown.expires).unwrap_or_default();
    let is_open = shown.chosen.is_none() && shown.answers.len() > 1 && !is_late;
    DuelObject {
        object: "duel",
        id: shown.id,
        status: if is_open { "open" } else { "closed" },
        expires: shown.expires,
        adapter: DuelAdapter { id: shown.adapter, version: shown.version },
        choices,
        order_propensity: shown.order_propensity,
        chosen: shown.chosen,
        usage: None,
        steering: DuelReceipts { choices: receipts },
    }
}

fn choice(index: usize, answer: &DuelAnswer) -> DuelChoice {
    DuelChoice {
        index,
        response: answer.answer.response.clone(),
        message: None,
        finish_reason: None,
        arm: answer.arm.clone(),
        setting: None,
        propensity: answer.propensity,
    }
}

/// The name of the setting that an answer was made under.
fn setting(config: &AdapterConfig, answer: &DuelAnswer) -> Option<String> {
    match (config, &answer.contender) {
        (AdapterConfig::Tpop(taste), Contender::Setting(at)) => {
            taste.arms.get(*at).map(|arm| arm.name.clone())
        }
        (_, Contender::Sample(_) | Contender::Token(_) | Contender::Setting(_)) => None,
    }
}
