//! How `chat` and `generate` answer: the flags that both have, and what those come to.

use super::model::{ModelArgs, Opening, TemplateArgs};
use super::monitor::{MonitorArgs, Monitors};
use super::sampling::SamplingArgs;
use super::vectors::{VectorArgs, Vectors};
use crate::error::{Error, Result};
use clap::Args;

/// What steers, watches and answers.
#[derive(Debug, Args)]
pub struct AnswerArgs {
    #[command(flatten)]
    vectors: VectorArgs,
    #[command(flatten)]
    monitor: MonitorArgs,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    template: TemplateArgs,
    #[command(flatten)]
    sampling: SamplingArgs,
}

impl AnswerArgs {
    /// The model alone, for answers that a receipt describes.
    pub fn opening(self) -> Result<Opening> {
        Opening::of(self.model)
    }
}

/// Which answers are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arms {
    /// One, steered if a vector is given.
    One,
    /// A plain one, then a steered one.
    Both,
}

/// How answers are made.
#[derive(Debug)]
pub struct AnswerPlan {
    pub opening: Opening,
    pub sampling: SamplingArgs,
    pub vectors: Vectors,
    pub monitors: Monitors,
    pub arms: Arms,
}

impl AnswerPlan {
    /// Understands the flags of answers.
    pub fn of(args: AnswerArgs, arms: Arms) -> Result<AnswerPlan> {
        let vectors = Vectors::of(args.vectors)?;
        if arms == Arms::Both && vectors.is_empty() {
            return Err(Error::usage("--compare", "needs a vector: --steer FILE"));
        }
        Ok(AnswerPlan {
            vectors,
            arms,
            monitors: Monitors::of(args.monitor)?,
            opening: Opening::with_variables(args.model, args.template)?,
            sampling: args.sampling.check()?,
        })
    }
}
