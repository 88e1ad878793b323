//! Generation: from a request's body to generations, through the engine, to chunks or one whole answer.
//!
//! - `request` understands a body and makes generations of it. What cannot be done is refused there, before anything waits or
//!   runs. `shape` knows which fields ask for another answer than this server gives, `choose` how tokens are chosen,
//!   `render` the template's variables and where a prompt ends.
//! - `sets` gives the answers to several prompts to the engine, a few at a time.
//! - `assembler` turns the engine's notices into updates of answers.
//! - `write` makes chunks of updates, and `fold` one answer of the same updates.
//! - `learned` keeps what an adapter may learn from, `picked` holds answers back of which one is shown, and `duel` makes
//!   those of which the user is to choose.

mod assembler;
mod audit_rows;
mod choose;
mod duel;
mod fold;
mod ignored;
mod learned;
mod logprobs;
mod messages;
mod picked;
mod render;
mod request;
mod sent_text;
mod sets;
mod shape;
mod stream;
mod trace;
mod update;
mod write;

pub(crate) use assembler::Assembler;
pub(crate) use duel::{duel, shown};
pub(crate) use ignored::Ignored;
pub(crate) use messages::conversation;
pub(crate) use render::{Wanted, render};
pub(crate) use request::{
    Admitted, GenerateJob, Made, Streaming, again, asked, chat, completion, known_ids, prompt_of,
    served,
};
pub(crate) use sets::places;
pub(crate) use shape::plain;
use write::Writer;

use crate::adapt::Adapted;
use crate::app::App;
use crate::error::ApiError;
use crate::headers::SEED;
use crate::keys::Caller;
use crate::request_context::RequestContext;
use crate::wire::error::Code;
use assembler::Watched;
use axum::http::HeaderValue;
use axum::response::{IntoResponse, Response};
use fold::Fold;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::mpsc::UnboundedReceiver;
use trimtab_adapters::host::TurnPlan;
use trimtab_runtime::engine::{Notice, SubmitOptions, Ticket};
use trimtab_runtime::generate::{Flow, Group};

/// A job in the engine. Dropped, it is cancelled.
pub(crate) struct Job {
    /// What the engine tells, and when it did.
    pub(crate) notices: UnboundedReceiver<(Instant, Notice)>,
    _ticket: Ticket,
    /// Gives what comes later to the engine.
    _later: Option<sets::Later>,
}

/// Who asks, and in which request.
#[derive(Clone)]
pub(crate) struct ClientRequest {
    pub(crate) caller: Caller,
    pub(crate) visit: Arc<RequestContext>,
}

impl ClientRequest {
    /// On what terms the engine works for it.
    pub(crate) fn submit_options(&self, app: &App) -> SubmitOptions {
        SubmitOptions {
            space: Some(app.model.prefix_space(&self.caller.label)),
            owner: self.caller.owner(),
            deadline: Some(self.visit.since + app.settings.timeout),
        }
    }
}

/// What becomes of a request for which there is no place.
pub(crate) fn turned_away(app: &App, error: trimtab_runtime::Error) -> ApiError {
    let refusal = ApiError::from(error);
    match refusal.code {
        Code::QueueFull => {
            let rounds = app.engine.load().waiting() / app.engine.options().parallel;
            refusal.after(1 + rounds as u64)
        }
        _ => refusal,
    }
}

/// What the engine tells of a request's answers.
pub(crate) type Sink = Box<dyn FnMut(Notice) -> Flow + Send>;

/// Answers a request whose generations have been made.
pub(crate) async fn answer(
    app: Arc<App>,
    asker: ClientRequest,
    asked: GenerateJob,
    made: Made,
) -> Result<Response, ApiError> {
    let (job, watched) = submitted(&app, &asker, &asked, made)?;
    let seed = [(SEED, HeaderValue::from(asked.request.seed))];
    let ignored = asked.ignored.clone();
    let writer = Writer::new(&app, &asked);
    let unfold = Assembler::new(&app, asker, &writer.id, (asked, watched));
    let body = match writer.streaming() {
        Streaming::No => {
            let (fold, _) = whole(job, unfold, Fold::new(writer)).await?;
            fold.finish()
        }
        Streaming::Chunks | Streaming::ChunksAndUsage => {
            stream::Sse::begin(job, unfold, writer, &app.settings).await?.into_response()
        }
    };
    Ok((seed, ignored, body).into_response())
}

/// Gives generations to the engine: by themselves, or together where an adapter chooses their tokens.
fn submitted(
    app: &Arc<App>,
    asker: &ClientRequest,
    asked: &GenerateJob,
    made: Made,
) -> Result<(Job, Watched), ApiError> {
    let Made { generations, guards, recordings } = made;
    let job = match asked.adapted.as_ref().filter(|adapted| adapted.turn == TurnPlan::Tokens) {
        Some(Adapted { learning, pinned, .. }) => {
            let sampler = learning.host.token_duel(pinned, asked.request.sampling)?;
            sets::submit_group(app, asker, Group::new(generations, sampler))?
        }
        None => sets::submit(app, asker, (generations, asked.choices as usize))?,
    };
    asker.visit.prompt(asked.prompt_tokens());
    Ok((job, Watched { guards, recordings }))
}

/// An answer in one piece.
async fn whole(
    mut job: Job,
    mut unfold: Assembler,
    mut fold: Fold,
) -> Result<(Fold, Assembler), ApiError> {
    while !unfold.is_done() {
        for update in unfold.hear(job.notices.recv().await) {
            fold.take(update)?;
        }
    }
    Ok((fold, unfold))
}
