//! From a body to what is asked for: every field honoured, refused, or ignored by name.

use super::choose::{choices, request, sampling, top};
use super::ignored::Ignored;
use super::messages::conversation;
use super::render::{self, End, RenderedPrompt, Wanted};
use super::shape;
use crate::adapt::{Adapted, Setting};
use crate::app::App;
use crate::error::ApiError;
use crate::steer::{Guards, Now, Objects, Resolved};
use crate::wire::chat::ChatRequest;
use crate::wire::completion::CompletionRequest;
use crate::wire::error::Code;
use crate::wire::feedback::Question;
use crate::wire::receipt::{AdapterReceipt, Replay, Turn};
use crate::wire::sampling::GenerationFields;
use crate::wire::steering::{Level, Steering};
use crate::wire::union::{Inputs, Prompt};
use trimtab_adapters::host::RecordingHandle;
use trimtab_runtime::generate::{Generation, Request};
use trimtab_runtime::plan::Plan;
use trimtab_runtime::sample::SamplingParams;
use trimtab_runtime::text::{Control, Message, Special};
use trimtab_steering::spec::{GuardTerms, Turns};

/// Answers to all prompts of one request.
const MOST_ANSWERS: usize = 256;
/// Prompts of one request that brings vectors or a monitor or wants full receipts: each prompt has all that for itself.
const MOST_STEERED: usize = 8;
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

/// The answers in the making.
#[derive(Default)]
pub(crate) struct Made {
    pub(crate) generations: Vec<Generation>,
    /// What their guards write down.
    pub(crate) guards: Guards,
    /// What is kept of them for learning, in their order.
    pub(crate) recordings: Vec<Option<RecordingHandle>>,
}

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
    /// What its answers are made with beside that.
    pub(crate) taught: Option<Taught>,
}

/// What a prompt's answers have of an adapter.
pub(crate) struct Taught {
    /// What receipts say of it.
    pub(crate) receipt: AdapterReceipt,
    /// The plan without it.
    pub(crate) bare: Plan,
}

/// What is asked for, whichever route it came by.
pub(crate) struct GenerateJob {
    pub(crate) form: Form,
    /// What bodies of both routes say.
    pub(crate) fields: GenerationFields,
    /// The preset that the model's name asks for.
    preset: Option<String>,
    /// At least one. The answers to a prompt are those that it would get alone.
    pub(crate) prompts: Vec<Prompted>,
    /// Answers to each prompt.
    pub(crate) choices: u32,
    /// Of the first choice.
    pub(crate) request: Request,
    /// Whether tokens come with their log-probabilities, and how many of the most likely ones beside each.
    pub(crate) logprobs: Option<usize>,
    pub(crate) ignored: Ignored,
    /// The adapter that answers are made with.
    pub(crate) adapted: Option<Adapted>,
}

/// What bodies of both routes say, and the adapter that they name.
pub(crate) type Admitted = (GenerationFields, Option<Adapted>);

impl GenerateJob {
    /// Understands what both routes share; `most` is chat's other limit on the tokens of an answer.
    fn new(
        app: &App,
        (fields, adapted): Admitted,
        most: Option<i64>,
        logprobs: Option<usize>,
    ) -> Result<GenerateJob, ApiError> {
        shape::plain(&fields.rest)?;
        let format = fields.response_format.as_ref();
        if let Some(format) = format.filter(|format| format.kind != "text") {
            let why = format!("{:?} constrains tokens, only text is served", format.kind);
            return Err(ApiError::unsupported("response_format", why));
        }
        let preset = served(app, &fields.model)?;
        let mut ignored = Ignored::default();
        ignored.note("", &fields.rest);
        if let Some(options) = &fields.stream_options {
            ignored.note("stream_options", &options.rest);
        }
        if let Some(format) = format {
            ignored.note("response_format", &format.rest);
        }
        let limits = [("max_tokens", fields.max_tokens), ("max_completion_tokens", most)];
        let request = request(app, &fields, &limits)?;
        Ok(GenerateJob {
            form: Form::Text,
            preset,
            prompts: Vec::new(),
            choices: choices(fields.n, adapted.as_ref())?,
            request: Request { top_logprobs: logprobs.unwrap_or(0), ..request },
            logprobs,
            ignored,
            fields,
            adapted,
        })
    }

    /// A prompt with what it is steered by, and a body that asks for the same again but for what is to be continued.
    fn prompted(
        &self,
        app: &App,
        now: &Now<'_>,
        (tokens, question): (Vec<u32>, String),
        setting: Option<&Setting>,
    ) -> Result<Prompted, ApiError> {
        let (asked, preset) = (self.fields.steering.as_ref(), self.preset.as_deref());
        let objects = Objects { asked, preset, setting: setting.and_then(Setting::layer) };
        let resolved = now.resolve_set(&objects, Some(&tokens))?;
        let (resolved, taught) = self.taught(resolved, tokens.len(), setting)?;
        // Where this context ended the answer, a larger one must not go on.
        let room = app.model.room().saturating_sub(tokens.len());
        let (fields, request) = (&self.fields, &self.request);
        let SamplingParams { temperature, top_k, top_p, min_p } = sampling(app, fields);
        let replay = Replay {
            model: app.model.name().to_owned(),
            seed: request.seed,
            n: self.shown().into(),
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
        };
        Ok(Prompted { tokens, question, echo: None, resolved, replay, taught })
    }

    /// What a prompt is resolved to with the adapter in force, and what is to be told and kept of that.
    fn taught(
        &self,
        mut resolved: Resolved,
        prompt: usize,
        setting: Option<&Setting>,
    ) -> Result<(Resolved, Option<Taught>), ApiError> {
        let Some(adapted) = &self.adapted else { return Ok((resolved, None)) };
        resolved.request.adapt.clone_from(&adapted.again);
        resolved.warnings.extend(adapted.learning.warning().map(str::to_owned));
        let bare = resolved.lowered.plan.clone();
        let resolved = resolved.with_plans(prompt, |plan| adapted.plan(setting, plan))?;
        Ok((resolved, Some(Taught { receipt: adapted.receipt(setting), bare })))
    }

    /// Answers to each prompt that are shown.
    pub(crate) fn shown(&self) -> u32 {
        match self.adapted.as_ref().is_some_and(Adapted::picks) {
            true => 1,
            false => self.choices,
        }
    }

    pub(crate) fn streaming(&self) -> Streaming {
        let options = self.fields.stream_options.as_ref();
        let usage = options.and_then(|options| options.include_usage).unwrap_or(false);
        match (self.fields.stream.unwrap_or(false), usage) {
            (false, _) => Streaming::No,
            (true, false) => Streaming::Chunks,
            (true, true) => Streaming::ChunksAndUsage,
        }
    }

    pub(crate) fn placed(&self) -> Placed {
        if self.fields.steering.is_some() { Placed::Yes } else { Placed::No }
    }

    /// The generations in the order of their choices: all of the first prompt, then those of the next. Each has its guard.
    /// What plan or guard cannot do on this model is refused here.
    pub(crate) fn generations(&self, app: &App) -> Result<Made, ApiError> {
        let mut made = Made::default();
        for prompt in &self.prompts {
            for choice in 0..self.choices {
                let generation = self.generation(app, (prompt, choice), &mut made)?;
                made.generations.push(generation);
            }
        }
        Ok(made)
    }

    fn generation(
        &self,
        app: &App,
        (prompt, choice): (&Prompted, u32),
        made: &mut Made,
    ) -> Result<Generation, ApiError> {
        let session = app.model.session(prompt.resolved.lowered.plan.clone());
        let mut session = session.map_err(|error| ApiError::from(error).about("steering"))?;
        session.push_prompt(&prompt.tokens)?;
        let retries = prompt.resolved.retries();
        let request = Request { choice, retries, ..self.request.clone() };
        let request = match &self.adapted {
            Some(adapted) => adapted.pinned.request(request),
            None => request,
        };
        let generation = Generation::new(session, app.model.tokenizer()?.clone(), request)?;
        let generation = self.recorded(generation, prompt.resolved.level, made);
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
        Ok(match prompt.resolved.guard(&terms, &mut made.guards)? {
            Some(guard) => generation.watched_by(guard),
            None => generation,
        })
    }

    /// The recorder comes before the guard, so that it hears of every token, those too that are taken back.
    fn recorded(&self, generation: Generation, level: Level, made: &mut Made) -> Generation {
        match self.adapted.as_ref().and_then(|adapted| adapted.recorder(level)) {
            None => {
                made.recordings.push(None);
                generation
            }
            Some((recorder, recording)) => {
                made.recordings.push(Some(recording));
                generation.watched_by(recorder)
            }
        }
    }

    /// Tokens of all prompts.
    pub(crate) fn prompt_tokens(&self) -> usize {
        self.prompts.iter().map(|prompt| prompt.tokens.len()).sum()
    }
}

/// Understands a conversation that wants an answer.
pub(crate) fn chat(
    app: &App,
    body: ChatRequest,
    admitted: Admitted,
) -> Result<GenerateJob, ApiError> {
    let logprobs = match (body.logprobs, top(body.top_logprobs, "top_logprobs")?) {
        (Some(true), top) => Some(top.unwrap_or(0)),
        (_, Some(1..)) => {
            return Err(ApiError::invalid("top_logprobs", "needs logprobs to be true"));
        }
        (_, _) => None,
    };
    let mut job = GenerateJob::new(app, admitted, body.max_completion_tokens, logprobs)?;
    let messages = conversation(app, &body.messages, &mut job.ignored)?;
    let variables = (body.chat_template_kwargs, body.reasoning_effort);
    let end = (body.add_generation_prompt, body.continue_final_message);
    said(app, job, &messages, &Wanted::new(variables, end))
}

fn said(
    app: &App,
    mut job: GenerateJob,
    messages: &[Message],
    wanted: &Wanted,
) -> Result<GenerateJob, ApiError> {
    let (adapted, now) = (job.adapted.clone(), app.steering.now());
    let settings = adapted.as_ref().map_or_else(|| vec![None], Adapted::settings);
    job.form = Form::Chat;
    for setting in settings {
        let told = setting.map(|setting| setting.instruct(messages));
        let messages = told.as_deref().unwrap_or(messages);
        let rendered = render::render(app, messages, wanted, &mut job.ignored)?;
        let prompt = conversed(app, &job, (&now, setting), (messages, rendered))?;
        job.prompts.push(prompt);
    }
    Ok(job)
}

/// One conversation as a prompt.
fn conversed(
    app: &App,
    job: &GenerateJob,
    (now, setting): (&Now<'_>, Option<&Setting>),
    (messages, rendered): (&[Message], RenderedPrompt),
) -> Result<Prompted, ApiError> {
    let RenderedPrompt { rendered, kwargs, end } = rendered;
    let tokens = render::tokens(app, &rendered)?;
    fits(app, &tokens, "messages")?;
    let prompted = job.prompted(app, now, (tokens, question(messages)), setting)?;
    let turn = |said: &Message| Turn { role: said.role.clone(), content: said.content.clone() };
    let replay = Replay {
        messages: Some(messages.iter().map(turn).collect()),
        chat_template_kwargs: kwargs,
        add_generation_prompt: (end == End::Message).then_some(false),
        continue_final_message: (end == End::Inside).then_some(true),
        ..prompted.replay
    };
    Ok(Prompted { replay, ..prompted })
}

/// The tokens of what was asked elsewhere: as the model's users ask it, or as it is where the model has no template.
pub(crate) fn asked(app: &App, question: &Question) -> Result<Vec<u32>, ApiError> {
    let mut ignored = Ignored::default();
    let messages = match question {
        Question::Prompt(text) if app.model.template().is_err() => {
            return prompt_of(app, &Prompt::Text(text.clone()), ("prompt", Special::Plain));
        }
        Question::Prompt(text) => vec![Message::new("user", text.clone())],
        Question::Messages(messages) => conversation(app, messages, &mut ignored)?,
    };
    let wanted = Wanted::new((None, None), (None, None));
    let rendered = render::render(app, &messages, &wanted, &mut ignored)?;
    let tokens = render::tokens(app, &rendered.rendered)?;
    fits(app, &tokens, "messages")?;
    Ok(tokens)
}

/// Understands texts that are to be continued.
pub(crate) fn completion(
    app: &App,
    body: CompletionRequest,
    admitted: Admitted,
) -> Result<GenerateJob, ApiError> {
    scored(&body)?;
    let job = GenerateJob::new(app, admitted, None, top(body.logprobs, "logprobs")?)?;
    continues(&job, &body)?;
    if body.best_of.is_some_and(|best| best > u64::from(job.choices)) {
        let why = "answers are not compared; leave it out, or ask for as many with n";
        return Err(ApiError::unsupported("best_of", why));
    }
    let special = match body.parse_special {
        Some(true) => Special::Parse,
        Some(false) | None => Special::Plain,
    };
    let texts = texts(&body.prompt, job.choices)?;
    continued(app, job, texts, (special, body.echo))
}

fn continued(
    app: &App,
    mut job: GenerateJob,
    texts: Vec<(String, &Prompt)>,
    (special, echo): (Special, Option<bool>),
) -> Result<GenerateJob, ApiError> {
    let (now, count) = (app.steering.now(), texts.len());
    for (at, prompt) in texts {
        let tokens = prompt_of(app, prompt, (&at, special))?;
        if special == Special::Plain && !job.ignored.warns() {
            stays_text(app, prompt, (&at, &mut job.ignored))?;
        }
        let text = match prompt {
            Prompt::Text(text) => text.clone(),
            Prompt::Ids(ids) => app.model.tokenizer()?.decode(ids, Control::Show),
        };
        let echo = (echo == Some(true)).then(|| text.clone());
        let prompted = job.prompted(app, &now, (tokens, text), None)?;
        few(count, job.fields.steering.as_ref(), &prompted.resolved)?;
        let replay = Replay {
            prompt: Some(prompted.tokens.clone()),
            echo: echo.is_some().then_some(true),
            ..prompted.replay
        };
        job.prompts.push(Prompted { echo, replay, ..prompted });
    }
    Ok(job)
}

/// What a receipt asks for again, on its prompt's tokens where there are any: with them nothing is left to render.
pub(crate) fn again(
    app: &App,
    replay: Replay,
    prompt: Option<Vec<u32>>,
) -> Result<GenerateJob, ApiError> {
    let prompt = prompt.or_else(|| replay.prompt.clone());
    let message = |turn: &Turn| Message::new(turn.role.clone(), turn.content.clone());
    let messages: Option<Vec<Message>> =
        replay.messages.as_ref().map(|turns| turns.iter().map(message).collect());
    if messages.as_ref().is_some_and(Vec::is_empty) {
        return Err(ApiError::invalid("messages", "is empty, at least one is needed"));
    }
    let variables = (Some(replay.chat_template_kwargs.clone()), None);
    let end = (replay.add_generation_prompt, replay.continue_final_message);
    let (wanted, echo) = (Wanted::new(variables, end), replay.echo);
    // The weights are those of the receipt, whatever the model's name is here.
    let fields = GenerationFields { model: app.name().to_owned(), ..replay.fields() };
    if fields.steering.as_ref().is_some_and(|steering| steering.adapt.is_some()) {
        let why = "the answer was made with an adapter; send the receipt's request to the server that keeps it";
        return Err(ApiError::unsupported("request.steering.adapt", why));
    }
    let job = GenerateJob::new(app, (fields, None), None, None)?;
    match (prompt, messages) {
        (Some(ids), messages) => {
            let prompt = Prompt::Ids(ids);
            let texts = vec![("prompt".to_owned(), &prompt)];
            let mut job = continued(app, job, texts, (Special::Plain, echo))?;
            if let Some(messages) = messages {
                // The tokens are those of a conversation: guards guide and judge it as one.
                job.form = Form::Chat;
                job.prompts.iter_mut().for_each(|prompt| prompt.question = question(&messages));
            }
            Ok(job)
        }
        (None, Some(messages)) => said(app, job, &messages, &wanted),
        (None, None) => Err(ApiError::invalid("request", "has neither messages nor a prompt")),
    }
}

/// Refuses what an adapter wants done and a text has no place for.
fn continues(job: &GenerateJob, body: &CompletionRequest) -> Result<(), ApiError> {
    let Some(adapted) = &job.adapted else { return Ok(()) };
    if adapted.settings().iter().any(Option::is_some) {
        let why = "its settings are for conversations; use /v1/chat/completions";
        return Err(ApiError::unsupported("steering.adapt.adapter", why));
    }
    let several = matches!(&body.prompt, Inputs::Many(all) if all.len() > 1);
    if several && adapted.is_alone() {
        let why = "several prompts are, where an adapter chooses between answers; send one";
        return Err(ApiError::unsupported("prompt", why));
    }
    Ok(())
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

/// Refuses a prompt that leaves no room for an answer.
fn fits(app: &App, prompt: &[u32], at: &str) -> Result<(), ApiError> {
    let room = app.model.room();
    if prompt.len() < room {
        return Ok(());
    }
    Err(ApiError::context_overflow(at, room, Some(prompt.len())))
}
