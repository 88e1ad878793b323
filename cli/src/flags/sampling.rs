//! How an answer is to be made: the flags, and the request they come to.

use crate::error::{Error, Result};
use clap::Args;
use std::sync::Arc;
use trimtab_runtime::generate::Request;
use trimtab_runtime::logits::{LogitsProcessor, Penalties};
use trimtab_runtime::sample::SamplingParams;

/// How tokens are chosen and when an answer ends.
#[derive(Debug, Args)]
#[command(next_help_heading = "Sampling")]
pub struct SamplingArgs {
    /// Keys every random draw; -1 draws one and prints it [default: -1].
    #[arg(short, long, value_name = "N", allow_negative_numbers = true)]
    pub seed: Option<i64>,
    /// The most tokens of an answer; -1 for no limit [default: -1].
    #[arg(short, long, visible_alias = "predict", value_name = "N", allow_negative_numbers = true)]
    pub n_predict: Option<i64>,
    /// Divides logits; 0 takes the likeliest token [default: the model's, or 1].
    #[arg(long, visible_alias = "temp", value_name = "F", allow_negative_numbers = true)]
    pub temperature: Option<f32>,
    /// Keeps the N likeliest tokens; 0 keeps all [default: the model's, or 0].
    #[arg(long, value_name = "N")]
    pub top_k: Option<usize>,
    /// Keeps the likeliest tokens up to this probability [default: the model's, or 1].
    #[arg(long, value_name = "F", allow_negative_numbers = true)]
    pub top_p: Option<f32>,
    /// Keeps tokens at least this likely, relative to the likeliest [default: the model's, or 0].
    #[arg(long, value_name = "F", allow_negative_numbers = true)]
    pub min_p: Option<f32>,
    /// Weakens tokens of prompt and answer; 1 for none.
    #[arg(long, value_name = "F", default_value_t = 1.0, allow_negative_numbers = true)]
    pub repeat_penalty: f32,
    /// Subtracted from the logit of each token of the answer; 0 for none.
    #[arg(long, value_name = "F", default_value_t = 0.0, allow_negative_numbers = true)]
    pub presence_penalty: f32,
    /// Subtracted as often as the token occurs in the answer; 0 for none.
    #[arg(long, value_name = "F", default_value_t = 0.0, allow_negative_numbers = true)]
    pub frequency_penalty: f32,
    /// A text that ends the answer and is no part of it; may be given again.
    #[arg(short = 'r', long, visible_alias = "reverse-prompt", value_name = "TEXT")]
    pub stop: Vec<String>,
}

impl SamplingArgs {
    /// Refuses what makes no sense with any model. What is -1 is as if it were not given.
    pub fn check(mut self) -> Result<SamplingArgs> {
        self.seed = self.seed.filter(|n| *n != -1);
        self.n_predict = self.n_predict.filter(|n| *n != -1);
        if let Some(n) = self.seed.filter(|n| *n < 0) {
            return Err(Error::usage("--seed", format!("is {n}, not -1 or more")));
        }
        if let Some(n) = self.n_predict.filter(|n| *n < 1) {
            let problem = format!("is {n}, not -1 and not 1 or more");
            return Err(Error::usage("--n-predict", problem));
        }
        self.penalties().check()?;
        if self.stop.iter().any(String::is_empty) {
            return Err(Error::usage("--stop", "is empty, which would end every answer"));
        }
        // Whatever the model's defaults are, what was typed must be within range.
        self.over(SamplingParams::default()).check()?;
        Ok(self)
    }

    fn penalties(&self) -> Penalties {
        Penalties {
            repeat: self.repeat_penalty,
            presence: self.presence_penalty,
            frequency: self.frequency_penalty,
        }
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
        if !self.penalties().is_none() {
            processors.push(Arc::new(self.penalties()));
        }
        Ok(Request {
            sampling: self.over(model).check()?,
            seed,
            max_tokens: self.n_predict.and_then(|n| usize::try_from(n).ok()),
            processors,
            stop: self.stop.clone(),
            ..Request::default()
        })
    }
}
