//! Flags of `extract` and `merge`.

use crate::flags::model::{ModelArgs, bytes};
use crate::flags::{Parsed, words};
use clap::Args;
use clap::builder::PossibleValue;
use std::path::PathBuf;
use trimtab_steering::extract::{Keep, Long, Rule, Shard};
use trimtab_steering::file::card::MethodName;
use trimtab_steering::pairs::BadPairs;

/// Flags of `extract`.
#[derive(Debug, Args)]
pub struct ExtractArgs {
    /// Examples: JSON Lines, a JSON array or CSV with prompt, chosen and rejected; positive and negative;
    /// text and label; or a public shape such as Anthropic's transcripts; - for standard input.
    #[arg(long, value_name = "FILE")]
    pub data: Option<PathBuf>,
    /// Instead of --data: a text file with a positive prompt on each line.
    #[arg(long, value_name = "FILE", requires = "negative_file", conflicts_with = "data")]
    pub positive_file: Option<PathBuf>,
    /// The negative prompts, on the same lines.
    #[arg(long, value_name = "FILE", requires = "positive_file")]
    pub negative_file: Option<PathBuf>,
    /// What the data's fields are called, such as prompt=question,chosen=good.
    #[arg(long, value_name = "NAME=FIELD,…", value_delimiter = ',', requires = "data")]
    pub fields: Vec<String>,
    /// How a direction is made of them.
    #[arg(
        long,
        value_parser = words(methods()), value_name = "NAME", default_value = "mean_difference",
        help_heading = "Direction"
    )]
    pub method: MethodName,
    /// Sites to try, such as resid_post.1-22 [default: auto, the inputs of the blocks before the last fifth].
    #[arg(long, value_name = "SITE,…", value_delimiter = ',', help_heading = "Direction")]
    pub sites: Vec<String>,
    /// Tokens to read: response_as_user, dialogue_tail, last, mean_response, shared_tail; last_prompt; text, all
    /// [default: what the method and the data are read at].
    #[arg(long, value_name = "NAME", help_heading = "Direction")]
    pub position: Option<String>,
    /// Write the chosen site, or every site; not with palrs, whose scale is one site's.
    #[arg(
        long,
        value_name = "best|all",
        default_value = "best",
        value_parser = words([("best", Keep::Best), ("all", Keep::All)]), hide_possible_values = true,
        help_heading = "Direction"
    )]
    pub select: Keep,
    /// Choose by paper_cosine or heldout_auroc [default: paper_cosine for palrs, else heldout_auroc].
    #[arg(
        long,
        value_parser = words([Rule::PaperCosine, Rule::HeldoutAuroc].map(|rule| (rule.name(), rule))), value_name = "NAME", hide_possible_values = true,
        help_heading = "Direction"
    )]
    pub rule: Option<Rule>,
    /// Whether pairs that look turned round count less; needs 200 pairs to fit on.
    #[arg(
        long,
        value_name = "uniform|robust",
        default_value = "uniform",
        value_parser = words([("uniform", Weights::Uniform), ("robust", Weights::Robust)]), hide_possible_values = true,
        help_heading = "Direction"
    )]
    pub weights: Weights,
    /// With --weights robust: how likely a label is right, 0.55 to 0.99 [default: 0.9].
    #[arg(long, value_name = "F", help_heading = "Direction")]
    pub eta: Option<f64>,
    /// With --method palrs: the addition's length as a share of the mean positive state's [default: 0.1].
    #[arg(long, value_name = "F", allow_negative_numbers = true, help_heading = "Direction")]
    pub alpha: Option<f32>,
    /// Shares of the pairs that are fitted on, that choose, and that are kept for the test.
    #[arg(
        long,
        value_name = "F,F,F",
        value_delimiter = ',',
        default_values_t = [0.4, 0.2, 0.4],
        help_heading = "Direction"
    )]
    pub split: Vec<f64>,
    /// Fewest pairs to fit on.
    #[arg(long, value_name = "N", default_value_t = 20, help_heading = "Direction")]
    pub min_pairs: usize,
    /// Keys the split.
    #[arg(short, long, value_name = "N", default_value_t = 0, help_heading = "Direction")]
    pub seed: u64,
    /// A system prompt for conversations that have none; not of labelled texts [default: the template's].
    #[arg(long, value_name = "TEXT", help_heading = "Direction")]
    pub system: Option<String>,
    /// What to do with records that cannot be read, and pairs that have equal sides, an empty text, or contradict another.
    #[arg(
        long,
        value_parser = words([("refuse", BadPairs::Refuse), ("skip", BadPairs::Skip)]), value_name = "refuse|skip", default_value = "refuse",
        hide_possible_values = true,
        help_heading = "Direction"
    )]
    pub bad_pairs: BadPairs,
    /// What to do with examples longer than the context, which are all named at once.
    #[arg(
        long,
        value_parser = words([("refuse", Long::Refuse), ("skip", Long::Skip)]), value_name = "refuse|skip", default_value = "refuse",
        hide_possible_values = true,
        help_heading = "Direction"
    )]
    pub long: Long,
    /// Read pairs of prompts as they are written, without the chat template: control tokens written in them are tokens.
    #[arg(long, help_heading = "Direction")]
    pub raw: bool,
    /// The vector's name [default: that of the file; of a shard, that of the data].
    #[arg(long, value_name = "TEXT", help_heading = "Card")]
    pub name: Option<String>,
    /// What it does, in a sentence.
    #[arg(long, value_name = "TEXT", help_heading = "Card")]
    pub summary: Option<String>,
    /// The licence of the examples.
    #[arg(long, value_name = "TEXT", default_value = "unknown", help_heading = "Card")]
    pub licence: String,
    /// What is set against what [default: the names of the fields].
    #[arg(long, value_name = "TEXT", help_heading = "Card")]
    pub contrast: Option<String>,
    /// Read only the I-th of N parts and write a file for `merge`.
    #[arg(long, value_name = "I/N", value_parser = shard)]
    pub shard: Option<Shard>,
    /// Go on with a run that was interrupted: its states are in OUT.partial.
    #[arg(long)]
    pub resume: bool,
    /// Memory for states, with K, M or G for multiples of 1024. States that do not fit are summed as they are read, which
    /// gives the same file; components, probes and robust weights then read the data once for every few sites [default: 1G].
    #[arg(long, value_name = "BYTES", value_parser = bytes)]
    pub state_memory: Option<usize>,
    /// The file to write.
    #[arg(short, long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Draw what candidates were chosen by, block by place.
    #[arg(long, value_name = "FILE.svg")]
    pub plot: Option<PathBuf>,
    #[command(flatten)]
    pub model: ModelArgs,
}

/// Flags of `merge`.
#[derive(Debug, Args)]
pub struct MergeArgs {
    /// Files that `extract --shard` wrote.
    #[arg(value_name = "SHARD", required = true)]
    pub shards: Vec<PathBuf>,
    /// Make a control for `eval --shuffled` instead: the same fit, where the true labels choose, to labels shuffled by
    /// SEED, with the true difference projected out. One file of `extract --shard 1/1` is enough.
    #[arg(long, value_name = "SEED")]
    pub shuffle: Option<u64>,
    /// The vector file to write.
    #[arg(short, long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// How much each pair counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weights {
    Uniform,
    /// Less where a pair looks turned round.
    Robust,
}

/// The estimators, and what help says of them.
fn methods() -> [(PossibleValue, MethodName); 6] {
    [
        (MethodName::MeanDifference, "Difference of the class means"),
        (MethodName::Palrs, "The same, read and chosen as in PaLRS, and rescaled"),
        (MethodName::PcaDifference, "First component of the differences"),
        (MethodName::PcaCentred, "First component of all states about their mean"),
        (MethodName::LinearProbe, "Linear discriminant; writes a second file that detects"),
        (MethodName::LogisticProbe, "Logistic regression; writes a second file that detects"),
    ]
    .map(|(method, help)| (PossibleValue::new(method.name()).help(help), method))
}

fn shard(text: &str) -> Parsed<Shard> {
    let shard = text.split_once('/').and_then(|(index, of)| {
        Some(Shard { index: index.trim().parse().ok()?, of: of.trim().parse().ok()? })
    });
    let sound = shard.filter(|shard| (1..=shard.of).contains(&shard.index));
    sound.ok_or_else(|| format!("{text:?} is not I/N with I from 1 to N"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_counted_from_one() {
        assert_eq!(shard("2/4").unwrap(), Shard { index: 2, of: 4 });
        for bad in ["", "1", "0/4", "5/4", "1/0", "a/b", "-1/2"] {
            assert!(shard(bad).is_err(), "{bad}");
        }
    }
}
