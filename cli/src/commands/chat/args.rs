//! Flags of `chat`, and what they mean together.

use crate::error::{Error, Result};
use crate::flags::adapt::{AdaptArgs, AdaptPlan};
use crate::flags::answer::{AnswerArgs, AnswerPlan, Arms};
use clap::Args;
use std::path::PathBuf;

/// Flags of `chat`.
#[derive(Debug, Args)]
pub struct ChatArgs {
    /// What the model is told before the conversation (also -sys).
    #[arg(long, value_name = "TEXT")]
    pub system_prompt: Option<String>,
    /// Answer every message twice: plain, then steered, with the same seed.
    #[arg(long)]
    pub compare: bool,
    /// Lines as they would be typed, messages and words such as /bad, from a file or, as -, from standard input.
    #[arg(long, value_name = "FILE")]
    pub script: Option<PathBuf>,
    #[command(flatten)]
    pub adapt: AdaptArgs,
    #[command(flatten)]
    pub answer: AnswerArgs,
}

#[derive(Debug)]
pub struct Chat {
    /// What the model is told first.
    pub system: Option<String>,
    pub how: AnswerPlan,
    /// What the conversation teaches.
    pub adapt: Option<AdaptPlan>,
    /// The conversation, where it is written beforehand.
    pub script: Option<PathBuf>,
}

impl Chat {
    pub fn of(args: ChatArgs) -> Result<Chat> {
        let arms = if args.compare { Arms::Both } else { Arms::One };
        let adapt = AdaptPlan::of(args.adapt)?;
        if adapt.is_some() && arms == Arms::Both {
            return Err(Error::usage("--compare", "compares vectors; --adapt does without it"));
        }
        let how = AnswerPlan::of(args.answer, arms)?;
        Ok(Chat { system: args.system_prompt, how, adapt, script: args.script })
    }
}
