//! From a body to what is asked for: every field honoured, refused, or ignored by name.

use super::messages::conversation;
use crate::app::App;
use crate::cors::{IGNORED, SEED};
use crate::refusal::Refusal;
use crate::steer::{About, Guards, Resolved, Turns};
use crate::visit::random;
use crate::wire::chat::{ChatRequest, ResponseFormat, StreamOptions};
use crate::wire::completion::CompletionRequest;
use crate::wire::error::Code;
use crate::wire::flag::Flag;
use crate::wire::knobs::Knobs;
use crate::wire::receipt::{Replay, Turn};
use crate::wire::steering::Steering;
use crate::wire::union::{Prompt, Rest, names};
use axum::http::{HeaderMap, HeaderValue};
use std::collections::BTreeMap;
use std::sync::Arc;
use trimtab_runtime::generate::{Generation, Request};
use trimtab_runtime::logits::{Bias, LogitsProcessor, Penalties};
use trimtab_runtime::sample::SamplingParams;
use trimtab_runtime::text::{Control, Message};

/// Fields that would change an answer's shape.
const REFUSED: [&str; 8] = [
    "tools",
    "tool_choice",
    "functions",
    "function_call",
    "modalities",
    "audio",
    "prediction",
    "suffix",
];
/// Answers of one request.
const MOST_CHOICES: u64 = 8;
/// Stop texts of one request.
const MOST_STOPS: usize = 16;
/// Bytes of one of them: each is looked for after every token.
const LONGEST_STOP: usize = 1024;
/// Tokens listed beside each.
const MOST_TOP: u64 = 20;
/// The largest change of a logit.
const MOST_BIAS: f32 = 100.0;
/// Names of ignored fields that are told, and the characters of each.
const MOST_NAMES: usize = 16;
const LONGEST_NAME: usize = 64;

/// The shape of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// A message.
    Chat,
    /// A text.
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

/// Names of fields that nothing is done with: few, short, and fit for a header.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Ignored(Vec<String>);

impl Ignored {
    /// Notes the fields of an object.
    pub(crate) fn note(&mut self, object: &str, rest: &Rest) {
        for name in names(rest) {
            let name = if object.is_empty() { name.to_owned() } else { format!("{object}.{name}") };
            let fit = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
            let safe = name.chars().take(LONGEST_NAME).map(|c| if fit(c) { c } else { '?' });
            let safe: String = safe.collect();
            if self.0.len() < MOST_NAMES && !self.0.contains(&safe) {
                self.0.push(safe);
            }
        }
    }

    /// Puts them into the headers of a response.
    pub(crate) fn tell(&self, headers: &mut HeaderMap) {
        if let (false, Ok(value)) = (self.0.is_empty(), HeaderValue::from_str(&self.0.join(","))) {
            headers.insert(IGNORED, value);
        }
    }
}

/// The answers in the making, and what their guards write down.
pub(crate) type Made = (Vec<Generation>, Guards);

/// What is asked for, whichever route it came by.
pub(crate) struct Asked {
    pub(crate) form: Form,
    /// The model as it was asked for.
    pub(crate) model: String,
    pub(crate) prompt: Vec<u32>,
    /// What the user wants, in words, for whoever judges the answer.
    pub(crate) question: String,
    /// The prompt's text, if it is to be repeated.
    pub(crate) echo: Option<String>,
    pub(crate) choices: u32,
    /// Of the first choice.
    pub(crate) request: Request,
    /// Whether tokens come with their log-probabilities.
    pub(crate) logprobs: Option<usize>,
    pub(crate) streaming: Streaming,
    pub(crate) placed: Placed,
    pub(crate) resolved: Resolved,
    /// What asks for the same again.
    pub(crate) replay: Replay,
    pub(crate) ignored: Ignored,
}

impl Asked {
    /// The generations, each with its guard. What plan or guard cannot do on this model is refused here.
    pub(crate) fn generations(&self, app: &App) -> Result<Made, Refusal> {
        let mut made: Made = (Vec::new(), Guards::default());
        for choice in 0..self.choices {
            let session = app.model.session(self.resolved.plan.clone());
            let mut session = session.map_err(|error| Refusal::from(error).about("steering"))?;
            session.push_prompt(&self.prompt)?;
            let retries = self.resolved.retries();
            let request = Request { choice, retries, ..self.request.clone() };
            let tokenizer = app.model.tokenizer()?.clone();
            let mut generation = Generation::new(session, tokenizer, request)?;
            let about = About {
                library: &app.library,
                request: &self.question,
                turns: match self.form {
                    Form::Chat => Turns::Template,
                    Form::Text => Turns::Plain,
                },
                // Answers to one prompt are quoted between delimiters of their own.
                seed: self.request.seed.wrapping_add(choice.into()),
            };
            if let Some(guard) = self.resolved.guard(&about, &mut made.1)? {
                generation = generation.watched_by(guard);
            }
            made.0.push(generation);
        }
        Ok(made)
    }

    /// The prompt's tokens are those of a conversation.
    pub(crate) fn is_said(&mut self, turns: &[Turn]) {
        let messages =
            turns.iter().map(|turn| Message::new(turn.role.clone(), turn.content.clone()));
        self.form = Form::Chat;
        self.question = question(&messages.collect::<Vec<Message>>());
    }

    /// What the response's headers say.
    pub(crate) fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(SEED, HeaderValue::from(self.request.seed));
        self.ignored.tell(&mut headers);
        headers
    }

    /// The names of ignored fields.
    pub(crate) fn ignored(&self) -> &[String] {
        &self.ignored.0
    }
}

/// Understands a conversation.
pub(crate) fn chat(app: &App, body: ChatRequest) -> Result<Asked, Refusal> {
    let base = Base {
        model: &body.model,
        rest: &body.rest,
        format: body.response_format.as_ref(),
        options: body.stream_options.as_ref(),
    };
    let (preset, mut ignored) = base.check(app)?;
    let limits =
        [("max_tokens", body.max_tokens), ("max_completion_tokens", body.max_completion_tokens)];
    let mut request = request(app, &body.knobs(), &limits)?;
    let logprobs = match (body.logprobs, top(body.top_logprobs, "top_logprobs")?) {
        (Some(true), top) => Some(top.unwrap_or(0)),
        (_, Some(1..)) => {
            return Err(Refusal::invalid("top_logprobs", "needs logprobs to be true"));
        }
        (_, _) => None,
    };
    request.top_logprobs = logprobs.unwrap_or(0);
    let messages = conversation(&body.messages, &mut ignored)?;
    let prompt = app.model.chat_prompt(&messages);
    let prompt = prompt.map_err(|error| Refusal::from(error).about("messages"))?;
    fits(app, &prompt, "messages")?;
    let resolved = app.steering.resolve(body.steering.as_ref(), preset.as_deref(), &prompt)?;
    let choices = choices(body.n)?;
    let said =
        |message: &Message| Turn { role: message.role.clone(), content: message.content.clone() };
    let replay = Replay {
        messages: Some(messages.iter().map(said).collect()),
        ..replay(app, &body.knobs(), (&request, choices, prompt.len()), &resolved)
    };
    Ok(Asked {
        form: Form::Chat,
        choices,
        streaming: streaming(body.stream, body.stream_options.as_ref()),
        placed: placed(body.steering.as_ref()),
        model: body.model,
        echo: None,
        question: question(&messages),
        prompt,
        request,
        logprobs,
        resolved,
        replay,
        ignored,
    })
}

/// Understands a text that is to be continued.
pub(crate) fn completion(app: &App, body: CompletionRequest) -> Result<Asked, Refusal> {
    let base = Base {
        model: &body.model,
        rest: &body.rest,
        format: body.response_format.as_ref(),
        options: body.stream_options.as_ref(),
    };
    let (preset, ignored) = base.check(app)?;
    if body.best_of.is_some_and(|best| best != 1) {
        return Err(Refusal::unsupported("best_of", "answers are not compared; leave it out"));
    }
    let mut request = request(app, &body.knobs(), &[("max_tokens", body.max_tokens)])?;
    let logprobs = top(body.logprobs, "logprobs")?;
    request.top_logprobs = logprobs.unwrap_or(0);
    let prompt = prompt_of(app, &body.prompt, "prompt")?;
    let echo = match (body.echo, logprobs) {
        (Some(true), Some(_)) => {
            let why = "log-probabilities of a prompt are not computed; leave one of the two out";
            return Err(Refusal::unsupported("echo", why));
        }
        (Some(true), None) => Some(match &body.prompt {
            Prompt::Text(text) => text.clone(),
            Prompt::Ids(ids) => app.model.tokenizer()?.decode(ids, Control::Show),
        }),
        (_, _) => None,
    };
    let resolved = app.steering.resolve(body.steering.as_ref(), preset.as_deref(), &prompt)?;
    let choices = choices(body.n)?;
    let replay = Replay {
        prompt: Some(prompt.clone()),
        echo: echo.is_some().then_some(Flag::Yes),
        ..replay(app, &body.knobs(), (&request, choices, prompt.len()), &resolved)
    };
    Ok(Asked {
        form: Form::Text,
        choices,
        streaming: streaming(body.stream, body.stream_options.as_ref()),
        placed: placed(body.steering.as_ref()),
        model: body.model,
        echo,
        question: match body.prompt {
            Prompt::Text(text) => text,
            Prompt::Ids(ids) => app.model.tokenizer()?.decode(&ids, Control::Show),
        },
        prompt,
        request,
        logprobs,
        resolved,
        replay,
        ignored,
    })
}

/// What a user said last.
fn question(messages: &[Message]) -> String {
    let said = messages.iter().rev().find(|message| message.role == "user");
    said.map(|message| message.content.clone()).unwrap_or_default()
}

/// A body that asks for the same again, but for what is to be continued.
fn replay(
    app: &App,
    knobs: &Knobs,
    (request, choices, prompt): (&Request, u32, usize),
    resolved: &Resolved,
) -> Replay {
    // Where this context ended the answer, a larger one must not go on.
    let room = room(app).saturating_sub(prompt);
    let SamplingParams { temperature, top_k, top_p, min_p } = sampling(app, knobs);
    Replay {
        model: app.model.name().to_owned(),
        seed: request.seed,
        n: choices.into(),
        max_tokens: Some(request.max_tokens.map_or(room, |most| most.min(room)) as u64),
        temperature,
        top_p,
        top_k: top_k as u64,
        min_p,
        repeat_penalty: knobs.repeat_penalty,
        presence_penalty: knobs.presence_penalty,
        frequency_penalty: knobs.frequency_penalty,
        logit_bias: knobs.logit_bias.clone(),
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
    fn check(&self, app: &App) -> Result<(Option<String>, Ignored), Refusal> {
        if let Some(name) = names(self.rest).find(|name| REFUSED.contains(name)) {
            let why = "an answer to it has another shape; leave it out";
            return Err(Refusal::unsupported(name, why));
        }
        if let Some(format) = self.format.filter(|format| format.kind != "text") {
            let why = format!("{:?} constrains tokens, only text is served", format.kind);
            return Err(Refusal::unsupported("response_format", why));
        }
        let preset = served(app, self.model)?;
        let mut ignored = Ignored::default();
        ignored.note("", self.rest);
        if let Some(options) = self.options {
            ignored.note("stream_options", &options.rest);
        }
        Ok((preset, ignored))
    }
}

/// The preset of a model's name; a name that is not served is refused.
pub(crate) fn served(app: &App, name: &str) -> Result<Option<String>, Refusal> {
    if app.is_called(name) {
        return Ok(None);
    }
    let preset = name.rsplit_once('@').filter(|(base, _)| app.is_called(base));
    let preset = preset.map(|(_, preset)| preset.to_owned());
    if let Some(preset) = preset.filter(|preset| app.steering.presets().contains(preset)) {
        return Ok(Some(preset));
    }
    let message = format!("model {name:?} is not served; GET /v1/models lists what is");
    Err(Refusal::new(Code::ModelNotFound, message).at("model"))
}

/// The tokens of a prompt.
pub(crate) fn prompt_of(app: &App, prompt: &Prompt, at: &str) -> Result<Vec<u32>, Refusal> {
    let tokens = match prompt {
        Prompt::Text(text) => {
            app.model.text_prompt(text).map_err(|error| Refusal::from(error).about(at))?
        }
        Prompt::Ids(ids) => {
            known_ids(app, ids, at)?;
            ids.clone()
        }
    };
    if tokens.is_empty() {
        return Err(Refusal::invalid(at, "is empty, at least one token is needed"));
    }
    fits(app, &tokens, at)?;
    Ok(tokens)
}

/// Refuses ids that the model does not have.
pub(crate) fn known_ids(app: &App, ids: &[u32], at: &str) -> Result<(), Refusal> {
    let known = app.model.decoder().spec().vocab_size;
    match ids.iter().enumerate().find(|(_, id)| **id as usize >= known) {
        None => Ok(()),
        Some((index, id)) => {
            let problem = format!("is {id}, the vocabulary has {known} tokens");
            Err(Refusal::invalid(format!("{at}[{index}]"), problem))
        }
    }
}

/// Tokens of a prompt and its answer.
fn room(app: &App) -> usize {
    app.model.decoder().context().min(app.model.pool().tokens())
}

/// Refuses a prompt that leaves no room for an answer.
fn fits(app: &App, prompt: &[u32], at: &str) -> Result<(), Refusal> {
    let room = room(app);
    if prompt.len() < room {
        return Ok(());
    }
    let message =
        format!("{at} has {} tokens, the context holds {room} with the answer", prompt.len());
    Err(Refusal::new(Code::ContextLengthExceeded, message).at(at))
}

fn choices(n: Option<u64>) -> Result<u32, Refusal> {
    match n {
        None => Ok(1),
        Some(n @ 1..=MOST_CHOICES) => Ok(n as u32),
        Some(n) => Err(Refusal::invalid("n", format!("is {n}, not 1 to {MOST_CHOICES}"))),
    }
}

fn top(count: Option<u64>, at: &str) -> Result<Option<usize>, Refusal> {
    match count {
        None => Ok(None),
        Some(count @ 0..=MOST_TOP) => Ok(Some(count as usize)),
        Some(count) => Err(Refusal::invalid(at, format!("is {count}, at most {MOST_TOP}"))),
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

/// What was asked for, and the model's defaults for the rest.
fn sampling(app: &App, knobs: &Knobs) -> SamplingParams {
    let model = app.model.sampling();
    SamplingParams {
        temperature: knobs.temperature.unwrap_or(model.temperature),
        top_k: knobs.top_k.map_or(model.top_k, |k| usize::try_from(k).unwrap_or(usize::MAX)),
        top_p: knobs.top_p.unwrap_or(model.top_p),
        min_p: knobs.min_p.unwrap_or(model.min_p),
    }
}

/// How the tokens of an answer are chosen.
fn request(app: &App, knobs: &Knobs, limits: &[(&str, Option<u64>)]) -> Result<Request, Refusal> {
    Ok(Request {
        sampling: sampling(app, knobs).check()?,
        seed: seed(knobs.seed)?,
        max_tokens: max_tokens(limits)?,
        processors: processors(app, knobs)?,
        stop: stops(knobs)?,
        ..Request::default()
    })
}

fn seed(given: Option<i64>) -> Result<u64, Refusal> {
    match given {
        // 53 bits, so that every JSON reader keeps them.
        None | Some(-1) => Ok(random() >> 11),
        Some(seed) => u64::try_from(seed).map_err(|_| {
            Refusal::invalid("seed", format!("is {seed}, not 0 or more; -1 draws one"))
        }),
    }
}

fn max_tokens(limits: &[(&str, Option<u64>)]) -> Result<Option<usize>, Refusal> {
    let mut given: Option<u64> = None;
    for (name, limit) in limits {
        match (limit, given) {
            (Some(0), _) => return Err(Refusal::invalid(*name, "is 0, at least 1 is needed")),
            (Some(limit), Some(other)) if *limit != other => {
                let problem = format!("is {limit} and max_tokens is {other}; give one of them");
                return Err(Refusal::invalid(*name, problem));
            }
            (limit, _) => given = limit.or(given),
        }
    }
    Ok(given.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX)))
}

fn stops(knobs: &Knobs) -> Result<Vec<String>, Refusal> {
    let stops = knobs.stop.clone().unwrap_or_default().0;
    if stops.len() > MOST_STOPS {
        let problem = format!("has {} texts, at most {MOST_STOPS}", stops.len());
        return Err(Refusal::invalid("stop", problem));
    }
    for (index, stop) in stops.iter().enumerate() {
        let at = || if stops.len() == 1 { "stop".to_owned() } else { format!("stop[{index}]") };
        if stop.is_empty() {
            return Err(Refusal::invalid(at(), "is empty, which would end every answer"));
        }
        if stop.len() > LONGEST_STOP {
            let problem = format!("has {} bytes, at most {LONGEST_STOP}", stop.len());
            return Err(Refusal::invalid(at(), problem));
        }
    }
    Ok(stops)
}

fn processors(app: &App, knobs: &Knobs) -> Result<Vec<Arc<dyn LogitsProcessor>>, Refusal> {
    let none = Penalties::default();
    let penalties = Penalties {
        repeat: knobs.repeat_penalty.unwrap_or(none.repeat),
        presence: knobs.presence_penalty.unwrap_or(none.presence),
        frequency: knobs.frequency_penalty.unwrap_or(none.frequency),
    }
    .check()?;
    let mut processors: Vec<Arc<dyn LogitsProcessor>> = Vec::new();
    if !penalties.is_none() {
        processors.push(Arc::new(penalties));
    }
    if let Some(bias) = knobs.logit_bias.as_ref().filter(|bias| !bias.is_empty()) {
        processors.push(Arc::new(Bias::new(biases(app, bias)?)?));
    }
    Ok(processors)
}

fn biases(app: &App, given: &BTreeMap<String, f32>) -> Result<BTreeMap<u32, f32>, Refusal> {
    let known = app.model.decoder().spec().vocab_size;
    let mut biases = BTreeMap::new();
    for (id, bias) in given {
        let at = || format!("logit_bias.{id}");
        let token = id.parse::<u32>().ok().filter(|token| (*token as usize) < known);
        let Some(token) = token else {
            let problem = format!("is no token id; the vocabulary has {known} tokens");
            return Err(Refusal::invalid(at(), problem));
        };
        if bias.abs() > MOST_BIAS {
            let problem = format!("is {bias}, not between -{MOST_BIAS} and {MOST_BIAS}");
            return Err(Refusal::invalid(at(), problem));
        }
        biases.insert(token, *bias);
    }
    Ok(biases)
}
