//! Flags of `simulate`.

use crate::flags::words;
use clap::{Args, Subcommand};
use std::path::PathBuf;
use trimtab_adapters::rosa::simulate::{ToyArm, ToyFeatures};
use trimtab_adapters::rosa::{CreditMask, Signs};
use trimtab_adapters::tpop::{ArmContexts, ConfidenceKind, HeadKind, SimulatedArm, TrueUtility};

/// Flags of `simulate`.
#[derive(Debug, Args)]
#[command(disable_help_subcommand = true)]
pub struct SimulateArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: SimulateCommand,
}

/// The subcommands of `simulate`.
#[derive(Debug, Subcommand)]
pub enum SimulateCommand {
    /// Duels with users whose taste is known: the regret of each rule that chooses the second answer, and of controls that
    /// must do worse.
    Duel(DuelArgs),
    /// Judgements of a policy whose optimum is known: the distance to it after each update, and after those of controls.
    Rosa(RosaArgs),
}

/// How much is run, and where the picture goes.
#[derive(Debug, Args)]
#[command(next_help_heading = "Runs")]
pub struct RunArgs {
    /// Runs of each arm; run k has seed k in every arm.
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub seeds: u64,
    /// Rounds of a run, up to 1000 [default: 400 duels, 30 judgements].
    #[arg(long, value_name = "N")]
    pub rounds: Option<usize>,
    /// Draw the lines round by round, with their 95 % intervals.
    #[arg(long, value_name = "FILE.svg")]
    pub svg: Option<PathBuf>,
}

/// Flags of `simulate duel`. Lists are run in all combinations.
#[derive(Debug, Args)]
pub struct DuelArgs {
    /// Only these arms, the others held against the first: ucb, thompson, random or runner_up choose the second answer
    /// so; growing_matrix, both_random, inverted_label and random_labels are controls [default: all].
    #[arg(
        long,
        value_name = "ARM,…",
        value_delimiter = ',',
        value_parser = words(SimulatedArm::ALL.map(|arm| (arm.name(), arm))), hide_possible_values = true
    )]
    pub only: Vec<SimulatedArm>,
    /// What the user likes: a linear function of the features, or one whose best answers lie across it.
    #[arg(
        long,
        default_value = "linear",
        value_name = "linear|squared",
        value_parser = words([("linear", TrueUtility::Linear), ("squared", TrueUtility::Squared)]), hide_possible_values = true
    )]
    pub truth: TrueUtility,
    /// Whether every round chooses from the same answers or from new ones.
    #[arg(
        long,
        default_value = "fixed",
        value_name = "fixed|fresh",
        value_parser = words([("fixed", ArmContexts::Fixed), ("fresh", ArmContexts::Fresh)]), hide_possible_values = true
    )]
    pub contexts: ArmContexts,
    /// Answers that a round chooses from.
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub candidates: usize,
    /// Features of an answer.
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub width: usize,
    /// How much the user likes the best direction, in log-odds.
    #[arg(long, value_name = "F", default_value_t = 3.0)]
    pub strength: f64,
    /// Divides the log-odds of the user's choices: above 1 they are more random.
    #[arg(long, value_name = "F,…", value_delimiter = ',', default_value = "1")]
    pub choice_temperature: Vec<f64>,
    /// Share of choices that are turned round.
    #[arg(long, value_name = "F,…", value_delimiter = ',', default_value = "0")]
    pub flips: Vec<f64>,
    /// Log-odds that an answer gets for being on the left.
    #[arg(
        long,
        value_name = "F,…",
        value_delimiter = ',',
        default_value = "0",
        allow_hyphen_values = true
    )]
    pub left: Vec<f64>,
    /// Give the user another taste at half time.
    #[arg(long)]
    pub changing: bool,
    /// What is learnt; a net is trained anew in every round, which is slow.
    #[arg(
        long,
        default_value = "linear",
        value_name = "linear|mlp,…",
        value_delimiter = ',',
        value_parser = words([("linear", HeadKind::Linear), ("mlp", HeadKind::Mlp)]), hide_possible_values = true
    )]
    pub head: Vec<HeadKind>,
    /// How the bonus is measured: by the whole matrix, or by its diagonal.
    #[arg(
        long,
        default_value = "exact",
        value_name = "exact|diag,…",
        value_delimiter = ',',
        value_parser = words([("exact", ConfidenceKind::Exact), ("diag", ConfidenceKind::Diag)]), hide_possible_values = true
    )]
    pub confidence: Vec<ConfidenceKind>,
    /// Weight of the bonus in log-odds.
    #[arg(long, value_name = "F,…", value_delimiter = ',', default_value = "0.5")]
    pub nu: Vec<f64>,
    /// Ridge of the fit.
    #[arg(long, value_name = "F", default_value_t = 1.0)]
    pub lambda: f64,
    /// After so many further choices a choice counts half; 0 for never.
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_value = "0")]
    pub half_life: Vec<usize>,
    /// How much is run.
    #[command(flatten)]
    pub runs: RunArgs,
}

/// Flags of `simulate rosa`. Lists are run in all combinations.
#[derive(Debug, Args)]
pub struct RosaArgs {
    /// Only these arms, the others held against the first: rosa; still (learns nothing), ban (never repeats what was
    /// called wrong), gradient, random, shuffled and inverted are controls [default: all].
    #[arg(
        long,
        value_name = "ARM,…",
        value_delimiter = ',',
        value_parser = words(ToyArm::ALL.map(|arm| (arm.name(), arm))), hide_possible_values = true
    )]
    pub only: Vec<ToyArm>,
    /// Whether the answers' features can express what is preferred.
    #[arg(
        long,
        default_value = "telling",
        value_name = "telling|blind,…",
        value_delimiter = ',',
        value_parser = words([("telling", ToyFeatures::Telling), ("blind", ToyFeatures::Blind)]), hide_possible_values = true
    )]
    pub features: Vec<ToyFeatures>,
    /// Answers that the policy chooses from.
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub candidates: usize,
    /// How many of them are right.
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub preferred: usize,
    /// Share of judgements that are turned round.
    #[arg(long, value_name = "F,…", value_delimiter = ',', default_value = "0")]
    pub flips: Vec<f64>,
    /// Which judgements teach.
    #[arg(
        long,
        default_value = "both",
        value_name = "negative|positive|both,…",
        value_delimiter = ',',
        value_parser = words([("negative", Signs::Negative), ("positive", Signs::Positive), ("both", Signs::Both)]), hide_possible_values = true
    )]
    pub signs: Vec<Signs>,
    /// Temperature of the better policy: larger means a weaker push.
    #[arg(long, value_name = "F,…", value_delimiter = ',', default_value = "1")]
    pub beta: Vec<f64>,
    /// Largest divergence of one update, nats per token.
    #[arg(long, value_name = "F,…", value_delimiter = ',', default_value = "0.02")]
    pub eps: Vec<f64>,
    /// Ridge of the linear system, as a multiple of its mean diagonal.
    #[arg(long, value_name = "F,…", value_delimiter = ',', default_value = "1")]
    pub damping: Vec<f64>,
    /// How credit is shared out among the tokens of an answer.
    #[arg(
        long,
        default_value = "entropy",
        value_name = "answer_span|entropy|uniform,…",
        value_delimiter = ',',
        value_parser = words([("answer_span", CreditMask::AnswerSpan), ("entropy", CreditMask::Entropy), ("uniform", CreditMask::Uniform)]), hide_possible_values = true
    )]
    pub mask: Vec<CreditMask>,
    /// Temperature of the optimum that the policy is compared with.
    #[arg(long, value_name = "F", default_value_t = 0.25)]
    pub optimum_beta: f64,
    /// How much is run.
    #[command(flatten)]
    pub runs: RunArgs,
}
