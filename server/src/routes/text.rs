//! Tokens of a text, text of tokens, the prompt of a conversation.

use super::body::Incoming;
use crate::app::App;
use crate::chat::{Ignored, Wanted, conversation, known_ids, plain, render};
use crate::error::ApiError;
use crate::wire::responses::TextErrors;
use crate::wire::rest::Rest;
use crate::wire::text::{
    DetokenizeRequest, DetokenizeResponse, Piece, TemplateRequest, TemplateResponse, TokenPiece,
    TokenizeRequest, TokenizeResponse, Tokens,
};
use axum::Json;
use axum::response::{IntoResponse, Response};
use trimtab_runtime::text::{Control, Special, Tokenizer};

/// Bytes around each token that is listed with its text: its id, names and marks.
const AROUND_BYTES: usize = 24;

/// A response that names what was ignored. It is written where it is made, not on the threads that serve connections.
fn told(rest: &Rest, body: impl IntoResponse) -> Response {
    let mut ignored = Ignored::default();
    ignored.note("", rest);
    (ignored, body).into_response()
}

/// The tokens of a text
#[utoipa::path(
    post, path = "/tokenize", tag = "text", request_body = TokenizeRequest,
    responses((status = 200, description = "Its tokens", body = TokenizeResponse), TextErrors),
)]
pub(crate) async fn tokenize(body: Incoming) -> Result<Response, ApiError> {
    let work = |app: &App, body: TokenizeRequest| {
        let tokenizer = app.model.tokenizer()?;
        // As llama.cpp's documentation has it: parsed unless the request says otherwise.
        let special = match body.parse_special {
            Some(true) | None => Special::Parse,
            Some(false) => Special::Plain,
        };
        let tokens = tokenizer.encode(&body.content, special)?;
        let tokens = match body.add_special {
            Some(true) => tokenizer.with_bos(tokens),
            Some(false) | None => tokens,
        };
        let tokens = match body.with_pieces {
            Some(true) => {
                bounded(app, &tokens, ("content", AROUND_BYTES))?;
                Tokens::Pieces(tokens.iter().map(|id| piece(tokenizer, *id)).collect())
            }
            Some(false) | None => Tokens::Ids(tokens),
        };
        Ok(told(&body.rest, Json(TokenizeResponse { tokens })))
    };
    body.json(work).await
}

/// A token with its text, or with its bytes where these are none.
fn piece(tokenizer: &Tokenizer, id: u32) -> TokenPiece {
    let text = match tokenizer.is_control(id) {
        true => tokenizer.token_text(id).map(str::as_bytes),
        false => tokenizer.token_bytes(id),
    };
    let piece = match std::str::from_utf8(text.unwrap_or_default()) {
        Ok(text) => Piece::Text(text.to_owned()),
        Err(_) => Piece::Bytes(text.unwrap_or_default().to_vec()),
    };
    TokenPiece { id, piece }
}

/// The text of tokens
#[utoipa::path(
    post, path = "/detokenize", tag = "text", request_body = DetokenizeRequest,
    responses((status = 200, description = "Their text", body = DetokenizeResponse), TextErrors),
)]
pub(crate) async fn detokenize(body: Incoming) -> Result<Response, ApiError> {
    let work = |app: &App, body: DetokenizeRequest| {
        known_ids(app, &body.tokens, "tokens")?;
        let tokenizer = app.model.tokenizer()?;
        bounded(app, &body.tokens, ("tokens", 0))?;
        let content = tokenizer.decode(&body.tokens, Control::Show);
        Ok(told(&body.rest, Json(DetokenizeResponse { content })))
    };
    body.json(work).await
}

/// Refuses tokens whose answer would be longer than a body may be: a few digits can name a token of a hundred bytes.
fn bounded(app: &App, tokens: &[u32], (at, around): (&'static str, usize)) -> Result<(), ApiError> {
    let tokenizer = app.model.tokenizer()?;
    let bytes = |id: &u32| {
        let spelled = tokenizer.token_text(*id).map_or(0, str::len);
        around + tokenizer.token_bytes(*id).map_or(0, <[u8]>::len).max(spelled)
    };
    let (length, most) = (tokens.iter().map(bytes).sum::<usize>(), app.settings.max_body);
    if length > most {
        let problem = format!("needs an answer of {length} bytes, at most {most}");
        return Err(ApiError::invalid(at, problem));
    }
    Ok(())
}

/// The prompt of a conversation
#[utoipa::path(
    post, path = "/apply-template", tag = "text", request_body = TemplateRequest,
    responses((status = 200, description = "The prompt", body = TemplateResponse), TextErrors),
)]
pub(crate) async fn apply_template(body: Incoming) -> Result<Response, ApiError> {
    let work = |app: &App, body: TemplateRequest| {
        plain(&body.rest)?;
        let mut ignored = Ignored::default();
        let messages = conversation(app, &body.messages, &mut ignored)?;
        let variables = (body.chat_template_kwargs, body.reasoning_effort);
        let end = (body.add_generation_prompt, body.continue_final_message);
        let prompt = render(app, &messages, &Wanted::new(variables, end), &mut ignored)?;
        ignored.note("", &body.rest);
        let response = TemplateResponse { prompt: prompt.rendered.text() };
        Ok((ignored, Json(response)).into_response())
    };
    body.json(work).await
}
