//! Pieces as the chunks of a stream.

use super::assembler::{ChoiceUpdate, Token};
use super::logprobs;
use super::request::{Form, GenerateJob, Placed, Streaming};
use crate::app::{App, now};
use crate::error::ApiError;
use crate::request_context::random;
use crate::sse::frame;
use crate::steer::Cause;
use crate::wire;
use crate::wire::chat::{ChatChunk, ChunkChoice, Delta, Logprobs, Place, Retract, Steered, Usage};
use crate::wire::completion::{CompletionChoice, CompletionResponse, TextLogprobs};
use std::sync::Arc;
use trimtab_runtime::text::Tokenizer;

/// What every chunk of a request says, and what it takes to write them.
pub(crate) struct Writer {
    pub(super) form: Form,
    pub(super) id: String,
    pub(super) created: u64,
    pub(super) model: String,
    pub(super) fingerprint: String,
    /// Each prompt's text, where it is to be repeated.
    echoes: Vec<Option<String>>,
    /// Answers to each prompt.
    each: usize,
    streaming: Streaming,
    placed: Placed,
    likely: Likely,
    tokenizer: Option<Arc<Tokenizer>>,
}

/// Whether tokens come with their log-probabilities.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Likely {
    Left,
    Listed,
}

/// What is new of an answer.
#[derive(Default)]
struct News {
    role: Option<&'static str>,
    text: Option<String>,
    steps: Vec<Token>,
    reason: Option<&'static str>,
    place: Option<Place>,
    steered: Option<Steered>,
}

impl Writer {
    pub(crate) fn new(app: &App, asked: &GenerateJob) -> Writer {
        let prefix = match asked.form {
            Form::Chat => "chatcmpl",
            Form::Text => "cmpl",
        };
        Writer {
            form: asked.form,
            id: format!("{prefix}-{:016x}", random()),
            created: now(),
            model: asked.model.clone(),
            fingerprint: app.fingerprint.clone(),
            echoes: asked.prompts.iter().map(|prompt| prompt.echo.clone()).collect(),
            each: asked.choices as usize,
            streaming: asked.streaming,
            placed: asked.placed,
            likely: if asked.logprobs.is_some() { Likely::Listed } else { Likely::Left },
            tokenizer: app.model.tokenizer().ok().cloned(),
        }
    }

    /// Answers of the request.
    pub(super) fn choices(&self) -> usize {
        self.echoes.len() * self.each
    }

    /// What an answer repeats before itself.
    pub(super) fn echo(&self, choice: usize) -> Option<&str> {
        self.echoes.get(choice.checked_div(self.each)?)?.as_deref()
    }

    /// Whether the answer comes in pieces.
    pub(crate) fn streaming(&self) -> Streaming {
        self.streaming
    }

    /// Log-probabilities of tokens in chat's shape, if they were asked for.
    pub(super) fn chat_likely(&self, steps: &[Token]) -> Option<Logprobs> {
        let tokenizer = self.tokenizer.as_ref().filter(|_| self.likely == Likely::Listed)?;
        Some(logprobs::chat(tokenizer, steps))
    }

    /// The same in the older shape.
    pub(super) fn text_likely(&self, choice: usize, steps: &[Token]) -> Option<TextLogprobs> {
        let tokenizer = self.tokenizer.as_ref().filter(|_| self.likely == Likely::Listed)?;
        let begin = self.echo(choice).map_or(0, |echo| echo.chars().count());
        Some(logprobs::text(tokenizer, steps, begin))
    }

    /// Writes a piece as frames of a stream.
    pub(crate) fn write(&mut self, piece: ChoiceUpdate, out: &mut String) {
        match piece {
            ChoiceUpdate::Begun { choice } => self.begin(choice, out),
            ChoiceUpdate::Text { choice, text, first, steps } => {
                // Tokens without text are of interest to those only who count or weigh them.
                if text.is_empty() && self.likely == Likely::Left && self.placed == Placed::No {
                    return;
                }
                let place = self.place(Some(first), Some(steps.len()), None);
                let news = News { text: Some(text), steps, place, ..News::default() };
                self.news(choice, news, out);
            }
            ChoiceUpdate::Retracted { choice, tokens, cause: Cause { attempt, watch }, .. } => {
                let retract = Retract { from: tokens, attempt, watch };
                let place = self.place(None, None, Some(retract));
                let news = News { text: Some(String::new()), place, ..News::default() };
                self.news(choice, news, out);
            }
            ChoiceUpdate::Ended { choice, reason, steered } => {
                let news = News { reason: Some(reason), steered, ..News::default() };
                self.news(choice, news, out);
            }
            ChoiceUpdate::Closed { usage } => {
                if self.streaming == Streaming::ChunksAndUsage {
                    self.usage(usage, out);
                }
                out.push_str(&frame("[DONE]"));
            }
            ChoiceUpdate::Failed(refusal) => self.fail(&refusal, out),
        }
    }

    fn place(
        &self,
        token_index: Option<usize>,
        tokens: Option<usize>,
        retract: Option<Retract>,
    ) -> Option<Place> {
        let place = Place { token_index, tokens, retract };
        (self.placed == Placed::Yes).then_some(place)
    }

    /// The first chunk of an answer: who speaks, or the prompt again.
    fn begin(&mut self, choice: usize, out: &mut String) {
        let news = match (self.form, self.echo(choice)) {
            (Form::Chat, _) => {
                let text = Some(String::new());
                News { role: Some("assistant"), text, ..News::default() }
            }
            (Form::Text, Some(echo)) => News { text: Some(echo.to_owned()), ..News::default() },
            (Form::Text, None) => return,
        };
        self.news(choice, news, out);
    }

    fn news(&mut self, index: usize, news: News, out: &mut String) {
        let News { role, text, steps, reason, place, steered } = news;
        let written = match self.form {
            Form::Chat => {
                let logprobs = self.chat_likely(&steps).filter(|likely| !likely.content.is_empty());
                let delta = Delta { role, content: text };
                let choice =
                    ChunkChoice { index, delta, logprobs, finish_reason: reason, steering: place };
                wire::write(&self.chat_chunk(vec![choice], None, steered))
            }
            Form::Text => {
                let likely = self.text_likely(index, &steps);
                let choice = CompletionChoice {
                    index,
                    text: text.unwrap_or_default(),
                    logprobs: likely.filter(|likely| !likely.tokens.is_empty()),
                    finish_reason: reason,
                    steering: place,
                };
                wire::write(&self.text_chunk(vec![choice], None, steered))
            }
        };
        out.push_str(&frame(&written));
    }

    fn usage(&self, usage: Usage, out: &mut String) {
        let written = match self.form {
            Form::Chat => wire::write(&self.chat_chunk(Vec::new(), Some(usage), None)),
            Form::Text => wire::write(&self.text_chunk(Vec::new(), Some(usage), None)),
        };
        out.push_str(&frame(&written));
    }

    fn fail(&self, refusal: &ApiError, out: &mut String) {
        out.push_str(&frame(&wire::write(&refusal.body())));
        out.push_str(&frame("[DONE]"));
    }

    fn chat_chunk(
        &self,
        choices: Vec<ChunkChoice>,
        usage: Option<Usage>,
        steering: Option<Steered>,
    ) -> ChatChunk {
        ChatChunk {
            id: self.id.clone(),
            object: "chat.completion.chunk",
            created: self.created,
            model: self.model.clone(),
            choices,
            usage,
            steering,
        }
    }

    fn text_chunk(
        &self,
        choices: Vec<CompletionChoice>,
        usage: Option<Usage>,
        steering: Option<Steered>,
    ) -> CompletionResponse {
        CompletionResponse {
            id: self.id.clone(),
            object: "text_completion",
            created: self.created,
            model: self.model.clone(),
            system_fingerprint: None,
            choices,
            usage,
            steering,
        }
    }
}
