//! Pieces folded to one whole answer.

use super::request::Form;
use super::update::{ChoiceUpdate, Token};
use super::write::Writer;
use crate::error::ApiError;
use crate::wire::chat::{ChatChoice, ChatResponse, Said, Steered, Usage};
use crate::wire::completion::{CompletionChoice, CompletionResponse};
use axum::Json;
use axum::response::{IntoResponse, Response};

/// One answer so far.
#[derive(Default)]
struct Whole {
    text: String,
    tokens: Vec<Token>,
    reason: &'static str,
}

/// All answers of a request so far.
pub(super) struct Fold {
    writer: Writer,
    answers: Vec<Whole>,
    usage: Usage,
    steered: Option<Steered>,
}

impl Fold {
    pub(super) fn new(writer: Writer) -> Fold {
        let answers = (0..writer.choices()).map(|_| Whole::default()).collect();
        Fold { writer, answers, usage: Usage::default(), steered: None }
    }

    /// Adds an update; an error ends everything.
    pub(super) fn take(&mut self, update: ChoiceUpdate) -> Result<(), ApiError> {
        match update {
            ChoiceUpdate::Begun { .. } => {}
            ChoiceUpdate::Text { choice, text, tokens, .. } => {
                if let Some(whole) = self.answers.get_mut(choice) {
                    whole.text.push_str(&text);
                    whole.tokens.extend(tokens);
                }
            }
            ChoiceUpdate::Retracted { choice, bytes, tokens, .. } => {
                if let Some(whole) = self.answers.get_mut(choice) {
                    whole.text.truncate(bytes);
                    whole.tokens.truncate(tokens);
                }
            }
            ChoiceUpdate::Ended { choice, reason, steered } => {
                if let Some(whole) = self.answers.get_mut(choice) {
                    whole.reason = reason;
                }
                self.steered = steered.or(self.steered.take());
            }
            ChoiceUpdate::Closed { usage } => self.usage = usage,
            ChoiceUpdate::Failed(refusal) => return Err(refusal),
        }
        Ok(())
    }

    /// The texts with the reasons of their ends, and the token counts.
    pub(super) fn into_texts(self) -> (Vec<(String, &'static str)>, Usage) {
        let texts = self.answers.into_iter().map(|whole| (whole.text, whole.reason));
        (texts.collect(), self.usage)
    }

    pub(super) fn finish(self) -> Response {
        match self.writer.form {
            Form::Chat => Json(self.chat()).into_response(),
            Form::Text => Json(self.text()).into_response(),
        }
    }

    fn chat(self) -> ChatResponse {
        let Fold { writer, answers, usage, steered } = self;
        let choice = |(index, whole): (usize, Whole)| ChatChoice {
            index,
            logprobs: writer.chat_likely(&whole.tokens),
            message: Said { role: "assistant", content: whole.text },
            finish_reason: whole.reason,
        };
        ChatResponse {
            choices: answers.into_iter().enumerate().map(choice).collect(),
            id: writer.id,
            object: "chat.completion",
            created: writer.created,
            model: writer.model,
            system_fingerprint: writer.fingerprint,
            usage,
            steering: steered,
        }
    }

    fn text(self) -> CompletionResponse {
        let Fold { writer, answers, usage, steered } = self;
        let choice = |(index, whole): (usize, Whole)| {
            let text = writer.echo(index).unwrap_or_default().to_owned() + &whole.text;
            let finish_reason = Some(whole.reason);
            CompletionChoice { finish_reason, ..writer.text(index, text, &whole.tokens) }
        };
        let choices = answers.into_iter().enumerate().map(choice).collect();
        let response = writer.text_response(choices, Some(usage), steered);
        CompletionResponse { system_fingerprint: Some(writer.fingerprint), ..response }
    }
}
