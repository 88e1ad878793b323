//! How an answer is to be made: the flags, and what they come to without the model.

use crate::error::{Error, Result};
use clap::Args;
use std::sync::Arc;
use trimtab_runtime::generate::Request;
use trimtab_runtime::logits::{LogitsProcessor, Penalties};
use trimtab_runtime::sample::SamplingParams;

/// How tokens are chosen and when an answer ends.
#[derive(Debug, Args)]
pub struct SamplingArgs {
    /// Keys every random draw; -1 draws one and prints it [default: -1].
    #[arg(short, long, value_name = "N", allow_negative_numbers = true, help_heading = "Sampling")]
    pub seed: Option<i64>,
    /// The most tokens of an answer; -1 for no limit [default: -1].
    #[arg(
        short,
        long,
        visible_alias = "predict",
        value_name = "N",
        allow_negative_numbers = true,
        help_heading = "Sampling"
    )]
    pub n_predict: Option<i64>,
    /// Divides logits; 0 takes the likeliest token [default: the model's, or 1].
    #[arg(
        long,
        visible_alias = "temp",
        value_name = "F",
        allow_negative_numbers = true,
        help_heading = "Sampling"
    )]
    pub temperature: Option<f32>,
    /// Keeps the N likeliest tokens; 0 keeps all [default: the model's, or 0].
    #[arg(long, value_name = "N", help_heading = "Sampling")]
    pub top_k: Option<usize>,
    /// Keeps the likeliest tokens up to this probability [default: the model's, or 1].
    #[arg(long, value_name = "F", allow_negative_numbers = true, help_heading = "Sampling")]
    pub top_p: Option<f32>,
    /// Keeps tokens at least this likely, relative to the likeliest [default: the model's, or 0].
    #[arg(long, value_name = "F", allow_negative_numbers = true, help_heading = "Sampling")]
    pub min_p: Option<f32>,
    /// Weakens tokens of prompt and answer; 1 for none.
    #[arg(
        long,
        value_name = "F",
        default_value_t = 1.0,
        allow_negative_numbers = true,
        help_heading = "Sampling"
    )]
    pub repeat_penalty: f32,
    /// Subtracted from the logit of each token of the answer; 0 for none.
    #[arg(
        long,
        value_name = "F",
        default_value_t = 0.0,
        allow_negative_numbers = true,
        help_heading = "Sampling"
    )]
    pub presence_penalty: f32,
    /// Subtracted as often as the token occurs in the answer; 0 for none.
    #[arg(
        long,
        value_name = "F",
        default_value_t = 0.0,
        allow_negative_numbers = true,
        help_heading = "Sampling"
    )]
    pub frequency_penalty: f32,
    /// A text that ends the answer and is no part of it; may be given again.
    #[arg(
        short = 'r',
        long,
        visible_alias = "reverse-prompt",
        value_name = "TEXT",
        help_heading = "Sampling"
    )]
    pub stop: Vec<String>,
}

/// Where the seed comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seed {
    /// It was given.
    Given(u64),
    /// One is drawn and printed.
    Draw,
}

/// How an answer is to be made.
#[derive(Debug, Clone, PartialEq)]
pub struct Sampling {
    /// What keys the draws.
    pub seed: Seed,
    /// The most tokens.
    pub most: Option<usize>,
    /// Instead of the model's temperature.
    pub temperature: Option<f32>,
    /// Instead of the model's top-k.
    pub top_k: Option<usize>,
    /// Instead of the model's top-p.
    pub top_p: Option<f32>,
    /// Instead of the model's min-p.
    pub min_p: Option<f32>,
    /// Penalties on used tokens.
    pub penalties: Penalties,
    /// Texts that end it.
    pub stop: Vec<String>,
}

impl Sampling {
    /// Understands the sampling flags.
    pub fn of(args: SamplingArgs) -> Result<Sampling> {
        let sampling = Sampling {
            seed: seed(args.seed)?,
            most: most(args.n_predict)?,
            temperature: args.temperature,
            top_k: args.top_k,
            top_p: args.top_p,
            min_p: args.min_p,
            penalties: Penalties {
                repeat: args.repeat_penalty,
                presence: args.presence_penalty,
                frequency: args.frequency_penalty,
            }
            .check()?,
            stop: args.stop,
        };
        if sampling.stop.iter().any(String::is_empty) {
            return Err(Error::usage("--stop", "is empty, which would end every answer"));
        }
        // Whatever the model's defaults are, what was typed must be within range.
        sampling.over(SamplingParams::default()).check()?;
        Ok(sampling)
    }

    /// What was typed, and the model's defaults for the rest.
    fn over(&self, model: SamplingParams) -> SamplingParams {
        SamplingParams {
            temperature: self.temperature.unwrap_or(model.temperature),
            top_k: self.top_k.unwrap_or(model.top_k),
            top_p: self.top_p.unwrap_or(model.top_p),
            min_p: self.min_p.unwrap_or(model.min_p),
        }
    }

    /// The request for a model with these defaults.
    pub fn request(&self, model: SamplingParams, seed: u64) -> Result<Request> {
        let mut processors: Vec<Arc<dyn LogitsProcessor>> = Vec::new();
        if !self.penalties.is_none() {
            processors.push(Arc::new(self.penalties));
        }
        Ok(Request {
            sampling: self.over(model).check()?,
            seed,
            max_tokens: self.most,
            processors,
            stop: self.stop.clone(),
            ..Request::default()
        })
    }
}

fn seed(given: Option<i64>) -> Result<Seed> {
    match given {
        None | Some(-1) => Ok(Seed::Draw),
        Some(n) => match u64::try_from(n) {
            Ok(n) => Ok(Seed::Given(n)),
            Err(_) => Err(Error::usage("--seed", format!("is {n}, not -1 or more"))),
        },
    }
}

fn most(given: Option<i64>) -> Result<Option<usize>> {
    match given {
        None | Some(-1) => Ok(None),
        Some(n) => match usize::try_from(n) {
            Ok(n) if n > 0 => Ok(Some(n)),
            _ => Err(Error::usage("--n-predict", format!("is {n}, not -1 and not 1 or more"))),
        },
    }
}
