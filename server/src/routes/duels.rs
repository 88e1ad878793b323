//! Duels: two answers, and which of them is better.

use super::body::Incoming;
use super::generate::adapt;
use crate::adapt::ask;
use crate::app::App;
use crate::chat::{self, ClientRequest};
use crate::error::ApiError;
use crate::wire::duel::{ChoiceBody, DuelBody, DuelObject};
use crate::wire::error::Code;
use crate::wire::responses::LearningErrors;
use crate::wire::sampling::GenerationBody;
use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use std::sync::Arc;
use trimtab_adapters::host::{DuelRequest, FeedbackReport};

/// A name in the path.
pub(super) type Id = Result<Path<String>, PathRejection>;

pub(super) fn named(id: Id, code: Code) -> Result<String, ApiError> {
    id.map(|Path(id)| id).map_err(|_| ApiError::new(code, "id is no text").at("id"))
}

/// Answers a conversation twice
///
/// The answers come in a random order. With nothing learnt yet, one of them is the plain answer.
#[utoipa::path(
    post, path = "/v1/duels", tag = "learning", request_body = DuelBody,
    responses((status = 200, description = "The answers", body = DuelObject), LearningErrors),
)]
pub(crate) async fn open(
    State(app): State<Arc<App>>,
    asker: ClientRequest,
    body: Incoming,
) -> Result<Json<DuelObject>, ApiError> {
    let visit = asker.visit.clone();
    let work = move |app: &App, body: DuelBody| {
        let (mut chat, second) = body.plain()?;
        let fields = chat.shared();
        fields.user.iter().for_each(|user| visit.user(user));
        let adapt = adapt(app, &fields)?.ok_or_else(|| {
            ApiError::invalid("steering.adapt", "is missing, and a duel needs a learner of tastes")
        })?;
        Ok((chat, fields, adapt, second))
    };
    let ((chat, fields, named, second), turns) = body.json_in_turns(work).await?;
    let request = DuelRequest { second, order: None };
    let adapted = ask(&app, &asker.caller.label, &named, &request).await?;
    let work = move |app: &App| {
        let job = chat::chat(app, chat, (fields, Some(adapted)))?;
        let made = job.generations(app)?;
        Ok((job, made))
    };
    let (job, made) = turns.run(work).await?;
    chat::duel(app, asker, job, made).await.map(Json)
}

/// Describes a duel of the key
#[utoipa::path(
    get, path = "/v1/duels/{id}", tag = "learning",
    params(("id" = String, Path, description = "Its name")),
    responses((status = 200, description = "The duel", body = DuelObject), LearningErrors),
)]
pub(crate) async fn describe(
    State(app): State<Arc<App>>,
    id: Id,
    asker: ClientRequest,
) -> Result<Json<DuelObject>, ApiError> {
    let (id, owner) = (named(id, Code::NotFound)?, &asker.caller.label);
    let learning = app.learning().await?;
    let shown = learning.host.duel(owner, &id).await?;
    chat::shown(&app, learning, owner, shown).await.map(Json)
}

/// Says which answer of a duel is better
#[utoipa::path(
    post, path = "/v1/duels/{id}/choice", tag = "learning", request_body = ChoiceBody,
    params(("id" = String, Path, description = "Its name")),
    responses((status = 200, description = "What came of it", body = FeedbackReport), LearningErrors),
)]
pub(crate) async fn choose(
    State(app): State<Arc<App>>,
    id: Id,
    asker: ClientRequest,
    body: Incoming,
) -> Result<Json<FeedbackReport>, ApiError> {
    let (id, owner) = (named(id, Code::NotFound)?, &asker.caller.label);
    let vote = body.json(|_, body: ChoiceBody| Ok(body.choice.0)).await?;
    if app.engine.is_draining() {
        return Err(trimtab_runtime::Error::Draining.into());
    }
    let host = &app.learning().await?.host;
    let report = host.choose(owner, &id, vote).await.map_err(ApiError::of_learning)?;
    app.metrics.decided(&report, vote);
    Ok(Json(report))
}
