//! Flags of the commands that write text.

use clap::Args;

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
