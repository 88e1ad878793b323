//! Flags of `chat`, and what they mean together.

use crate::error::Result;
use crate::flags::answer::{AnswerArgs, AnswerPlan, Arms};
use clap::Args;

/// Flags of `chat`.
#[derive(Debug, Args)]
pub struct ChatArgs {
    /// What the model is told before the conversation (also -sys).
    #[arg(long, value_name = "TEXT")]
    pub system_prompt: Option<String>,
    /// Answer every message twice: plain, then steered, with the same seed.
    #[arg(long)]
    pub compare: bool,
    #[command(flatten)]
    pub answer: AnswerArgs,
}

#[derive(Debug)]
pub struct Chat {
    /// What the model is told first.
    pub system: Option<String>,
    pub how: AnswerPlan,
}

impl Chat {
    pub fn of(args: ChatArgs) -> Result<Chat> {
        let arms = if args.compare { Arms::Both } else { Arms::One };
        let how = AnswerPlan::of(args.answer, arms)?;
        Ok(Chat { system: args.system_prompt, how })
    }
}
