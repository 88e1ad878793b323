//! What users say of answers.

use super::body::Incoming;
use crate::app::App;
use crate::chat::{ClientRequest, asked};
use crate::error::ApiError;
use crate::wire::feedback::{Elsewhere, Feedback, FeedbackBody, Said};
use crate::wire::responses::LearningErrors;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use std::sync::Arc;
use trimtab_adapters::host::{FeedbackReport, FeedbackStatus, ForeignAnswer, Lesson, Remark};
use trimtab_runtime::text::Special;

/// Teaches an adapter by what is said of an answer
///
/// With `wait` false the answer comes at once, with the status `queued`.
#[utoipa::path(
    post, path = "/v1/feedback", tag = "learning", request_body = FeedbackBody,
    responses(
        (status = 200, description = "What came of it", body = FeedbackReport),
        (status = 202, description = "It waits its turn", body = FeedbackReport),
        LearningErrors,
    ),
)]
pub(crate) async fn feedback(
    State(app): State<Arc<App>>,
    asker: ClientRequest,
    body: Incoming,
) -> Result<(StatusCode, Json<FeedbackReport>), ApiError> {
    let work = |app: &App, body: FeedbackBody| {
        let waits = body.waits();
        Ok((lesson(app, body.form()?)?, waits))
    };
    let (lesson, waits) = body.json(work).await?;
    if app.engine.is_draining() {
        return Err(trimtab_runtime::Error::Draining.into());
    }
    let (host, owner) = (&app.learning().await?.host, &asker.caller.label);
    let (status, report) = match waits {
        true => (StatusCode::OK, host.teach(owner, lesson).await),
        false => (StatusCode::ACCEPTED, host.queue(owner, lesson).await),
    };
    let report = report.map_err(ApiError::of_learning)?;
    app.metrics.repeated(&report);
    // What was said before needs no place in the line.
    let status = if report.status == FeedbackStatus::Queued { status } else { StatusCode::OK };
    Ok((status, Json(report)))
}

/// A lesson in the words of the host, texts in tokens.
fn lesson(app: &App, feedback: Feedback) -> Result<Lesson, ApiError> {
    Ok(match feedback {
        Feedback::Remark(answer, said) => Lesson::Remark(answer, remark(app, said)?),
        Feedback::Preference(preferred, rejected) => Lesson::Preference { preferred, rejected },
        Feedback::ForeignRemark(elsewhere, text, said) => {
            let Elsewhere { adapter, asked } = elsewhere;
            let prompt = self::asked(app, &asked)?;
            let answer = ForeignAnswer { prompt, tokens: tokens(app, &text, "response")? };
            Lesson::ForeignRemark(adapter, answer, remark(app, said)?)
        }
        Feedback::ForeignPreference(elsewhere, [winner, loser]) => {
            let Elsewhere { adapter, asked } = elsewhere;
            let prompt = self::asked(app, &asked)?;
            let winner =
                ForeignAnswer { prompt: prompt.clone(), tokens: tokens(app, &winner, "winner")? };
            let loser = ForeignAnswer { prompt, tokens: tokens(app, &loser, "loser")? };
            Lesson::ForeignPreference { adapter, winner, loser }
        }
    })
}

fn remark(app: &App, said: Said) -> Result<Remark, ApiError> {
    match said {
        Said::Remark(remark) => Ok(remark),
        Said::Edited(text) => Ok(Remark::Edited(tokens(app, &text, "edited")?)),
    }
}

/// The tokens of an answer. One that is longer than the context could not have been given.
fn tokens(app: &App, text: &str, at: &str) -> Result<Vec<u32>, ApiError> {
    let tokenizer = app.model.tokenizer()?;
    let room = app.model.room();
    let too_long = |tokens: usize| {
        ApiError::invalid(at, format!("has {tokens} tokens or more, the context holds {room}"))
    };
    let least = tokenizer.fewest_tokens(text, Special::Plain);
    if least >= room {
        return Err(too_long(least));
    }
    let tokens = tokenizer.encode(text, Special::Plain)?;
    match tokens.len() {
        0 => Err(ApiError::invalid(at, "is empty, and there is nothing in it to learn from")),
        length if length >= room => Err(too_long(length)),
        _ => Ok(tokens),
    }
}
