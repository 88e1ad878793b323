//! What `chat` is to do.

use super::args::ChatArgs;
use crate::commands::generate::config::{Arms, both};
use crate::error::Result;
use crate::flags::model::{Opening, variables};
use crate::flags::monitor::Monitors;
use crate::flags::sampling::Sampling;
use crate::flags::vectors::Vectors;

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

pub fn chat(args: ChatArgs) -> Result<Chat> {
    let vectors = Vectors::of(args.vectors)?;
    Ok(Chat {
        arms: if args.compare { both(&vectors)? } else { Arms::One },
        vectors,
        monitors: Monitors::of(args.monitor)?,
        opening: Opening { variables: variables(args.template)?, ..Opening::of(args.model)? },
        sampling: Sampling::of(args.sampling)?,
        system: args.system_prompt,
    })
}
