//! A conversation as a prompt: the variables of the model's template, and where the prompt ends.

use super::Ignored;
use crate::app::App;
use crate::error::ApiError;
use serde_json::Value;
use trimtab_runtime::text::{
    Error as Text, GenerationPrompt, Message, Origin, RenderOptions, Rendered, Segment, Tokenizer,
    Variables, check_variables,
};

/// Variables in one request: each is looked for in the template.
const MOST_VARIABLES: usize = 64;
const KWARGS: &str = "chat_template_kwargs";
const EFFORT: &str = "reasoning_effort";

/// Where a prompt ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// With the beginning of an answer.
    Answer,
    /// With the last message.
    Message,
    /// Inside the last message, which the answer goes on with.
    Inside,
}

/// What a request says about its prompt beside the messages.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    kwargs: Option<Variables>,
    effort: Option<String>,
    add: Option<bool>,
    inside: Option<bool>,
}

impl Wanted {
    /// Of the fields `chat_template_kwargs` and `reasoning_effort`, `add_generation_prompt` and `continue_final_message`.
    pub(crate) fn new(
        (kwargs, effort): (Option<Variables>, Option<String>),
        (add, inside): (Option<bool>, Option<bool>),
    ) -> Wanted {
        Wanted { kwargs, effort, add, inside }
    }

    fn end(&self) -> Result<End, ApiError> {
        match (self.inside.unwrap_or(false), self.add) {
            (true, Some(true)) => {
                let problem =
                    "is true beside continue_final_message: an answer begins or goes on, not both";
                Err(ApiError::invalid("add_generation_prompt", problem))
            }
            (true, _) => Ok(End::Inside),
            (false, Some(false)) => Ok(End::Message),
            (false, _) => Ok(End::Answer),
        }
    }

    /// The variables of the request: its effort, above it those it names. They stand above the template's.
    fn variables(&self, app: &App, ignored: &mut Ignored) -> Result<Variables, ApiError> {
        let template = app.model.template().ok();
        let reads = |name: &str| template.is_some_and(|template| template.reads(name));
        let tokenizer = app.model.tokenizer()?;
        let mut all = Variables::new();
        if let Some(effort) = &self.effort {
            let effort = Value::from(effort.as_str());
            harmless(tokenizer, EFFORT, &effort)?;
            if !reads(EFFORT) {
                ignored.add("", EFFORT);
            }
            all.insert(EFFORT.to_owned(), effort);
        }
        let own = self.kwargs.clone().unwrap_or_default();
        if own.len() > MOST_VARIABLES {
            let problem = format!("has {} variables, at most {MOST_VARIABLES}", own.len());
            return Err(ApiError::invalid(KWARGS, problem));
        }
        if let Err(Text::ReservedVariable { name }) = check_variables(&own) {
            let why = "the server sets it itself; leave it out";
            return Err(ApiError::unsupported(format!("{KWARGS}.{name}"), why));
        }
        for (name, value) in own {
            harmless(tokenizer, &format!("{KWARGS}.{name}"), &value)?;
            if !reads(&name) {
                ignored.add(KWARGS, &name);
            }
            all.insert(name, value);
        }
        Ok(all)
    }
}

/// Refuses a variable that spells a control token: a template trusts its variables as it does itself.
fn harmless(tokenizer: &Tokenizer, at: &str, value: &Value) -> Result<(), ApiError> {
    let spelled = |text: &str| tokenizer.spelled_control(text).map(str::to_owned);
    let found = match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
        Value::String(text) => spelled(text),
        Value::Array(list) => return list.iter().try_for_each(|one| harmless(tokenizer, at, one)),
        Value::Object(object) => {
            object.values().try_for_each(|one| harmless(tokenizer, at, one))?;
            object.keys().find_map(|key| spelled(key))
        }
    };
    match found {
        None => Ok(()),
        Some(token) => {
            Err(ApiError::invalid(at, format!("spells the control token {token}; leave it out")))
        }
    }
}

pub(crate) struct RenderedPrompt {
    pub(crate) rendered: Rendered,
    /// All variables, the template's own among them.
    pub(crate) kwargs: Variables,
    pub(crate) end: End,
}

/// Writes a conversation as the model's template does.
pub(crate) fn render(
    app: &App,
    messages: &[Message],
    wanted: &Wanted,
    ignored: &mut Ignored,
) -> Result<RenderedPrompt, ApiError> {
    let end = wanted.end()?;
    let extra = wanted.variables(app, ignored)?;
    let mut kwargs = app.model.template()?.variables().clone();
    kwargs.extend(extra.clone());
    let generation_prompt = match end {
        End::Answer => GenerationPrompt::Add,
        End::Message | End::Inside => GenerationPrompt::Leave,
    };
    let options = RenderOptions { generation_prompt, extra, ..RenderOptions::default() };
    let rendered = app.model.template()?.render(messages, &options);
    let mut rendered = rendered.map_err(|error| ApiError::from(error).about("messages"))?;
    if end == End::Inside {
        rendered = inside(&rendered, messages)?;
    }
    Ok(RenderedPrompt { rendered, kwargs, end })
}

/// The prompt up to where the last message's text ends.
fn inside(rendered: &Rendered, messages: &[Message]) -> Result<Rendered, ApiError> {
    let refuse = |problem: &str| Err(ApiError::invalid("continue_final_message", problem));
    let last = messages.last().filter(|last| matches!(last.role.as_str(), "assistant" | "model"));
    let Some(said) = last.map(|last| last.content.as_str()) else {
        return refuse("is true, and the last message is not an assistant's");
    };
    if said.trim().is_empty() {
        return refuse("is true, and the last message says nothing; leave the message out");
    }
    let of_message = |segment: &Segment| segment.origin == Origin::Content;
    let at = rendered.segments.iter().rposition(of_message);
    let (before, from) = rendered.segments.split_at(at.unwrap_or_default());
    let own = from.first().filter(|own| of_message(own)).map(|own| own.text.trim_end());
    // A template that drops or rewrites the message leaves no place in it to go on from.
    let Some(own) =
        own.filter(|own| !own.trim().is_empty() && said.trim_end().ends_with(own.trim()))
    else {
        return refuse(
            "is true, and the model's template does not write the last message as it is",
        );
    };
    // White space at the end of a message may count as the template's.
    let behind: String = from.iter().map(|segment| segment.text.as_str()).collect();
    let space = said.get(said.trim_end().len()..).unwrap_or_default();
    let kept = behind.get(own.len()..).is_some_and(|behind| behind.starts_with(space));
    let text = format!("{own}{}", if kept { space } else { "" });
    let mut segments = before.to_vec();
    segments.push(Segment { text, origin: Origin::Content });
    Ok(Rendered { segments })
}

/// The tokens of a rendered conversation.
pub(crate) fn tokens(app: &App, rendered: &Rendered) -> Result<Vec<u32>, ApiError> {
    let tokens = app.model.rendered_prompt_within(rendered);
    tokens.map_err(|error| ApiError::of_prompt(error, "messages"))
}
