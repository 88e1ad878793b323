//! What `generate` is to do.

use super::args::GenerateArgs;
use crate::console::Form;
use crate::error::{Error, Result};
use crate::flags::answer::{AnswerPlan, Arms};
use std::path::PathBuf;
use trimtab_runtime::text::Special;

#[derive(Debug)]
pub struct Generate {
    pub how: AnswerPlan,
    /// The prompt, where it was typed.
    pub prompt: Option<String>,
    /// A file with the prompt; without a prompt or a file, standard input has it.
    pub file: Option<PathBuf>,
    pub form: PromptForm,
    pub delivery: Delivery,
    /// How many likely tokens each step lists.
    pub logprobs: Option<usize>,
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
    Stream,
    /// When it is complete.
    Whole,
    /// As it comes on a terminal.
    ByTerminal,
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

impl Generate {
    pub fn of(args: GenerateArgs, form: Form) -> Result<Generate> {
        let delivery = match (args.stream, args.no_stream, form) {
            (true, _, _) => Delivery::Stream,
            (false, true, _) | (false, false, Form::Json) => Delivery::Whole,
            (false, false, Form::Text) => Delivery::ByTerminal,
        };
        if args.logprobs.is_some() && (form != Form::Json || delivery != Delivery::Whole) {
            return Err(Error::usage("--logprobs", "needs --json without --stream"));
        }
        let form_of_prompt = prompt_form(&args)?;
        let arms = if args.compare { Arms::Both } else { Arms::One };
        let how = AnswerPlan::of(args.answer, arms)?;
        if how.arms == Arms::Both && form == Form::Json && delivery == Delivery::Stream {
            return Err(Error::usage("--compare", "with --json excludes --stream"));
        }
        Ok(Generate {
            how,
            prompt: args.prompt,
            file: args.file,
            form: form_of_prompt,
            delivery,
            logprobs: args.logprobs,
        })
    }
}
