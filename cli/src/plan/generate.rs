//! What `chat` and `generate` are to do.

use super::{Form, Monitors, Opening, Sampling, Vectors, choose, variables};
use crate::args::{ChatArgs, GenerateArgs, Switch};
use crate::error::{Error, Result};
use std::path::PathBuf;
use trimtab_runtime::text::Special;

/// A conversation.
#[derive(Debug, PartialEq)]
pub struct Chat {
    /// The model.
    pub opening: Opening,
    /// How answers are made.
    pub sampling: Sampling,
    /// What the model is told first.
    pub system: Option<String>,
    /// What steers.
    pub vectors: Vectors,
    /// Who watches.
    pub monitors: Monitors,
    /// Which answers are made.
    pub arms: Arms,
}

/// Which answers are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arms {
    /// One, steered if a vector is given.
    One,
    /// A plain one, then a steered one.
    Both,
}

/// One answer.
#[derive(Debug, PartialEq)]
pub struct Generate {
    /// The model.
    pub opening: Opening,
    /// How the answer is made.
    pub sampling: Sampling,
    /// Where the prompt comes from.
    pub prompt: Prompt,
    /// What the prompt is.
    pub form: PromptForm,
    /// When text is printed.
    pub delivery: Delivery,
    /// How many likely tokens each step lists.
    pub logprobs: Option<usize>,
    /// What steers.
    pub vectors: Vectors,
    /// Who watches.
    pub monitors: Monitors,
    /// Which answers are made.
    pub arms: Arms,
}

/// Where a prompt comes from.
#[derive(Debug, PartialEq, Eq)]
pub enum Prompt {
    /// It was typed.
    Text(String),
    /// A file holds it.
    File(PathBuf),
    /// Standard input.
    Stdin,
}

/// What a prompt is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PromptForm {
    /// A user's message, under the chat template.
    Message,
    /// A text to continue, and what control tokens in it are.
    Raw(Special),
}

/// When text is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// As it comes.
    Stream,
    /// When it is complete.
    Whole,
    /// As it comes on a terminal.
    ByTerminal,
}

/// Both answers, where there is something to compare.
fn arms(compare: Switch, vectors: &Vectors) -> Result<Arms> {
    if compare.is_on() && vectors.is_empty() {
        return Err(Error::usage("--compare", "needs a vector: --steer FILE"));
    }
    Ok(choose(compare, Arms::Both, Arms::One))
}

pub(super) fn chat(args: ChatArgs) -> Result<Chat> {
    let vectors = Vectors::of(args.vectors)?;
    Ok(Chat {
        arms: arms(args.compare, &vectors)?,
        vectors,
        monitors: Monitors::of(args.monitor)?,
        opening: Opening { variables: variables(args.template)?, ..Opening::of(args.model)? },
        sampling: Sampling::of(args.sampling)?,
        system: args.system_prompt,
    })
}

/// A template writes control tokens itself; only a text to continue can spell them.
fn prompt_form(raw: Switch, special: Switch) -> Result<PromptForm> {
    match (raw.is_on(), special.is_on()) {
        (true, _) => Ok(PromptForm::Raw(choose(special, Special::Parse, Special::Plain))),
        (false, false) => Ok(PromptForm::Message),
        (false, true) => {
            Err(Error::usage("--special", "needs --raw: a message never holds control tokens"))
        }
    }
}

pub(super) fn generate(args: GenerateArgs, form: Form) -> Result<Generate> {
    let delivery = match (args.stream.is_on(), args.no_stream.is_on(), form) {
        (true, _, _) => Delivery::Stream,
        (false, true, _) | (false, false, Form::Json) => Delivery::Whole,
        (false, false, Form::Text) => Delivery::ByTerminal,
    };
    if args.logprobs.is_some() && (form != Form::Json || delivery != Delivery::Whole) {
        return Err(Error::usage("--logprobs", "needs --json without --stream"));
    }
    let vectors = Vectors::of(args.vectors)?;
    let arms = arms(args.compare, &vectors)?;
    if arms == Arms::Both && form == Form::Json && delivery == Delivery::Stream {
        return Err(Error::usage("--compare", "with --json excludes --stream"));
    }
    Ok(Generate {
        vectors,
        arms,
        monitors: Monitors::of(args.monitor)?,
        opening: Opening { variables: variables(args.template)?, ..Opening::of(args.model)? },
        sampling: Sampling::of(args.sampling)?,
        prompt: match (args.prompt, args.file) {
            (Some(text), _) => Prompt::Text(text),
            (None, Some(file)) => Prompt::File(file),
            (None, None) => Prompt::Stdin,
        },
        form: prompt_form(args.raw, args.special)?,
        delivery,
        logprobs: args.logprobs,
    })
}
