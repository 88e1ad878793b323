//! From a body to what is asked for: every field honoured, refused, or ignored by name.

use super::choose::{request, sampling};
use super::ignored::Ignored;
use super::messages::conversation;
use super::render::{self, End, Wanted};
use super::shape;
use crate::app::App;
use crate::error::ApiError;
use crate::headers::SEED;
use crate::steer::{Guards, Resolved};
use crate::wire::chat::{ChatRequest, ResponseFormat, StreamOptions};
use crate::wire::completion::CompletionRequest;
use crate::wire::error::Code;
use crate::wire::receipt::{Replay, Turn};
use crate::wire::rest::Rest;
use crate::wire::sampling::SamplingFields;
use crate::wire::steering::{Level, Steering};
use crate::wire::union::{Inputs, Prompt};
use axum::http::{HeaderMap, HeaderValue};
use trimtab_runtime::generate::{Generation, Request};
use trimtab_runtime::sample::SamplingParams;
use trimtab_runtime::text::{Control, Message, Special, Variables};
use trimtab_steering::spec::{GuardTerms, Turns};

/// Answers to one prompt, and answers to all prompts of one request.
const MOST_CHOICES: i64 = 8;
const MOST_ANSWERS: usize = 256;
/// Prompts of one request that brings vectors or a monitor or wants full receipts: each prompt has all that for itself.
const MOST_STEERED: usize = 8;
/// Tokens listed beside each.
const MOST_TOP: u64 = 20;
/// The shape of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Chat,
    Text,
}

/// Whether an answer comes in pieces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Streaming {
    No,
    Chunks,
    ChunksAndUsage,
}

/// Whether chunks say where they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Placed {
    No,
    Yes,
}

/// The answers in the making, and what their guards write down.
pub(crate) type Made = (Vec<Generation>, Guards);

/// A prompt, and what is done to the model while it is answered.
pub(crate) struct Prompted {
    pub(crate) tokens: Vec<u32>,
    /// What the user wants, in words, for monitors that judge the answer.
    pub(crate) question: String,
    /// The prompt's text, if it is to be repeated.
    pub(crate) echo: Option<String>,
    pub(crate) resolved: Resolved,
    /// What asks for the same again.
    pub(crate) replay: Replay,
}

/// What is asked for, whichever route it came by.
pub(crate) struct GenerateJob {
    pub(crate) form: Form,
    /// The model as it was asked for.
    pub(crate) model: String,
    /// At least one. The answers to a prompt are those that it would get alone.
    pub(crate) prompts: Vec<Prompted>,
    /// Answers to each prompt.
    pub(crate) choices: u32,
    /// Of the first choice.
    pub(crate) request: Request,
    /// Whether tokens come with their log-probabilities.
    pub(crate) logprobs: Option<usize>,
    pub(crate) streaming: Streaming,
    pub(crate) placed: Placed,
    pub(crate) ignored: Ignored,
}

impl GenerateJob {
    /// The generations in the order of their choices: all of the first prompt, then those of the next. Each has its guard.
    /// What plan or guard cannot do on this model is refused here.
    pub(crate) fn generations(&self, app: &App) -> Result<Made, ApiError> {
        let mut made: Made = (Vec::new(), Guards::default());
        for prompt in &self.prompts {
            for choice in 0..self.choices {
                let generation = self.generation(app, (prompt, choice), &mut made.1)?;
                made.0.push(generation);
            }
        }
        Ok(made)
    }

    fn generation(
        &self,
        app: &App,
        (prompt, choice): (&Prompted, u32),
        guards: &mut Guards,
    ) -> Result<Generation, ApiError> {
        let session = app.model.session(prompt.resolved.lowered.plan.clone());
        let mut session = session.map_err(|error| ApiError::from(error).about("steering"))?;
        session.push_prompt(&prompt.tokens)?;
        let retries = prompt.resolved.retries();
        let request = Request { choice, retries, ..self.request.clone() };
        let generation = Generation::new(session, app.model.tokenizer()?.clone(), request)?;
        let terms = GuardTerms {
            library: &app.library,
            request: &prompt.question,
            turns: match self.form {
                Form::Chat => Turns::Template,
                Form::Text => Turns::Plain,
            },
            // Answers to one prompt are quoted between delimiters of their own.
            seed: self.request.seed.wrapping_add(choice.into()),
            steered: &prompt.resolved.lowered,
            limit: prompt.resolved.limit,
        };
        Ok(match prompt.resolved.guard(&terms, guards)? {
            Some(guard) => generation.watched_by(guard),
            None => generation,
        })
    }

    /// Tokens of all prompts.
    pub(crate) fn prompt_tokens(&self) -> usize {
        self.prompts.iter().map(|prompt| prompt.tokens.len()).sum()
    }

    /// The prompt's tokens are those of a conversation.
    pub(crate) fn set_conversation(&mut self, turns: &[Turn]) {
        let messages =
            turns.iter().map(|turn| Message::new(turn.role.clone(), turn.content.clone()));
        self.form = Form::Chat;
        let question = question(&messages.collect::<Vec<Message>>());
        self.prompts.iter_mut().for_each(|prompt| prompt.question.clone_from(&question));
    }

    /// What the response's headers say.
    pub(crate) fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(SEED, HeaderValue::from(self.request.seed));
        self.ignored.tell(&mut headers);
        headers
    }
}

pub(crate) fn chat(app: &App, body: ChatRequest) -> Result<GenerateJob, ApiError> {
    let base = Base {
        model: &body.model,
        rest: &body.rest,
        format: body.response_format.as_ref(),
        options: body.stream_options.as_ref(),
    };
    let (preset, mut ignored) = base.check(app)?;
    let limits =
        [("max_tokens", body.max_tokens), ("max_completion_tokens", body.max_completion_tokens)];
    let fields = body.sampling();
    let mut request = request(app, &fields, &limits)?;
    let logprobs = match (body.logprobs, top(body.top_logprobs, "top_logprobs")?) {
        (Some(true), top) => Some(top.unwrap_or(0)),
        (_, Some(1..)) => {
            return Err(ApiError::invalid("top_logprobs", "needs logprobs to be true"));
        }
        (_, _) => None,
    };
    request.top_logprobs = logprobs.unwrap_or(0);
    let messages = conversation(app, &body.messages, &mut ignored)?;
    let prompt = render::render(app, &messages, &Wanted::from(&body), &mut ignored)?;
    let tokens = render::tokens(app, &prompt.rendered)?;
    fits(app, &tokens, "messages")?;
    let resolved =
        app.steering.now().resolve(body.steering.as_ref(), preset.as_deref(), Some(&tokens))?;
    let choices = choices(body.n)?;
    let replay = Replay {
        messages: Some(messages.iter().map(turn).collect()),
        ..ending(
            replay(app, &fields, (&request, choices, tokens.len()), &resolved),
            (prompt.kwargs, prompt.end),
        )
    };
    let question = question(&messages);
    Ok(GenerateJob {
        form: Form::Chat,
        choices,
        streaming: streaming(body.stream, body.stream_options.as_ref()),
        placed: placed(body.steering.as_ref()),
        model: body.model,
        prompts: vec![Prompted { tokens, question, echo: None, resolved, replay }],
        request,
        logprobs,
        ignored,
    })
}

fn turn(message: &Message) -> Turn {
    Turn { role: message.role.clone(), content: message.content.clone() }
}

/// A body that asks for the same prompt again.
fn ending(replay: Replay, (kwargs, end): (Variables, End)) -> Replay {
    Replay {
        chat_template_kwargs: kwargs,
        add_generation_prompt: (end == End::Message).then_some(false),
        continue_final_message: (end == End::Inside).then_some(true),
        ..replay
    }
}

/// Understands texts that are to be continued.
pub(crate) fn completion(app: &App, body: CompletionRequest) -> Result<GenerateJob, ApiError> {
    let base = Base {
        model: &body.model,
        rest: &body.rest,
        format: body.response_format.as_ref(),
        options: body.stream_options.as_ref(),
    };
    let (preset, mut ignored) = base.check(app)?;
    let choices = choices(body.n)?;
    if body.best_of.is_some_and(|best| best > u64::from(choices)) {
        let why = "answers are not compared; leave it out, or ask for as many with n";
        return Err(ApiError::unsupported("best_of", why));
    }
    let logprobs = top(body.logprobs, "logprobs")?;
    scored(&body)?;
    let fields = body.sampling();
    let mut request = request(app, &fields, &[("max_tokens", body.max_tokens)])?;
    request.top_logprobs = logprobs.unwrap_or(0);
    let special = match body.parse_special {
        Some(true) => Special::Parse,
        Some(false) | None => Special::Plain,
    };
    let (texts, now) = (texts(&body.prompt, choices)?, app.steering.now());
    let count = texts.len();
    let mut prompts = Vec::with_capacity(count);
    for (at, prompt) in texts {
        let tokens = prompt_of(app, prompt, (&at, special))?;
        if special == Special::Plain && !ignored.warns() {
            stays_text(app, prompt, (&at, &mut ignored))?;
        }
        let text = match prompt {
            Prompt::Text(text) => text.clone(),
            Prompt::Ids(ids) => app.model.tokenizer()?.decode(ids, Control::Show),
        };
        let echo = (body.echo == Some(true)).then(|| text.clone());
        let resolved = now.resolve(body.steering.as_ref(), preset.as_deref(), Some(&tokens))?;
        few(count, body.steering.as_ref(), &resolved)?;
        let replay = Replay {
            prompt: Some(tokens.clone()),
            echo: echo.is_some().then_some(true),
            ..replay(app, &fields, (&request, choices, tokens.len()), &resolved)
        };
        prompts.push(Prompted { tokens, question: text, echo, resolved, replay });
    }
    Ok(GenerateJob {
        form: Form::Text,
        choices,
        streaming: streaming(body.stream, body.stream_options.as_ref()),
        placed: placed(body.steering.as_ref()),
        model: body.model,
        prompts,
        request,
        logprobs,
        ignored,
    })
}

/// Refuses to weigh a prompt's own tokens, as those ask who measure how likely given texts are.
fn scored(body: &CompletionRequest) -> Result<(), ApiError> {
    if body.echo != Some(true) || body.logprobs.is_none() {
        return Ok(());
    }
    let why = "log-probabilities are those of generated tokens only; those of the prompt, which echo beside logprobs asks \
               for (as loglikelihood tasks of lm-eval do, with max_tokens 0 or 1), are not built yet; leave out echo or \
               logprobs, or measure texts with `trimtab perplexity`";
    Err(ApiError::unsupported("echo", why))
}

/// The prompts of a request, each with its place.
fn texts(prompt: &Inputs, choices: u32) -> Result<Vec<(String, &Prompt)>, ApiError> {
    let most = MOST_ANSWERS / choices.max(1) as usize;
    match prompt {
        Inputs::One(prompt) => Ok(vec![("prompt".to_owned(), prompt)]),
        Inputs::Many(all) if all.is_empty() || all.len() > most => {
            let problem = format!("has {} prompts, not 1 to {most} with n {choices}", all.len());
            Err(ApiError::invalid("prompt", problem))
        }
        Inputs::Many(all) => {
            let numbered = all.iter().enumerate();
            Ok(numbered.map(|(index, one)| (format!("prompt[{index}]"), one)).collect())
        }
    }
}

/// Refuses a long list of prompts beside what each of them has for itself and that may be large.
fn few(count: usize, asked: Option<&Steering>, resolved: &Resolved) -> Result<(), ApiError> {
    let brings = asked.is_some_and(|asked| {
        asked.monitor.is_some() || asked.vectors.as_ref().is_some_and(|all| !all.is_empty())
    });
    let what = match (brings, resolved.level) {
        (true, _) => "vectors or a monitor of the request's own",
        (false, Level::Full) => "full receipts",
        (false, _) => return Ok(()),
    };
    if count <= MOST_STEERED {
        return Ok(());
    }
    let problem = format!("has {count} prompts, at most {MOST_STEERED} beside {what}");
    Err(ApiError::invalid("prompt", problem))
}

/// Warns where a prompt spells a control token, which it may have been meant to be.
fn stays_text(
    app: &App,
    prompt: &Prompt,
    (at, ignored): (&str, &mut Ignored),
) -> Result<(), ApiError> {
    let Prompt::Text(text) = prompt else { return Ok(()) };
    if let Some(token) = app.model.tokenizer()?.spelled_control(text) {
        ignored.warn(&format!("{at} spells {token}, which stays text; parse_special reads it"));
    }
    Ok(())
}

/// What a user said last.
fn question(messages: &[Message]) -> String {
    let said = messages.iter().rev().find(|message| message.role == "user");
    said.map(|message| message.content.clone()).unwrap_or_default()
}

/// A body that asks for the same again, but for what is to be continued.
fn replay(
    app: &App,
    fields: &SamplingFields,
    (request, choices, prompt): (&Request, u32, usize),
    resolved: &Resolved,
) -> Replay {
    // Where this context ended the answer, a larger one must not go on.
    let room = room(app).saturating_sub(prompt);
    let SamplingParams { temperature, top_k, top_p, min_p } = sampling(app, fields);
    Replay {
        model: app.model.name().to_owned(),
        seed: request.seed,
        n: choices.into(),
        max_tokens: Some(request.max_tokens.map_or(room, |most| most.min(room)) as u64),
        temperature,
        top_p,
        top_k: top_k as u64,
        min_p,
        repeat_penalty: fields.repeat_penalty,
        presence_penalty: fields.presence_penalty,
        frequency_penalty: fields.frequency_penalty,
        logit_bias: fields.logit_bias.clone(),
        stop: request.stop.clone(),
        steering: resolved.request.clone(),
        ..Replay::default()
    }
}

/// What both routes begin with.
struct Base<'a> {
    model: &'a str,
    rest: &'a Rest,
    format: Option<&'a ResponseFormat>,
    options: Option<&'a StreamOptions>,
}

impl Base<'_> {
    /// The preset that the model's name asks for, and what is ignored.
    fn check(&self, app: &App) -> Result<(Option<String>, Ignored), ApiError> {
        shape::plain(self.rest)?;
        if let Some(format) = self.format.filter(|format| format.kind != "text") {
            let why = format!("{:?} constrains tokens, only text is served", format.kind);
            return Err(ApiError::unsupported("response_format", why));
        }
        let preset = served(app, self.model)?;
        let mut ignored = Ignored::default();
        ignored.note("", self.rest);
        if let Some(options) = self.options {
            ignored.note("stream_options", &options.rest);
        }
        if let Some(format) = self.format {
            ignored.note("response_format", &format.rest);
        }
        Ok((preset, ignored))
    }
}

/// The preset of a model's name; a name that is not served is refused.
pub(crate) fn served(app: &App, name: &str) -> Result<Option<String>, ApiError> {
    if app.is_called(name) {
        return Ok(None);
    }
    let any = app.settings.any_model.is_on();
    let preset = name.rsplit_once('@').filter(|(base, _)| any || app.is_called(base));
    let preset = preset.map(|(_, preset)| preset.to_owned());
    if let Some(preset) = preset.filter(|preset| app.steering.presets().contains(preset)) {
        return Ok(Some(preset));
    }
    // A name with a preset that does not exist asks for steering, which must not be left out in silence.
    if any && !name.is_empty() && !name.contains('@') {
        return Ok(None);
    }
    let message = format!("model {name:?} is not served; GET /v1/models lists what is");
    Err(ApiError::new(Code::ModelNotFound, message).at("model"))
}

/// The tokens of a prompt.
pub(crate) fn prompt_of(
    app: &App,
    prompt: &Prompt,
    (at, special): (&str, Special),
) -> Result<Vec<u32>, ApiError> {
    let tokens = match prompt {
        Prompt::Text(text) => {
            let tokens = app.model.raw_prompt_within(text, special);
            tokens.map_err(|error| ApiError::of_prompt(error, at))?
        }
        Prompt::Ids(ids) => {
            known_ids(app, ids, at)?;
            ids.clone()
        }
    };
    if tokens.is_empty() {
        return Err(ApiError::invalid(at, "is empty, at least one token is needed"));
    }
    fits(app, &tokens, at)?;
    Ok(tokens)
}

/// Refuses ids that the model does not have.
pub(crate) fn known_ids(app: &App, ids: &[u32], at: &str) -> Result<(), ApiError> {
    let known = app.model.decoder().spec().vocab_size;
    match ids.iter().enumerate().find(|(_, id)| **id as usize >= known) {
        None => Ok(()),
        Some((index, id)) => {
            let problem = format!("is {id}, the vocabulary has {known} tokens");
            Err(ApiError::invalid(format!("{at}[{index}]"), problem))
        }
    }
}

/// Tokens of a prompt and its answer.
pub(crate) fn room(app: &App) -> usize {
    app.model.room()
}

/// Refuses a prompt that leaves no room for an answer.
fn fits(app: &App, prompt: &[u32], at: &str) -> Result<(), ApiError> {
    let room = room(app);
    if prompt.len() < room {
        return Ok(());
    }
    Err(ApiError::context_overflow(at, room, Some(prompt.len())))
}

fn choices(n: Option<i64>) -> Result<u32, ApiError> {
    match n {
        None => Ok(1),
        Some(n @ 1..=MOST_CHOICES) => Ok(n as u32),
        Some(n) => Err(ApiError::invalid("n", format!("is {n}, not 1 to {MOST_CHOICES}"))),
    }
}

fn top(count: Option<u64>, at: &str) -> Result<Option<usize>, ApiError> {
    match count {
        None => Ok(None),
        Some(count @ 0..=MOST_TOP) => Ok(Some(count as usize)),
        Some(count) => Err(ApiError::invalid(at, format!("is {count}, at most {MOST_TOP}"))),
    }
}

fn streaming(stream: Option<bool>, options: Option<&StreamOptions>) -> Streaming {
    let usage = options.and_then(|options| options.include_usage).unwrap_or(false);
    match (stream.unwrap_or(false), usage) {
        (false, _) => Streaming::No,
        (true, false) => Streaming::Chunks,
        (true, true) => Streaming::ChunksAndUsage,
    }
}

fn placed(steering: Option<&Steering>) -> Placed {
    if steering.is_some() { Placed::Yes } else { Placed::No }
}
