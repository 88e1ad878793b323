//! What `chat` and `generate` are to do.

use super::args::GenerateArgs;
use crate::console::Form;
use crate::error::{Error, Result};
use crate::flags::model::{Opening, variables};
use crate::flags::monitor::Monitors;
use crate::flags::sampling::Sampling;
use crate::flags::vectors::Vectors;
use crate::flags::{Named, named};
use std::path::PathBuf;
use trimtab_runtime::text::Special;

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
pub fn both(vectors: &Vectors) -> Result<Arms> {
    match vectors.is_empty() {
        true => Err(Error::usage("--compare", "needs a vector: --steer FILE")),
        false => Ok(Arms::Both),
    }
}

/// A template writes control tokens itself; only a text to continue can spell them.
fn prompt_form(args: &GenerateArgs) -> Result<PromptForm> {
    match (args.raw, args.special) {
        (true, true) => Ok(PromptForm::Raw(Special::Parse)),
        (true, false) => Ok(PromptForm::Raw(Special::Plain)),
        (false, false) => Ok(PromptForm::Message),
        (false, true) => {
            Err(Error::usage("--special", "needs --raw: a message never holds control tokens"))
        }
    }
}

pub fn generate(args: GenerateArgs, form: Form) -> Result<Generate> {
    let delivery = match (args.stream, args.no_stream, form) {
        (true, _, _) => Delivery::Stream,
        (false, true, _) | (false, false, Form::Json) => Delivery::Whole,
        (false, false, Form::Text) => Delivery::ByTerminal,
    };
    if args.logprobs.is_some() && (form != Form::Json || delivery != Delivery::Whole) {
        return Err(Error::usage("--logprobs", "needs --json without --stream"));
    }
    let form_of_prompt = prompt_form(&args)?;
    let vectors = Vectors::of(args.vectors)?;
    let arms = if args.compare { both(&vectors)? } else { Arms::One };
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
        form: form_of_prompt,
        delivery,
        logprobs: args.logprobs,
    })
}

/// Answers that are made again.
#[derive(Debug, PartialEq)]
pub struct Replay {
    /// The model.
    pub opening: Opening,
    /// The receipt, or the response around it.
    pub receipt: PathBuf,
    /// The vectors that the receipt names.
    pub vectors: Vec<Named>,
}

/// The replay, if one is asked for.
pub fn replay(args: GenerateArgs) -> Result<Replay> {
    let Some(receipt) = args.replay else {
        return Err(Error::usage("--replay", "is missing"));
    };
    let vectors = args.vector.iter().map(|text| named(text)).collect::<Result<_>>()?;
    Ok(Replay { opening: Opening::of(args.model)?, receipt, vectors })
}
