//! Pieces folded to one whole answer.

use super::assembler::{ChoiceUpdate, Token};
use super::request::Form;
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
    steps: Vec<Token>,
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

    /// Adds a piece; an error ends everything.
    pub(super) fn take(&mut self, piece: ChoiceUpdate) -> Result<(), ApiError> {
        match piece {
            ChoiceUpdate::Begun { .. } => {}
            ChoiceUpdate::Text { choice, text, steps, .. } => {
                if let Some(whole) = self.answers.get_mut(choice) {
                    whole.text.push_str(&text);
                    whole.steps.extend(steps);
                }
            }
            ChoiceUpdate::Retracted { choice, bytes, tokens, .. } => {
                if let Some(whole) = self.answers.get_mut(choice) {
                    whole.text.truncate(bytes);
                    whole.steps.truncate(tokens);
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
            logprobs: writer.chat_likely(&whole.steps),
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
        let mut choices = Vec::with_capacity(answers.len());
        for (index, whole) in answers.into_iter().enumerate() {
            let echo = writer.echo(index).unwrap_or_default().to_owned();
            choices.push(CompletionChoice {
                index,
                logprobs: writer.text_likely(index, &whole.steps),
                text: echo + &whole.text,
                finish_reason: Some(whole.reason),
                steering: None,
            });
        }
        CompletionResponse {
            id: writer.id,
            object: "text_completion",
            created: writer.created,
            model: writer.model,
            system_fingerprint: Some(writer.fingerprint),
            choices,
            usage: Some(usage),
            steering: steered,
        }
    }
}
