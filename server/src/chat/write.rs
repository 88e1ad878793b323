//! Pieces as the chunks of a stream.

use super::logprobs;
use super::request::{Form, GenerateJob, Placed, Streaming};
use super::update::{ChoiceUpdate, Token};
use crate::app::{App, now};
use crate::request_context::random;
use crate::sse::frame;
use crate::steer::Cause;
use crate::wire;
use crate::wire::chat::{ChatChunk, ChunkChoice, Delta, Logprobs, Place, Retract, Steered, Usage};
use crate::wire::completion::{CompletionChoice, CompletionResponse};
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
    /// Spells tokens, where these come with their log-probabilities, and how many likely ones beside each.
    likely: Option<(Arc<Tokenizer>, usize)>,
}

/// What is new of an answer.
#[derive(Default)]
struct News {
    role: Option<&'static str>,
    text: Option<String>,
    tokens: Vec<Token>,
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
            model: asked.fields.model.clone(),
            fingerprint: app.fingerprint.clone(),
            echoes: asked.prompts.iter().map(|prompt| prompt.echo.clone()).collect(),
            each: asked.shown() as usize,
            streaming: asked.streaming(),
            placed: asked.placed(),
            likely: app.model.tokenizer().ok().cloned().zip(asked.logprobs),
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
    pub(super) fn chat_likely(&self, tokens: &[Token]) -> Option<Logprobs> {
        let (tokenizer, most) = self.likely.as_ref()?;
        Some(Logprobs::of(tokens.iter().map(|token| &token.step), tokenizer, *most))
    }

    /// Writes an update as frames of a stream.
    pub(crate) fn write(&self, update: ChoiceUpdate, out: &mut String) {
        let (choice, news) = match update {
            ChoiceUpdate::Begun { choice } => match self.begin(choice) {
                Some(news) => (choice, news),
                None => return,
            },
            ChoiceUpdate::Text { choice, text, first, tokens } => {
                // Tokens without text are of interest to those only who count or weigh them.
                if text.is_empty() && self.likely.is_none() && self.placed == Placed::No {
                    return;
                }
                let place = Place {
                    token_index: Some(first),
                    tokens: Some(tokens.len()),
                    ..Place::default()
                };
                let place = Some(place);
                (choice, News { text: Some(text), tokens, place, ..News::default() })
            }
            ChoiceUpdate::Retracted { choice, tokens, cause: Cause { attempt, watch }, .. } => {
                let retract = Some(Retract { from: tokens, attempt, watch });
                let place = Some(Place { retract, ..Place::default() });
                (choice, News { text: Some(String::new()), place, ..News::default() })
            }
            ChoiceUpdate::Ended { choice, reason, steered } => {
                (choice, News { reason: Some(reason), steered, ..News::default() })
            }
            ChoiceUpdate::Closed { usage } => {
                if self.streaming == Streaming::ChunksAndUsage {
                    out.push_str(&frame(&self.chunk(None, Some(usage))));
                }
                return out.push_str(&frame("[DONE]"));
            }
            ChoiceUpdate::Failed(refusal) => {
                out.push_str(&frame(&wire::write(&refusal.body())));
                return out.push_str(&frame("[DONE]"));
            }
        };
        out.push_str(&frame(&self.chunk(Some((choice, news)), None)));
    }

    /// The first chunk of an answer: who speaks, or the prompt again.
    fn begin(&self, choice: usize) -> Option<News> {
        let (role, text) = match self.form {
            Form::Chat => (Some("assistant"), String::new()),
            Form::Text => (None, self.echo(choice)?.to_owned()),
        };
        Some(News { role, text: Some(text), ..News::default() })
    }

    fn chunk(&self, news: Option<(usize, News)>, usage: Option<Usage>) -> String {
        let (index, mut news) = news.map_or((None, News::default()), |(at, news)| (Some(at), news));
        let steering = news.steered.take();
        news.place = news.place.filter(|_| self.placed == Placed::Yes);
        match self.form {
            Form::Text => {
                let choices = index.map(|index| self.text_choice(index, news));
                wire::write(&self.text_response(choices.into_iter().collect(), usage, steering))
            }
            Form::Chat => wire::write(&ChatChunk {
                id: self.id.clone(),
                object: "chat.completion.chunk",
                created: self.created,
                model: self.model.clone(),
                choices: index.map(|index| self.chat_choice(index, news)).into_iter().collect(),
                usage,
                steering,
            }),
        }
    }

    fn chat_choice(&self, index: usize, news: News) -> ChunkChoice {
        let logprobs = self.chat_likely(&news.tokens);
        ChunkChoice {
            index,
            delta: Delta { role: news.role, content: news.text },
            logprobs: logprobs.filter(|likely| !likely.content.is_empty()),
            finish_reason: news.reason,
            steering: news.place,
        }
    }

    fn text_choice(&self, index: usize, news: News) -> CompletionChoice {
        let whole = CompletionChoice {
            finish_reason: news.reason,
            steering: news.place,
            ..self.text(index, news.text.unwrap_or_default(), &news.tokens)
        };
        let logprobs = whole.logprobs.filter(|likely| !likely.tokens.is_empty());
        CompletionChoice { logprobs, ..whole }
    }

    /// Text of an answer in the older shape, with its log-probabilities if they were asked for.
    pub(super) fn text(&self, index: usize, text: String, tokens: &[Token]) -> CompletionChoice {
        let begin = self.echo(index).map_or(0, |echo| echo.chars().count());
        let likely = self.likely.as_ref();
        let logprobs = likely.map(|(names, most)| logprobs::text(names, tokens, (begin, *most)));
        CompletionChoice { index, text, logprobs, finish_reason: None, steering: None }
    }

    pub(super) fn text_response(
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
